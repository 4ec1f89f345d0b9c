"""Everything odd in a discovery document that can be read, and what it means (section OCM API Discovery: Fields).

Rules kept here: what is unknown is named and never held against anybody; a warning says what will not work; a note says what
others may stumble over.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from opencloudmesh.protocol import registries
from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.discovery import Discovery
from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.protocol.legacy.cavage import knows_only_cavage
from opencloudmesh.services.doctor.findings import Finding, fail, listed, note, short, warn
from opencloudmesh.services.doctor.looks import shown
from opencloudmesh.services.doctor.visit import Visit

_VERSION: Final = re.compile(r"[0-9]+(\.[0-9]+){1,2}", re.ASCII)
_FROZEN_VERSION: Final = "1.0-proposal1"
_CAPABILITIES: Final = frozenset(
    {
        registries.ENFORCE_MFA,
        registries.EXCHANGE_TOKEN,
        registries.HTTP_SIG,
        registries.INVITES,
        registries.NOTIFICATIONS,
        registries.INVITE_WAYF,
        registries.PROTOCOL_OBJECT,
        # not of this draft, and said by deployed servers
        "invite-accepted",
        "shares",
        "webdav-uri",
    }
)
_CRITERIA: Final = frozenset(
    {
        registries.MUST_USE_HTTP_SIG,
        registries.MUST_EXCHANGE_TOKEN,
        registries.DENYLIST,
        registries.ALLOWLIST,
        registries.MUST_INVITE,
    }
)
_PROTOCOLS: Final = frozenset({registries.WEBDAV, registries.WEBAPP, registries.SSH})
_FIELDS: Final = frozenset(
    {
        "enabled", "apiVersion", "version", "endPoint", "provider", "resourceTypes", "shareTypes", "capabilities", "criteria",
        "tokenEndPoint", "jwksUri", "inviteAcceptDialog", "publicKey", "publicKeys",
    }
)  # fmt: skip


def odd_things(found: Discovery, visit: Visit) -> Iterator[Finding]:
    """All that is odd, in the order of the document."""
    yield from _version(found, visit)
    yield from _end_point(found, visit)
    yield from _token_end_point(found, visit)
    yield from _keys(found, visit)
    yield from _types(found, visit)
    yield from _webdav(found, visit)
    yield from _criteria(found, visit)
    yield from _words(found)


def _version(found: Discovery, visit: Visit) -> Iterator[Finding]:
    version = found.raw.get("apiVersion")
    if version == _FROZEN_VERSION:
        yield note("api-version", f'apiVersion is "{version}", as Nextcloud, ownCloud and Seafile say whatever they speak.')
    elif not isinstance(version, str) or not _VERSION.fullmatch(version):
        told = f'"{short(version)}"' if isinstance(version, str) else "missing" if version is None else "no text"
        what = 'Say the version as text of numbers, such as "1.1.0": some servers refuse all others.'
        yield warn("api-version", f"apiVersion is {told}.", **visit.advice(what))


def _end_point(found: Discovery, visit: Visit) -> Iterator[Finding]:
    raw = found.raw.get("endPoint")
    yield from _place("endPoint", found.end_point, visit, "No message can be sent there.")
    if isinstance(raw, str) and raw.endswith("/"):
        yield note("endpoint-slash", "endPoint ends in a slash: some servers double it when they add /shares.")


def _token_end_point(found: Discovery, visit: Visit) -> Iterator[Finding]:
    exchanges = found.supports(registries.EXCHANGE_TOKEN)
    if found.token_end_point is not None:
        yield from _place("tokenEndPoint", found.token_end_point, visit, "No token can be had there.")
    elif exchanges:
        sentence = "exchange-token is announced without a tokenEndPoint: shares that demand the exchange cannot be opened."
        yield warn(
            "token-end-point-missing", sentence, **visit.advice("Publish tokenEndPoint, or do not announce exchange-token.")
        )
    if found.requires(registries.MUST_EXCHANGE_TOKEN) and not exchanges:
        sentence = "must-exchange-token is demanded, and exchange-token is not announced."
        yield warn("offer-contradictory", sentence, **visit.advice("Announce exchange-token too."))


def _place(name: str, url: str, visit: Visit, harm: str) -> Iterator[Finding]:
    """Whether a URL of the document is where, and how, one expects it."""
    try:
        host = host_of_url(url)
    except InvalidInput:  # of a document that says "enabled": false, anything may be
        return
    if url.lower().startswith("http:") and not visit.instruments.http.origin_of(host).startswith("http:"):
        what = f"Publish {name} with https://; behind a proxy that ends TLS, tell the server its public address."
        yield fail("endpoint-http", f"{name} is {shown(url)}, without TLS. {harm}", **visit.advice(what))
    if host != visit.host:
        sentence = f"{name} is on another host ({host}): name, certificate and address rules there count too."
        what = f"Is {visit.host} only an alias? Then let the server know its public name, for keys and addresses carry it."
        yield warn("endpoint-elsewhere", sentence, **visit.advice(what))


def _keys(found: Discovery, visit: Visit) -> Iterator[Finding]:
    if found.jwks_uri is not None:
        host = host_of_url(found.jwks_uri)
        if host != visit.host:
            sentence = f"jwksUri is on another host ({host}); keys are taken from {visit.host} only."
            yield warn("keys-elsewhere", sentence, **visit.advice("Publish the keys at the host of the addresses."))
    if found.supports(registries.HTTP_SIG):
        return
    signs_old_way = knows_only_cavage(found)
    if signs_old_way and visit.instruments.takes_cavage(visit.host):
        yield _older_way(visit)
        return
    code = "sig-cavage-only" if signs_old_way else "sig-not-announced"
    way = (
        "signs only in the older way (draft-cavage), which is not taken from it here"
        if signs_old_way
        else "does not announce http-sig"
    )
    if visit.instruments.signatures_required and not visit.ours:
        us = (
            "Messages that are not signed are refused here (signatures.required). Set it to false to take them from such servers."
        )
        sentence = f"That server {way}: its shares and notifications are refused here."
        yield warn(code, sentence, us=us, them="Update to a version that signs by RFC 9421 and says http-sig.")
    else:
        yield note(code, f"That server {way}.")


def _older_way(visit: Visit) -> Finding:
    """It signs as draft-cavage has it, and that is taken; what it is sent is signed so where we have a key for it."""
    sentence = "That server signs only in the older way (draft-cavage), which is taken from it."
    if visit.instruments.cavage_signer is not None:
        return note("sig-cavage-only", f"{sentence} What it is sent is signed so, too.")
    us = "Set signatures.cavage_key to true: an RSA key is made and published at the next start."
    sentence += " What it is sent is not signed; it may demand that."
    return warn("sig-cavage-only", sentence, us=us, them="Update to a version that signs by RFC 9421 and says http-sig.")


def _types(found: Discovery, visit: Visit) -> Iterator[Finding]:
    raw = found.raw
    if "resourceTypes" not in raw and "shareTypes" in raw:
        yield note("old-field-names", "The types are listed as shareTypes, as ownCloud 10 does.")
    entries = raw.get("resourceTypes", raw.get("shareTypes"))
    if isinstance(entries, dict):
        yield note("old-field-names", "resourceTypes is an object instead of a list, as Seafile has it.")
    names = [kind.name for kind in found.resource_types]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        what = "List each resource type once."
        yield warn("resource-type-twice", f"resourceTypes lists {listed(twice)} more than once.", **visit.advice(what))
    if not found.takes(registries.FILE, registries.USER):
        what = "Offer the type file to the share type user."
        yield warn("file-not-taken", "Files shared with a user are not taken there.", **visit.advice(what))
    elif not found.takes(registries.FOLDER, registries.USER):
        sentence = "The type folder is not announced: a shared folder may be refused (501), or come as file."
        yield note("folder-not-taken", sentence)
    elif names[0] != registries.FILE:
        yield note("file-not-first", "The type file is not the first one: Seafile reads only the first.")


def _webdav(found: Discovery, visit: Visit) -> Iterator[Finding]:
    if found.webdav_path(registries.FILE) is None:
        what = "Say the WebDAV path in protocols.webdav of the type file."
        yield warn("webdav-path-missing", "The document says no WebDAV path: shares cannot be opened.", **visit.advice(what))
    values = [kind.protocols[registries.WEBDAV] for kind in found.resource_types if registries.WEBDAV in kind.protocols]
    if any(not isinstance(value, str) for value in values):
        sentence = "protocols.webdav is no text: Nextcloud and OpenCloud cannot read that."
        yield warn("webdav-path-form", sentence, **visit.advice("Write the path as text."))
    paths = [value for value in values if isinstance(value, str)]
    if any(not value.startswith("/") and "://" not in value for value in paths):
        yield note("webdav-path-form", "The WebDAV path is relative; it is taken from the root of the host.")
    elif any(not value.endswith("/") for value in paths):
        yield note("webdav-path-form", "The WebDAV path has no slash at its end; Seafile needs one.")
    objects = {name for kind in found.resource_types for name, value in kind.protocols.items() if isinstance(value, dict)}
    if objects - {registries.WEBDAV} and not visit.ours:
        yield note(
            "protocol-objects", f"Objects in protocols ({listed(sorted(objects))}): OpenCloud cannot read such a document."
        )


def _criteria(found: Discovery, visit: Visit) -> Iterator[Finding]:
    if visit.ours:
        return
    if found.requires(registries.MUST_INVITE):
        sentence = "That server takes shares only between people who have exchanged an invitation."
        yield warn("criteria-must-invite", sentence, us="Have the two people exchange an invitation first.")
    if found.requires(registries.ALLOWLIST):
        sentence = "That server deals only with servers on its list."
        yield warn("criteria-allowlist", sentence, us="Ask its operator whether your server is listed.", them="List our server.")
    if not found.supports(registries.NOTIFICATIONS) and found.capabilities:
        yield note("notifications-not-announced", "The capability notifications is not announced: news of shares may be ignored.")


def _words(found: Discovery) -> Iterator[Finding]:
    raw = found.raw
    slashed = [word for word in _texts(raw.get("capabilities")) if word.startswith("/")]
    if slashed:
        yield note("capability-slash", f"Capabilities are written with a slash ({listed(slashed)}), as the older draft had it.")
    groups: dict[str, Iterable[str]] = {
        "capabilities": found.capabilities - _CAPABILITIES,
        "criteria": found.criteria - _CRITERIA,
        "resource types": {kind.name for kind in found.resource_types} - {registries.FILE, registries.FOLDER},
        "protocols": {n.removesuffix(registries.RECEIVE_SUFFIX) for kind in found.resource_types for n in kind.protocols}
        - _PROTOCOLS,
        "fields": set(raw) - _FIELDS,
    }
    for what, words in groups.items():
        if words:
            yield note("words-unknown", f"Unknown {what}, which is allowed: {listed(sorted(words))}.")


def _texts(value: Any) -> list[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []
