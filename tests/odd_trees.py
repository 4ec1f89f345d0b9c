"""Trees of files with odd names, for real clients to copy."""

import os
import random
from collections.abc import Mapping
from pathlib import Path

ODD = [
    "plain.txt",
    "two words",
    "ä ö ü ß",
    "日本語.md",
    "😀 emoji",
    "e\u0301 decomposed",
    "percent%20sign",
    "%2e%2e",
    "100%",
    "a+b",
    "a&b=c",
    "q\"uote's",
    "<xml>&amp;",
    "semi;colon",
    "comma,",
    "hash#tag",
    "question?mark",
    "back\\slash",
    "[brackets]",
    "{braces}",
    "pipe|",
    "star*",
    "col:on",
    "...",
    "..dots",
    "trailing.",
    " leading space",
    "trailing space ",
    "-dash",
    "~tilde",
    "@at",
    "!bang",
    "$dollar",
    "new\nline",
    "tab\tbed",
    "x" * 200,
    ".hidden",
    "UPPER",
    "upper",
    "\udcff invalid utf-8",
]


def plant(tree: Path, files: int = 1000) -> int:
    """So many files, or some more, and some folders, in the same order every time."""
    chance = random.Random(4918)
    count = 0
    for depth, folder in enumerate(["", "sub", "sub/ä b", "sub/ä b/%252e", "#hash?/+", "d.e.e.p/" * 12]):
        here = tree / folder
        here.mkdir(parents=True, exist_ok=True)
        for name in ODD:
            (here / name).write_bytes(chance.randbytes(chance.choice([0, 1, 100, 5000])))
            count += 1
        for number in range(files // 6 - len(ODD) + (4 if depth == 0 else 0)):
            (here / f"file {number:04}.bin").write_bytes(chance.randbytes(chance.randrange(3000)))
            count += 1
    (tree / "big").write_bytes(chance.randbytes(5 << 20))
    (tree / "empty folder").mkdir()
    return count + 1


def contents(tree: Path) -> Mapping[str, bytes]:
    found = {}
    for folder, _, names in os.walk(tree):
        if ".ocm-staging" not in folder:
            found.update({os.path.relpath(path, tree): path.read_bytes() for path in (Path(folder, name) for name in names)})
    return found
