"""Which fields, parameters and headers hold secrets, in the draft and in the dialects of deployed servers."""

import re
from functools import lru_cache
from typing import Any, Final

_EXACTLY: Final = frozenset(
    {"assertion", "auth", "code", "cookie", "invite", "invitestring", "jwt", "key", "otp", "pass", "passwd", "pin", "pwd"}
    | {"session", "sessionid", "setcookie", "sid"}
)
_WITHIN: Final = ("secret", "token", "password", "passphrase", "apikey", "privatekey", "credential", "authorization")
_HARMLESS: Final = frozenset({"exchangetoken", "mustexchangetoken", "subjecttokentype", "tokenendpoint", "tokentype"})
_JWK_PRIVATE: Final = frozenset({"d", "dp", "dq", "k", "oth", "p", "q", "qi"})
_SIGNS: Final = re.compile(r"[^a-z0-9]")


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether what has this name (a field, a parameter, a header) is a secret."""
    plain = _SIGNS.sub("", name[:200].lower())
    return plain in _EXACTLY or (plain not in _HARMLESS and any(word in plain for word in _WITHIN))


def hides(name: str, value: Any, *, is_key: bool = False) -> bool:
    """Whether the value of this field is a secret; a `code` that is an HTTP status is none, nor is a yes or no.

    `is_key`: the field stands in a JSON Web Key, whose private parts have names of one or two letters.
    """
    if not is_secret_name(name) and not (is_key and name in _JWK_PRIVATE):
        return False
    if value is None or isinstance(value, bool):
        return False
    return not (isinstance(value, int) and 100 <= value < 600 and name.lower() == "code")
