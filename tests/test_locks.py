"""The lock files hold what pyproject.toml asks for, with hashes, and agree with each other."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def pins(file: Path) -> Iterator[tuple[Requirement, frozenset[str]]]:
    """Each locked requirement with its hashes."""
    logical = file.read_text("utf-8").replace("\\\n", " ")
    for line in logical.splitlines():
        text = line.split("#", 1)[0].strip()
        if text:
            requirement, *hashes = re.split(r"\s+--hash=", text)
            yield Requirement(requirement.strip()), frozenset(h.strip() for h in hashes)


@pytest.fixture(scope="module")
def locked(project_root: Path) -> dict[str, dict[str, tuple[str, frozenset[str]]]]:
    """By file and canonical name: version and hashes."""
    found: dict[str, dict[str, tuple[str, frozenset[str]]]] = {}
    for name in ("requirements.lock", "requirements-runtime.lock"):
        found[name] = {
            canonicalize_name(requirement.name): (str(requirement.specifier).removeprefix("=="), hashes)
            for requirement, hashes in pins(project_root / name)
        }
    return found


def test_every_pin_is_exact_and_has_hashes(locked: dict[str, dict[str, tuple[str, frozenset[str]]]]) -> None:
    for name, entries in locked.items():
        assert entries, name
        bad = [
            package for package, (version, hashes) in entries.items() if not hashes or not re.fullmatch(r"[0-9][\w.+!]*", version)
        ]
        assert bad == [], name


def test_the_locks_hold_what_the_project_asks_for(
    project_root: Path, locked: dict[str, dict[str, tuple[str, frozenset[str]]]]
) -> None:
    project = tomllib.loads((project_root / "pyproject.toml").read_text("utf-8"))
    runtime = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    extras = [text for extra in project["project"]["optional-dependencies"].values() for text in extra]
    for name, wanted in (("requirements-runtime.lock", runtime), ("requirements.lock", [*runtime, *extras])):
        for requirement in map(Requirement, wanted):
            assert requirement.marker is None or requirement.marker.evaluate()
            version = locked[name].get(canonicalize_name(requirement.name), ("none", frozenset()))[0]
            assert version != "none", f"{name} lacks {requirement.name}: run `make lock`"
            assert requirement.specifier.contains(version), f"{name}: {requirement.name} {version}: run `make lock`"


def test_both_locks_agree(locked: dict[str, dict[str, tuple[str, frozenset[str]]]]) -> None:
    everything, runtime = locked["requirements.lock"], locked["requirements-runtime.lock"]
    assert {package: everything.get(package) for package in runtime} == runtime
