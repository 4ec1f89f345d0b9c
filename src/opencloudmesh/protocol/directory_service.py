"""Signed lists of servers (Appendix C: Directory Service; RFC 7515).

Rules kept here: nothing of a document is read as a list before its signature holds under one of the configured keys (DIR-3);
the algorithm is the key's, never the document's alone; one bad entry spoils the whole document, so that a list is used as it was
signed or not at all; each url is an origin and nothing more (DIR-2). What we sign says when, as a member `iat` of the payload (a
NumericDate, RFC 7519): the draft has no way to tell an old list from a new one, and readers of JSON ignore a member that they do
not know, where some refuse such a header.
"""

import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.errors import InvalidInput, InvalidMessage, OCMError, PeerRefused
from opencloudmesh.protocol.jwks import ECDSA_P256, ECDSA_P384, ED25519, RSA_PSS, RSA_V1_5, KeySet, VerificationKey
from opencloudmesh.protocol.messages import read_object

MAX_SERVERS: Final = 10_000
_MAX_TEXT: Final = 255
_MAX_FAULTS_TOLD: Final = 5
_TELL: Final = "Tell its operator."
_END_OF_TIME: Final = 1 << 53
_ALGORITHMS: Final = {  # RFC 7518, section 3.1; RFC 8037; RFC 9864
    "EdDSA": ED25519,
    "Ed25519": ED25519,
    "ES256": ECDSA_P256,
    "ES384": ECDSA_P384,
    "PS512": RSA_PSS,
    "RS256": RSA_V1_5,
}
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True, slots=True)
class ListedServer:
    """One entry: the canonical host[:port] of `url`, and the name shown to people."""

    host: str
    url: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Directory:
    """A list whose signature holds; `signed_by` is the kid of the key, `signed_at` what it says of the time, if it does."""

    federation: str
    servers: tuple[ListedServer, ...]
    signed_by: str
    signed_at: float | None = None


def parse_directory(body: bytes, keys: KeySet) -> Directory:
    """Verify and read a directory: a JWS in flattened or general JSON, or compact.

    Raises `PeerRefused`: directory-not-jws, directory-signature (no configured key made it), directory-invalid (faults named).
    """
    jws = _read_jws(body)
    signed_by = _signer(jws, keys)
    try:
        payload = read_object(_octets(jws.payload))
    except (InvalidMessage, ValueError) as error:
        raise PeerRefused("The payload of the directory is no JSON object.", code="directory-invalid", hint=_TELL) from error
    return Directory(_federation(payload), _servers(payload.get("servers")), signed_by, _signed_at(payload))


def listed_server(url: str, display_name: str) -> ListedServer:
    """One entry for a list of ours; raises `InvalidInput` (server-invalid), which says what is wrong with it."""
    try:
        return _server({"url": url, "displayName": display_name})
    except InvalidInput as error:
        raise InvalidInput(
            f"{url} as {display_name or 'no name'} cannot be listed: {error.sentence}",
            code="server-invalid",
            hint="Write the URL as https://cloud.example.org, without a path, and a name of at most 255 visible characters.",
        ) from None


def build_payload(federation: str, servers: Iterable[ListedServer], *, signed_at: float) -> bytes:
    """What is signed; raises `InvalidInput` (federation-invalid, directory-too-large)."""
    if not _is_shown(federation):
        raise InvalidInput(
            "A federation needs a name of at most 255 visible characters.",
            code="federation-invalid",
            hint="Name it with --federation.",
        )
    entries = [{"url": server.url, "displayName": server.display_name} for server in servers]
    if len(entries) > MAX_SERVERS:
        raise InvalidInput(f"A directory lists at most {MAX_SERVERS} servers.", code="directory-too-large")
    return json.dumps({"federation": federation, "servers": entries, "iat": int(signed_at)}, ensure_ascii=False).encode()


# ---------------------------------------------------------------- the signature
@dataclass(frozen=True, slots=True)
class _Signature:
    protected: str
    value: str


@dataclass(frozen=True, slots=True)
class _Jws:
    payload: str
    signatures: Sequence[_Signature]


def _read_jws(body: bytes) -> _Jws:
    text = body.strip()
    if not text.startswith(b"{"):
        return _read_compact(text)
    try:
        document = read_object(text)
    except InvalidMessage as error:
        raise _not_jws("is no JSON object") from error
    payload = document.get("payload")
    if not isinstance(payload, str):
        raise _not_jws("has no payload in base64url")
    given = document.get("signatures", [document])
    if not isinstance(given, list):
        raise _not_jws("has no list of signatures")
    found = [_Signature(one["protected"], one["signature"]) for one in given[:_MAX_FAULTS_TOLD] if _is_signature(one)]
    return _Jws(payload, found)


