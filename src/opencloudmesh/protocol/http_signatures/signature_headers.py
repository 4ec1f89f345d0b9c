"""Find and read the one signature that counts (Appendix B: Verifying a Signature, steps 3 and 4; RFC 9421, section 4).

Rules kept here: exactly one signature is the Open Cloud Mesh one, in both headers, and only that one is looked at; it covers all
that one enabled profile asks for; what stands twice is refused; headers longer
than any signature are refused unread.
"""

import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar

import http_sf

from opencloudmesh.protocol.http_signatures.profiles import LABEL, Profile
from opencloudmesh.protocol.http_signatures.structured_fields import check_size, parse_dictionary, refuse

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ReceivedSignature:
    """The Open Cloud Mesh signature of a request as it came, complete, but not verified.

    `parameters` is the value of "@signature-params".
    """

    label: str
    keyid: str
    alg: str | None
    created: int
    expires: int | None
    components: tuple[str, ...]
    parameters: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class _Input:
    """One member of Signature-Input; `serialised` is its one canonical form."""

    label: str
    components: tuple[str, ...]
    covered: frozenset[str]
    parameters: Mapping[str, Any]
    serialised: str


def read(fields: Mapping[str, str], profiles: Sequence[Profile]) -> ReceivedSignature:
    """Find and read the Open Cloud Mesh signature in the fields of a request; raises `SignatureRefused` (401)."""
    text, signatures = fields.get("signature-input"), fields.get("signature")
    if text is None or signatures is None:
        refuse("sig-missing", "The request is not signed: it has no Signature-Input, or no Signature.")
    check_size(text)
    check_size(signatures)
    found = _read_common_input(text, profiles) or _read_input(text, profiles)
    if found is None:
        if any(profile.label and _has_label(signatures, profile.label) for profile in profiles):
            refuse("sig-label-unpaired", "The label of the signature stands in Signature and not in Signature-Input.")
        refuse("sig-missing", "None of the signatures of the request is an Open Cloud Mesh one.")
    _check_complete(found, profiles)
    signature = _read_common_signature(signatures, found.label)
    if signature is None:
        signature = _read_signature(signatures, found.label)
    keyid, created = _parameter(found, "keyid", str), _parameter(found, "created", int)
    for name in ("nonce", "tag"):
        _parameter(found, name, str)
    if not keyid:
        refuse("sig-keyid-unknown", "The signature names no key.")
    if created is None:
        refuse("sig-created-missing", "The signature does not say when it was created.")
    return ReceivedSignature(
        label=found.label,
        keyid=keyid,
        alg=_parameter(found, "alg", str),
        created=created,
        expires=_parameter(found, "expires", int),
        components=found.components,
        parameters=found.serialised,
        signature=signature,
    )


def _parameter(found: _Input, name: str, kind: type[_T]) -> _T | None:
    value = found.parameters.get(name)
    if value is None or type(value) is kind:  # not isinstance: True is an int too
        return value
    refuse("sig-malformed", f"The parameter {name} of the signature is of another type.")


def _check_complete(found: _Input, profiles: Sequence[Profile]) -> None:
    # Appendix B: "MUST reject signatures that omit any of the above components or the created parameter"
    tag = found.parameters.get("tag")
    missing: list[frozenset[str]] = []
    for profile in profiles:
        if profile.names(found.label, tag):
            if profile.components <= found.covered and profile.parameters <= found.parameters.keys():
                return
            missing.append(profile.parameters - found.parameters.keys() or profile.components - found.covered)
    least = min(missing, key=len)
    if "created" in least:
        refuse("sig-created-missing", "The signature does not say when it was created.")
    if "keyid" in least:
        refuse("sig-keyid-unknown", "The signature names no key.")
    refuse("sig-component-missing", f"The signature does not cover {', '.join(sorted(least))}.")


def _has_label(text: str, label: str) -> bool:
    return re.search(rf"(?:^|,)[ \t]*{re.escape(label)}=", text) is not None


