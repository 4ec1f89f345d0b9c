"""Fuzz one target with atheris: `python -m tests.fuzz.one TARGET FOLDER [options of libFuzzer]`.

Inputs are changed byte by byte, as libFuzzer does; one that is JSON every other time value by value, so that it stays JSON.
"""

import json
import random
import sys
from typing import Any, Final

import atheris

with atheris.instrument_imports(include=["opencloudmesh.protocol", "opencloudmesh.web", "opencloudmesh.webdav", "http_sf"]):
    from tests.fuzz.targets import TARGETS

_ODD: Final = (
    None,
    True,
    0,
    -1,
    1 << 64,
    1.5,
    "",
    "\0",
    "\ud800",
    "a" * 300,
    [],
    {},
    [[]],
    "https://[",
    "a@b",
    "AA",
    "ES256",
    "RSA",
)


def changed(data: bytes, max_size: int, seed: int) -> bytes:
    """The next input."""
    chance = random.Random(seed)
    if chance.random() < 0.5:
        try:
            document = json.loads(data)
            text = json.dumps(_changed_value(document, chance)).encode()
        except (ValueError, RecursionError):
            text = b""
        if 0 < len(text) <= max_size:
            return text
    return bytes(atheris.Mutate(data, max_size))


def _changed_value(value: Any, chance: random.Random) -> Any:
    """A copy with one value in it replaced, doubled or gone, or one name changed."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.1:
        return _other(value, chance)
    if isinstance(value, list):
        at = chance.randrange(len(value))
        middle = chance.choice([[], [value[at]] * 2, [_changed_value(value[at], chance)], [_changed_value(value[at], chance)]])
        return [*value[:at], *middle, *value[at + 1 :]]
    name = chance.choice(list(value))
    rest = {key: found for key, found in value.items() if key != name}
    match chance.randrange(6):
        case 0:
            return rest
        case 1:
            return rest | {chance.choice([*value, str(_other(name, chance))]): value[name]}
    return value | {name: _changed_value(value[name], chance)}


def _other(value: Any, chance: random.Random) -> Any:
    if isinstance(value, str) and chance.random() < 0.7:
        raw = bytes(atheris.Mutate(value.encode("utf-8", "surrogatepass"), len(value) + 20))
        return raw.decode("utf-8", "replace")
    return chance.choice(_ODD) if not isinstance(value, str) or chance.random() < 0.5 else str(chance.choice(_ODD))


def main() -> None:
    """Run until libFuzzer's options say that it is enough; exit status 77 for what is no refusal of ours, 70 for a hang."""
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.attempt, custom_mutator=changed)
    atheris.Fuzz()


main()
