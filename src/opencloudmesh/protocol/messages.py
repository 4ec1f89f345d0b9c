"""Every JSON message, read strictly and written plainly (section Share Creation Notification: Response; RFC 8259, RFC 7493).

Rules kept here: one parse; a message is one JSON object in UTF-8, nested no deeper than 64, without duplicate names, NUL
characters, lone surrogates, NaN, infinities or numbers of more than 40 digits; whatever breaks a rule is an `InvalidMessage`
that names every fault, never another exception; unknown fields are kept. Models are frozen and strict.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from opencloudmesh.protocol.errors import FieldFault, InvalidMessage

MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 40
MAX_FAULTS: Final = 100

_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "tuple_type": "must be an array",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long",
    "string_pattern_mismatch": "holds characters that are not allowed here",
    "too_short": "must not be empty",
    "too_long": "has too many entries",
    "literal_error": "is not one of the words defined for it",
}

ModelT = TypeVar("ModelT", bound="WireModel")


class WireModel(BaseModel):
    """A message, or an object in one: frozen, strict, camelCase on the wire; unknown fields are kept in `model_extra`."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="allow",
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
        revalidate_instances="never",
    )


def read_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object; raises `InvalidMessage` for any other bytes."""
    text = _text(body)
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise _refused(_reason(error)) from None
    if not isinstance(value, dict):
        raise _refused("must be a JSON object")
    _check_depth(text, value)
    _check_characters(text, value)
    return value


def write_object(value: Mapping[str, Any]) -> bytes:
    """Write a JSON object as compact UTF-8."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def validated(model: type[ModelT], value: Mapping[str, Any]) -> ModelT:
    """Make `model` of a wire object; raises `InvalidMessage` naming every fault by its camelCase dotted path."""
    try:
        return model.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        inner = {detail["loc"][:-1] for detail in details}
        # An array whose entries are all at fault is also "too short": the entries say it already.
        faults = (_fault(d) for d in details if d["type"] != "too_short" or d["loc"] not in inner)
        raise InvalidMessage(tuple(faults)[:MAX_FAULTS]) from None


def has_control_characters(text: str) -> bool:
    """Whether `text` holds a C0 or C1 control character, DEL, or a lone surrogate."""
    return not text.isprintable() and any(c < " " or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" for c in text)


def _refused(reason: str) -> InvalidMessage:
    return InvalidMessage((FieldFault("", reason),))


def _fault(detail: ErrorDetails) -> FieldFault:
    name = ".".join(str(part) for part in detail["loc"])
    return FieldFault(name, _SENTENCES.get(detail["type"], detail["msg"]))


def _text(body: bytes) -> str:
    try:
        return body.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise _refused("is not UTF-8") from None


class _Refusal(ValueError):
    """A rule of ours broken inside the decoder; the text is ours and goes to the peer."""


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, _Refusal):
        return str(error)
    return "is nested too deep" if isinstance(error, RecursionError) else "is not JSON"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Refusal("has the same name twice in one object")
    return value


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _Refusal("holds a number of too many digits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _Refusal("holds a number out of range")
    return number


def _constant(word: str) -> float:
    raise _Refusal(f"holds {word}, which is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def _check_depth(text: str, value: dict[str, Any]) -> None:
    # A text with few brackets cannot be deep: the walk is for the others only.
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for container in level for child in _children(container) if isinstance(child, dict | list)]
        if not level:
            return
    raise _refused("is nested too deep")


def _children(container: Any) -> Sequence[Any]:
    return list(container.values()) if isinstance(container, dict) else container


def _check_characters(text: str, value: dict[str, Any]) -> None:
    # NUL and surrogates can only come from an escape; without one there is nothing to look for.
    if "\\u0000" not in text and "\\ud" not in text and "\\uD" not in text:
        return
    unclean = [path for path, word in _strings("", value) if not _is_clean(word)]
    if unclean:
        raise InvalidMessage(tuple(FieldFault(path, "holds a NUL or an unpaired surrogate") for path in unclean[:MAX_FAULTS]))


def _is_clean(word: str) -> bool:
    return "\0" not in word and not any("\ud800" <= c <= "\udfff" for c in word)


def _strings(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, child in value.items():
            yield path, name
            yield from _strings(f"{path}.{name}" if path else name, child) if _is_clean(name) else ()
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _strings(f"{path}.{index}", child)
