"""What a request has that it may not have, or has not, in sentences for a person; never the values (a password is one)."""

from collections.abc import Mapping
from typing import Any, Final

_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "string_pattern_mismatch": "has characters that are not allowed here, or not the form that is asked for",
    "string_too_short": "is too short: at least {min_length} characters",
    "string_too_long": "is too long: at most {max_length} characters",
    "string_type": "must be text",
    "string_unicode": "is no text in UTF-8",
    "too_short": "has too few entries: at least {min_length}",
    "too_long": "has too many entries: at most {max_length}",
    "list_type": "must be a list",
    "model_attributes_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number that is not infinite",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "json_invalid": "is no JSON",
    "value_error": "{error}",
}
_CONTROLS: Final = r"\x00"  # in the pattern of every text of one line


def sentence_of(fault: Mapping[str, Any]) -> str:
    """What is wrong with a field, from pydantic's words for it; those words themselves where there are no better ones."""
    kind, context = str(fault.get("type")), fault.get("ctx") or {}
    if kind == "string_pattern_mismatch" and str(context.get("pattern", "")).startswith(f"^[^{_CONTROLS}"):
        return "must be one line, without control characters"
    try:
        return _SENTENCES[kind].format_map(context).replace("at least 1 characters", "at least 1 character")
    except KeyError:
        return str(fault.get("msg", "is not valid"))