def _read_input(text: str, profiles: Sequence[Profile]) -> _Input | None:
    """Find the one member of Signature-Input that some profile takes for the Open Cloud Mesh one, and read it."""
    members = parse_dictionary(text, malformed="sig-malformed", duplicate="sig-duplicate")
    labels = {
        label for profile in profiles for label, (_, parameters) in members.items() if profile.names(label, parameters.get("tag"))
    }
    # Appendix B: "If multiple ocm signatures are present, the entire message MUST be rejected."
    if len(labels) > 1:
        refuse("sig-duplicate", "The request has more than one Open Cloud Mesh signature.")
    if not labels:
        return None
    label = labels.pop()
    items, parameters = members[label]
    if not isinstance(items, list):
        refuse("sig-malformed", "The Signature-Input is no list of components.")
    components = _components(items)
    return _Input(label, components, frozenset(components), parameters, http_sf.ser([(items, parameters)]))


_COMPONENT: Final = re.compile(r"@?[a-z0-9!#$%&'*+.^_`|~-]+")


def _components(items: list[Any]) -> tuple[str, ...]:
    """The names of the covered components, each of them once; those with parameters (;req, ;sf, ...) are not supported."""
    names = []
    for name, parameters in items:
        if type(name) is not str or not _COMPONENT.fullmatch(name):
            refuse("sig-malformed", "The signature covers something that is no component name.")
        if parameters:
            refuse("sig-component-parameters", f"The signature covers {name} with parameters, which are not supported.")
        if name in names:
            refuse("sig-component-twice", f"The signature covers {name} twice.")
        names.append(name)
    return tuple(names)


def _read_signature(text: str, label: str) -> bytes:
    members = parse_dictionary(text, malformed="sig-malformed", duplicate="sig-duplicate")
    if label not in members:
        refuse("sig-label-unpaired", "The label of the signature stands in Signature-Input and not in Signature.")
    value = members[label][0]
    if not isinstance(value, bytes):
        refuse("sig-malformed", "The Signature is no byte sequence.")
    return value


# ---------------------------------------------------------------- the same, faster, for the form that nearly all signers write
# One member, plain names, each parameter once, strings without escapes, integers without sign or leading zero: of this
# form the text is its own serialisation. Whatever looks different in any way gets None here and goes the long way above.
_KEY: Final = r"[a-z*][a-z0-9_.*-]*"
_STRING: Final = r"[ !#-\[\]-~]*"
_INTEGER: Final = r"0|[1-9][0-9]{0,14}"
_PARAMETER: Final = re.compile(rf';({_KEY})=(?:"({_STRING})"|({_INTEGER}))')
_NAME: Final = r'"@?[a-z0-9-]+"'
_COMMON_INPUT: Final = re.compile(rf'({_KEY})=(\({_NAME}(?: {_NAME})*\))((?:;{_KEY}=(?:"{_STRING}"|(?:{_INTEGER})))*)')
_BASE64: Final = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_COMMON_SIGNATURE: Final = re.compile(rf"({_KEY})=:({_BASE64}):")


def _read_common_input(text: str, profiles: Sequence[Profile]) -> _Input | None:
    match = _COMMON_INPUT.fullmatch(text)
    if match is None:
        return None
    label, listed, rest = match.groups()
    pairs = _PARAMETER.findall(rest)
    parameters: dict[str, Any] = {name: int(number) if number else string for name, string, number in pairs}
    tag = parameters.get("tag")
    if len(parameters) != len(pairs) or not any(profile.names(label, tag) for profile in profiles):
        return None
    components, covered = _common_components(listed)
    return _Input(label, components, covered, parameters, text[len(label) + 1 :])


@lru_cache(maxsize=256)
def _common_components(text: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """Read a list of components; there are few different ones in the world."""
    items, _ = parse_dictionary(f"{LABEL}={text}", malformed="sig-malformed", duplicate="sig-duplicate")[LABEL]
    components = _components(items)
    return components, frozenset(components)


def _read_common_signature(text: str, label: str) -> bytes | None:
    match = _COMMON_SIGNATURE.fullmatch(text)
    return binascii.a2b_base64(match[2]) if match and match[1] == label else None
