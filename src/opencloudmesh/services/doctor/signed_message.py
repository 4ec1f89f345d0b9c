"""The step signed: a signed notification about a share that cannot exist, and what the answer says of our signature.

Sections "Share Acceptance Notification", "Appendix B". Why this message: it is well formed, so that a server which verifies
signatures comes to that before it finds nothing; it is about no share, so that nothing changes anywhere; it carries no
sharedSecret, so that no server counts it as a guess at one. Deployed servers answer 400, 403, 404 or 501 for its content, those
that ignore notifications 201.
"""

import re
from typing import Final

from opencloudmesh.protocol.http_signatures import Request, sign
from opencloudmesh.protocol.legacy.cavage import Scheme, outgoing_scheme, sign_cavage
from opencloudmesh.services.availability.questions import build_question
from opencloudmesh.services.doctor.findings import Finding, Seen, fail, note, warn
from opencloudmesh.services.doctor.looks import Look, in_the_way, look, shown, unreached
from opencloudmesh.services.doctor.visit import Visit

JSON: Final = "application/json"
_CONTENT: Final = frozenset({400, 403, 404, 409, 422, 501})
_ABOUT_SIGNATURE: Final = re.compile(r"\bsig-|signat|digest|keyid|key id", re.IGNORECASE)
_ABOUT_POLICY: Final = re.compile(
    r"policy-denied|denylisted|not-allowlisted|untrusted|not trusted|not authorized|unauthenticated|whitelist|allowlist",
    re.IGNORECASE,
)


async def look_at_signed(visit: Visit) -> Seen:
    """Send the message and read the answer."""
    assert visit.discovery is not None  # noqa: S101 - needs discovery
    seen = await _post(visit, f"{visit.discovery.end_point}/notifications")
    if fault := unreached(seen, ours=visit.ours) or in_the_way(seen, ours=visit.ours):
        return Seen(fault.sentence, {"asked": seen.facts()}, (fault,))
    finding = _judge(visit, seen)
    summary = f"read, and refused for its content ({seen.status}), as it should be" if finding is None else finding.sentence
    return Seen(summary, {"asked": seen.facts()}, (finding,) if finding else ())


async def _post(visit: Visit, url: str) -> Look:
    tools = visit.instruments
    body = build_question(tools.new_token())
    headers = {"accept": JSON} | signed_headers(visit, Request("POST", url, (("content-type", JSON),), body))
    return await look(tools.http, tools.clock, "POST", url, headers=headers, body=body)


def signed_headers(visit: Visit, request: Request) -> dict[str, str]:
    """The headers of a request with those of its signature, by our own key, as that server reads it."""
    older, found = visit.instruments.cavage_signer, visit.discovery
    scheme = Scheme.RFC_9421 if found is None else outgoing_scheme(found, has_key=older is not None)
    if scheme is Scheme.CAVAGE and older is not None:
        created = int(visit.instruments.clock())
        return dict(request.headers) | dict(sign_cavage(request, keyid=older.keyid, sign=older.sign, created=created))
    if scheme is Scheme.UNSIGNED:
        return dict(request.headers)
    signer = visit.signer
    assert signer is not None  # noqa: S101 - the doctor was given one
    added = sign(
        request,
        keyid=signer.keyid,
        algorithm=signer.algorithm,
        sign=signer.sign,
        created=int(visit.instruments.clock()),
        nonce=visit.instruments.new_token(),
    )
    return dict(request.headers) | dict(added)


def _judge(visit: Visit, seen: Look) -> Finding | None:
    """None where the answer shows that the signature was verified, or the content was looked at without it."""
    status, word = seen.status, seen.word
    told = f" and says: {word}" if word else ""
    if status == 401 or (status in (400, 403) and _ABOUT_SIGNATURE.search(word)):
        return _refused(visit, seen)
    if status == 403 and _ABOUT_POLICY.search(word):
        sentence = f"{visit.host} does not deal with this server (403){told}."
        return fail("refused-by-peer", sentence, us="Ask its operator to allow your server.", them="Allow our server.")
    if status == 404 and not isinstance(seen.json, dict):
        what = "Correct endPoint in the discovery document, or let the reverse proxy pass it on."
        return fail(f"http-{status}", f"There is nothing at {shown(seen.url)} (404).", **visit.advice(what))
    if status in _CONTENT:
        return None
    if status == 429:
        return warn(
            f"http-{status}",
            f"{visit.host} takes no more messages just now (429).",
            us="Wait some minutes; deliveries do so too.",
        )
    if 200 <= status < 300:
        sentence = (
            f"A notification about no share is answered {status}: it looks at none of them, so nothing is known of the signature."
        )
        return note("notifications-ignored", sentence)
    what = "Look into the log of the server at this time."
    return fail(f"http-{status}", f"A signed message is answered {status}{told}.", **visit.advice(what))


_CLOCKS: Final = "Compare the clocks of both servers with a time server."
_ADVICE: Final = {
    "sig-stale": (_CLOCKS, _CLOCKS),
    "sig-future": (_CLOCKS, _CLOCKS),
    "sig-expired": (_CLOCKS, _CLOCKS),
    "sig-keys-unavailable": (
        "Run ocm doctor without a peer: that server could not fetch our keys.",
        "Let your server reach ours by https (firewall, proxy, DNS), and look into its log for why it does not.",
    ),
    "sig-keyid-unknown": (
        "Has our key changed? Wait until that server fetches it again. Otherwise run ocm doctor without a peer.",
        "Fetch our key set again, and compare the kid.",
    ),
    "sig-key-not-pinned": (
        "Its operator pinned keys of ours before this one: tell them the fingerprints of today, by other means (ocm keys list).",
        "Compare the fingerprints with our operator, then pin them anew (here: ocm peer pin HOST --renew).",
    ),
    "sig-digest": ("", "Your reverse proxy changes the body of requests: let it pass them as they are."),
    "sig-length": ("", "Your reverse proxy changes the body of requests: let it pass them as they are."),
    "sig-digest-missing": ("", "Your reverse proxy drops the header Content-Digest: let it pass."),
    "sig-missing": ("", "Your reverse proxy drops the headers Signature and Signature-Input: let them pass."),
    "sig-mismatch": ("", "Your reverse proxy changes the path or a header, or your server does not know its public address."),
}


def _refused(visit: Visit, seen: Look) -> Finding:
    word = seen.word
    known = _ADVICE.get(word)
    us = "Run ocm doctor without a peer: it tells whether our keys can be fetched and our signatures hold."
    them = "Look into the log of your server at this time: why was the signature not taken?"
    if known is not None:
        us, them = known
    told = f": {word}" if word else ""
    return fail("signature-refused", f"{visit.host} does not take our signature ({seen.status}){told}.", us=us, them=them)
