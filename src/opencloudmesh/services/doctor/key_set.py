"""The step keys: the public keys of a host, and whether a signature made with them would be taken (Appendix B: JWKS Endpoint).

Rules kept here: the places are those where our server looks; each key is judged by the function that judges it for a signature.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.errors import PeerRefused
from opencloudmesh.protocol.http_signatures import host_of_keyid
from opencloudmesh.protocol.jwks import KeySet, parse_key_set, thumbprint
from opencloudmesh.protocol.registries import HTTP_SIG
from opencloudmesh.services.doctor.discovery import SILENT
from opencloudmesh.services.doctor.findings import Finding, Outcome, Seen, fail, note, short, warn
from opencloudmesh.services.doctor.looks import FAULT_THERE, Look, in_the_way, look, unreached
from opencloudmesh.services.doctor.visit import Visit

PATH: Final = "/.well-known/jwks.json"
_MIN_RSA_BITS: Final = 2048


async def look_at_keys(visit: Visit) -> Seen:
    """The key set, each key with its algorithms or the reason why it is of no use."""
    if visit.is_silent:
        return Seen(SILENT, pointless=True)
    seen = await _fetch(visit, visit.origin + PATH)
    keys, fault = _read(visit, seen)
    other = visit.discovery.jwks_uri if visit.discovery else None
    if keys is None and other and other != seen.url and host_of_url(other) == visit.host:
        seen = await _fetch(visit, other)
        keys, fault = _read(visit, seen)
    if keys is None:
        return Seen("no key set", {"asked": seen.facts()}, (_weighed(visit, seen, fault),) if fault else ())
    visit.keys = keys
    raw = _raw_keys(seen)
    findings = [*_judge(visit, keys, raw)]
    facts = {"asked": seen.facts(), "keys": [*_usable_facts(keys), *_refused_facts(keys)]}
    named = ", ".join(f"{short(kid)} ({'/'.join(key.algorithms)})" for kid, key in list(keys.keys.items())[:3])
    return Seen(named or "no usable key", facts, tuple(findings))


async def _fetch(visit: Visit, url: str) -> Look:
    tools = visit.instruments
    return await look(tools.http, tools.clock, "GET", url, headers={"accept": "application/json"})


def _read(visit: Visit, seen: Look) -> tuple[KeySet | None, Finding | None]:
    if fault := unreached(seen, ours=visit.ours) or in_the_way(seen, ours=visit.ours):
        return None, fault
    if seen.status != 200:
        what = f"Publish the public keys at {PATH}, or let the reverse proxy pass it on."
        what = FAULT_THERE if seen.status >= 500 and not visit.ours else what
        return None, fail(f"http-{seen.status}", f"GET {seen.url} is answered {seen.status}.", **visit.advice(what))
    try:
        return parse_key_set(seen.body), None
    except PeerRefused as error:
        return None, fail(error.code, error.sentence, **visit.advice("Publish a JWK Set (RFC 7517)."))


def _weighed(visit: Visit, seen: Look, fault: Finding) -> Finding:
    """Without keys nothing of a server that signs can be verified; one that does not say that it signs may have none."""
    if visit.ours or (visit.discovery is not None and visit.discovery.supports(HTTP_SIG)):
        return fault
    if seen.error is not None or seen.status >= 500:  # whether it has keys is not known
        return warn(fault.code, fault.sentence, us=fault.us, them=fault.them)
    return note("keys-missing", f"It publishes no keys, and does not say that it signs. {fault.sentence}")


def _raw_keys(seen: Look) -> list[Mapping[str, Any]]:
    members = json.loads(seen.body)["keys"]
    return [member for member in members if isinstance(member, dict)]


def _usable_facts(keys: KeySet) -> Iterator[dict[str, Any]]:
    for kid, key in keys.keys.items():
        yield {"kid": short(kid), "usable": True, "algorithms": list(key.algorithms), "thumbprint": thumbprint(key.public_key)}


def _refused_facts(keys: KeySet) -> Iterator[dict[str, Any]]:
    for kid, reason in keys.refused.items():
        yield {"kid": short(kid), "usable": False, "why": reason}


def _judge(visit: Visit, keys: KeySet, raw: list[Mapping[str, Any]]) -> Iterator[Finding]:
    if not len(keys):
        signs = visit.ours or (visit.discovery is not None and visit.discovery.supports(HTTP_SIG))
        outcome = Outcome.FAIL if signs else Outcome.OK
        advice = visit.advice("Publish the key that signs: Ed25519, ECDSA P-256 or P-384, or RSA of 2048 bits or more.")
        yield Finding(outcome, "keys-missing", "The key set has no key that can be used.", **(advice if signs else {}))
    for kid, reason in keys.refused.items():
        yield _refused(visit, kid, reason, raw)
    yield from _duplicates(keys)
    yield from (finding for kid in keys.keys if (finding := _place_of(visit, kid)) is not None)
    if nameless := sum(not isinstance(jwk.get("kid"), str) or not jwk["kid"] for jwk in raw):
        what = "Give every key a kid: a signature names its key by it."
        yield warn("keys-nameless", f"{nameless} of the keys have no kid and cannot be named.", **visit.advice(what))


def _refused(visit: Visit, kid: str, reason: str, raw: list[Mapping[str, Any]]) -> Finding:
    sizes = [_rsa_bits(jwk) for jwk in raw if jwk.get("kid") == kid and jwk.get("kty") == "RSA"]
    if any(0 < size < _MIN_RSA_BITS for size in sizes):
        sentence = f"The RSA key {short(kid)} has only {min(sizes)} bits."
        return warn("keys-weak", sentence, **visit.advice("Make a new key, best Ed25519, and sign with it."))
    sentence = f"The key {short(kid)} is of no use: {reason}."
    return warn("keys-unusable", sentence, **visit.advice("Correct it, or take it out of the key set."))


def _rsa_bits(jwk: Mapping[str, Any]) -> int:
    modulus = jwk.get("n")
    return (len(modulus.rstrip("=")) * 6 // 8) * 8 if isinstance(modulus, str) else 0


def _duplicates(keys: KeySet) -> Iterator[Finding]:
    by_print: dict[str, list[str]] = {}
    for kid, key in keys.keys.items():
        by_print.setdefault(thumbprint(key.public_key), []).append(kid)
    for kids in by_print.values():
        if len(kids) > 1:
            yield note(
                "keys-duplicate", f"One key is published under {len(kids)} names: {', '.join(short(kid) for kid in kids)}."
            )


def _place_of(visit: Visit, kid: str) -> Finding | None:
    named = host_of_keyid(kid)
    if named == visit.host:
        return None
    if named is None:
        sentence = f"The kid {short(kid)} names no server: a notification signed with it is taken only for a share that is known."
        return note("keys-kid-hostless", sentence)
    sentence = f"The kid {short(kid)} names {named}, not {visit.host}: signatures with it are looked up there, and refused."
    what = "Has the server been renamed? Make a new key, or correct the server's public address."
    return warn("keys-kid-elsewhere", sentence, **visit.advice(what))