def _read_compact(text: bytes) -> _Jws:
    parts = text.split(b".")
    if len(parts) != 3 or not text.isascii():
        raise _not_jws("is neither JSON nor three parts with dots between")
    protected, payload, value = (part.decode("ascii") for part in parts)
    return _Jws(payload, [_Signature(protected, value)])


def _is_signature(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("protected"), str) and isinstance(one.get("signature"), str)


def _signer(jws: _Jws, keys: KeySet) -> str:
    for signature in jws.signatures:
        try:
            header = read_object(_octets(signature.protected))
            value = _octets(signature.value)
        except (InvalidMessage, ValueError):
            continue
        for key in _candidates(header, keys):
            algorithm = _ALGORITHMS.get(str(header.get("alg")), "")
            if key.verifies(algorithm, value, f"{signature.protected}.{jws.payload}".encode()):
                return key.kid
    raise PeerRefused(
        "The directory is signed with none of the keys that are configured for it.",
        code="directory-signature",
        hint="Ask whoever runs the directory for its present key.",
    )


def _candidates(header: dict[str, Any], keys: KeySet) -> Sequence[VerificationKey]:
    """The keys that may have signed: the one that is named, if we have it, else all. A `crit` we know nothing of: none."""
    if "crit" in header:
        return ()
    named = keys.get(str(header.get("kid")))
    return (named,) if named is not None else tuple(keys.keys.values())


def _octets(text: str) -> bytes:
    """RFC 7515, section 2: base64url without padding. Raises ValueError."""
    data = text.encode("ascii")
    if b"+" in data or b"/" in data or b"=" in data:
        raise ValueError("not base64url")
    try:
        return binascii.a2b_base64(data.translate(_FROM_URL) + b"=" * (-len(data) % 4), strict_mode=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def _not_jws(what: str) -> PeerRefused:
    return PeerRefused(
        f"The directory {what}.", code="directory-not-jws", hint="Check the URL of the directory; tell its operator."
    )


# ---------------------------------------------------------------- the list
def _federation(payload: dict[str, Any]) -> str:
    name = payload.get("federation")
    if not _is_shown(name):
        raise _invalid(["federation: must be a name"])
    return str(name)


def _servers(entries: Any) -> tuple[ListedServer, ...]:
    if not isinstance(entries, list):
        raise _invalid(["servers: must be an array"])
    if len(entries) > MAX_SERVERS:
        raise _invalid([f"servers: has more than {MAX_SERVERS} entries"])
    found: dict[str, ListedServer] = {}
    faults = []
    for number, entry in enumerate(entries):
        try:
            server = _server(entry)
        except OCMError as error:
            faults.append(f"servers.{number}: {error.sentence}")
        else:
            found.setdefault(server.host, server)
    if faults:
        raise _invalid(faults)
    return tuple(found.values())


def _server(entry: Any) -> ListedServer:
    url, name = (entry.get("url"), entry.get("displayName")) if isinstance(entry, dict) else (None, None)
    if not isinstance(url, str) or not _is_shown(name):
        raise InvalidInput("has no url or no displayName")
    host = host_of_url(url)
    # "MUST NOT include a base path", userinfo, query or fragment: then nothing is left behind the scheme but the host
    if url.removesuffix("/").partition("://")[2].count("/") or any(mark in url for mark in "@?#\\"):
        raise InvalidInput("its url is more than scheme, host and port")
    return ListedServer(host, url.removesuffix("/"), str(name))


def _signed_at(payload: dict[str, Any]) -> float | None:
    at = payload.get("iat")
    return float(at) if isinstance(at, int | float) and not isinstance(at, bool) and 0 <= at < _END_OF_TIME else None


def _is_shown(text: Any) -> bool:
    return isinstance(text, str) and 0 < len(text) <= _MAX_TEXT and text.isprintable()


def _invalid(faults: Sequence[str]) -> PeerRefused:
    more = f" and {len(faults) - _MAX_FAULTS_TOLD} more" if len(faults) > _MAX_FAULTS_TOLD else ""
    return PeerRefused(
        f"The directory breaks the rules: {'; '.join(faults[:_MAX_FAULTS_TOLD])}{more}.", code="directory-invalid", hint=_TELL
    )
