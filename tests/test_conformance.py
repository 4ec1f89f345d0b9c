"""The generated conformance page, and what it must not say: a requirement that we claim, without a test."""

import textwrap
from types import ModuleType

import pytest

COVERED = (
    *(f"ADDR-{n}" for n in range(1, 6)),
    *(f"DISC-{n}" for n in range(1, 12)),
    *(f"SHARE-{n}" for n in (*range(1, 13), 19)),
    *(f"RECV-{n}" for n in (*range(1, 11), 12)),
    *(f"NOTIF-{n}" for n in range(1, 6)),
    *(f"ACC-{n}" for n in (*range(1, 7), 8, 9)),
    *(f"CODE-{n}" for n in range(1, 9)),
    *(f"SIG-{n}" for n in range(1, 10)),
    "TRUST-1",
)


@pytest.fixture
def conformance(script) -> ModuleType:
    return script("conformance")


def test_the_page_is_fresh(conformance: ModuleType) -> None:
    page = conformance.render(conformance.load_catalogue(), conformance.collect_marks())
    fresh = conformance.PAGE.read_text("utf-8") == page
    assert fresh, "run `make docs`"


def test_marks_name_only_ids_of_the_catalogue(conformance: ModuleType) -> None:
    known = {requirement.id for requirement in conformance.load_catalogue()}
    unknown = [f"{mark.file}:{mark.line}: {mark.id}" for mark in conformance.collect_marks() if mark.id not in known]
    assert unknown == []


def test_every_covered_requirement_has_a_test(conformance: ModuleType) -> None:
    known = {requirement.id for requirement in conformance.load_catalogue()}
    assert [i for i in COVERED if i not in known] == []
    proved = {mark.id for mark in conformance.collect_marks()}
    assert [i for i in COVERED if i not in proved] == []


def test_marks_are_found_wherever_pytest_finds_them(conformance: ModuleType) -> None:
    source = textwrap.dedent(
        """
        import pytest
        pytestmark = [pytest.mark.spec("M-1")]

        @pytest.mark.spec("C-1", "C-2")
        class TestIt:
            pytestmark = pytest.mark.spec("C-3")
            @pytest.mark.spec("F-1")
            async def test_a(self): ...

        @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.spec("P-1")), 2])
        def test_b(x): ...

        @pytest.mark.spec("H-1")
        def not_a_test(): ...
        """
    )
    found = {(mark.id, mark.test) for mark in conformance.marks_of(source, "tests/test_x.py")}
    of_a = {(i, "TestIt.test_a") for i in ("M-1", "C-1", "C-2", "C-3", "F-1")}
    assert found == of_a | {("M-1", "test_b"), ("P-1", "test_b")}


def test_a_mark_with_a_computed_id_is_an_error(conformance: ModuleType) -> None:
    with pytest.raises(ValueError, match="literal strings"):
        list(conformance.marks_of('import pytest\n@pytest.mark.spec(f"A-{1}")\ndef test_a(): ...\n', "tests/test_x.py"))


def test_a_requirement_without_a_test_is_shown_as_such(conformance: ModuleType) -> None:
    requirement = conformance.Requirement("ADDR-1", "MUST", "any", "Terms", "text")
    page = conformance.render([requirement], [])
    assert "| MUST | 1 | 0 |" in page
    assert "| ADDR-1 | MUST | any | text (Terms) | - | none yet |" in page
