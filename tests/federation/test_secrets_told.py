"""The search for secrets finds them in every form; else the promise that there are none would be worth nothing."""

import base64
from urllib.parse import quote

import pytest

from tests.federation.secrets_told import SecretsTold

PLAIN = "0123456789abcdefABCDEF0123456789"
SIGNS = "a pass/word with + and = signs"


def as_basic(name: str, secret: str) -> str:
    return base64.b64encode(f"{name}:{secret}".encode()).decode()


@pytest.mark.parametrize("secret", [PLAIN, SIGNS])
@pytest.mark.parametrize(
    "text",
    [
        lambda secret: secret,
        lambda secret: quote(secret, safe=""),
        lambda secret: f"https://cloud.example.org/dav/{quote(secret)}/x",
        lambda secret: secret.encode().hex(),
        lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
        lambda secret: as_basic("", secret),
        lambda secret: as_basic("a", secret),
        lambda secret: as_basic("ab", secret),
        lambda secret: base64.b64encode(f"{secret}:".encode()).decode(),
        lambda secret: base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="),
    ],
)
def test_every_form_is_found(secret: str, text) -> None:
    told = SecretsTold()
    told.add(secret)
    written = text(secret)
    for content in (written, f'{{"x": "{written}"}}', f"x{written}x", b"\x00\xff" + written.encode() + b"\x00"):
        assert told.found_in(content) == [secret], content
    assert told.found_in(written[: len(written) // 2]) == []


def test_what_is_too_short_to_be_sure_is_not_looked_for() -> None:
    told = SecretsTold()
    assert (told.add("short"), len(told)) == ("short", 0)
    assert (len(told.new()), len(told)) == (32, 1)
    assert told.found_in("short") == []
