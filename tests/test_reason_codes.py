"""docs/reason-codes.md lists every reason code of the source, once, and none that is not used."""

import ast
import textwrap
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def reason_codes(script) -> ModuleType:
    return script("reason_codes")


@pytest.fixture(scope="module")
def modules(reason_codes: ModuleType) -> dict[Path, ast.Module]:
    return reason_codes.sources()


def test_every_code_of_the_source_is_listed(reason_codes: ModuleType, modules: dict[Path, ast.Module]) -> None:
    rows = reason_codes.listed()
    found = set(reason_codes.codes(modules))
    missing = {f"{code} ({place})" for code, place in found if not any(reason_codes.matches(code, row) for row in rows)}
    assert sorted(missing) == []


def test_every_listed_code_is_used(reason_codes: ModuleType, modules: dict[Path, ast.Module]) -> None:
    used = reason_codes.literals(modules)
    made = {found.code for found in reason_codes.codes(modules) if "{}" in found.code}
    rows = [row for row in reason_codes.listed() if row not in used]
    unused = [row for row in rows if not any(reason_codes.matches(code, row) for code in made)]
    assert unused == []


def test_no_code_is_listed_twice(reason_codes: ModuleType) -> None:
    rows = reason_codes.listed()
    assert len(rows) > 100
    assert [row for row in rows if rows.count(row) > 1] == []


def test_codes_are_found_in_every_form(reason_codes: ModuleType) -> None:
    source = """
        NAMED = "by-name"
        TABLE_CODES = {1: "in-table"}

        class Fault(Exception):
            code = "of-class"
            def __init__(self, sentence, code): ...

        class Row:
            reason: str = "annotated"

        @dataclass(frozen=True)
        class Decision:
            host: str
            reason: str
            sentence: str

        def refuse(sentence, code): ...
        def code_of(error):
            return TABLE.get(error, "by-default")

        refuse("No.", "by-place")
        Fault("No.", "to-class")
        refuse("No.", code=NAMED)
        refuse("No.", code="if-so" if NAMED else "if-not")
        refuse("No.", code=f"http-{1}")
        refuse("No.", code="Not a code.")
        Decision("a-host", "of-dataclass", "No.")
        refuse("not-one", "")
    """
    modules = {Path("/x/a.py"): ast.parse(textwrap.dedent(source))}
    assert {found.code for found in reason_codes.codes(modules, Path("/x"))} == {
        "by-name", "in-table", "of-class", "annotated", "by-default", "by-place", "to-class", "if-so", "if-not",
        "http-{}", "of-dataclass",
    }  # fmt: skip


def test_a_row_with_a_place_holder_describes_a_code_made_at_run_time(reason_codes: ModuleType) -> None:
    assert reason_codes.matches("http-{}", "http-<status>")
    assert reason_codes.matches("delivery-{}", "delivery-dead")
    assert not reason_codes.matches("http-{}", "tls")
    assert not reason_codes.matches("tls-name", "http-<status>")
