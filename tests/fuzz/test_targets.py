"""What fuzzing found, once more, and without atheris: each target takes its corpus in time, and refuses in our own words."""

import random
import time
from pathlib import Path

import pytest

from opencloudmesh.protocol.errors import OCMError
from tests.fuzz.targets import TARGETS, Target

SECONDS = 6.0
MUTATED = 300


def attempt(target: Target, data: bytes) -> str:
    begun = time.process_time()
    code = target.attempt(data)
    assert time.process_time() - begun < SECONDS, data
    return code


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_input_of_the_corpus_is_read_or_refused(target: Target) -> None:
    inputs = target.corpus()
    codes = {attempt(target, data) for data in inputs}
    assert "" in codes or target.name == "directory", "no input of the corpus is read to its end"
    # what follows is for changes made since the last fuzzing: the same few bytes are changed in every run
    chance = random.Random(target.name)
    for _ in range(MUTATED):
        attempt(target, mutated(chance, chance.choice(inputs)))


def mutated(chance: random.Random, data: bytes) -> bytes:
    """An input with a few bytes changed, doubled, cut out or put in."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(changed))
        length = chance.randint(1, 8)
        match chance.randint(0, 3):
            case 0:
                changed[at : at + 1] = bytes([chance.randint(0, 255)])
            case 1:
                changed[at:at] = changed[at : at + length] * chance.randint(1, 40)
            case 2:
                del changed[at : at + length]
            case _:
                changed[at:at] = chance.choice(
                    (b'"', b"\\", b"\0", b"{", b"[" * 500, b"%", b"\xff", b"9" * 400, b"\n", b";", b"\\ud800")
                )
    return bytes(changed)


def test_what_is_no_refusal_of_ours_is_a_defect() -> None:
    def run(data: bytes) -> None:
        if data == b"refused":
            raise OCMError("refused")
        int(data)

    target = Target("broken", run, lambda: (b"1",))
    assert target.attempt(b"1") == ""
    assert target.attempt(b"refused") == OCMError.code
    with pytest.raises(ValueError, match="invalid literal"):
        target.attempt(b"x")


def test_the_corpus_is_small_and_holds_nothing_twice(project_root: Path) -> None:
    files = sorted((project_root / "tests/fuzz/corpus").glob("*"))
    assert {path.stem for path in files} <= set(TARGETS)
    assert sum(path.stat().st_size for path in files) < 1 << 20
    for path in files:
        lines = path.read_text("ascii").splitlines()
        assert len(set(lines)) == len(lines), path.name
