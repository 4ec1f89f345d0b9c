"""Names under "Shared with me"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.adapters.database.mount_names import LONGEST, free_number, numbered_name, safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.txt", "report.txt"),
        ("a/b", "a_b"),
        (".", "_"),
        ("..", "__"),
        ("", "share"),
        (" \t ", "share"),
        ("a\x00b\x1f\x7f\x85", "ab"),
        ("\ud800x", "x"),
        ("Grüße 🎉", "Grüße 🎉"),
        (".hidden", ".hidden"),
    ],
)
def test_a_name_is_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize(
    ("name", "is_file", "numbered"),
    [
        ("report.txt", True, "report (2).txt"),
        ("report.txt", False, "report.txt (2)"),
        (".profile", True, ".profile (2)"),
        ("README", True, "README (2)"),
        ("about. the whole long story", True, "about. the whole long story (2)"),
    ],
)
def test_the_number_stands_before_the_ending_of_a_file(name: str, is_file: bool, numbered: str) -> None:
    assert numbered_name(name, 1, is_file=is_file) == name
    assert numbered_name(name, 2, is_file=is_file) == numbered


@given(st.text(), st.integers(1, 10**6), st.booleans())
def test_every_name_is_one_safe_segment(name: str, number: int, is_file: bool) -> None:
    made = numbered_name(safe_name(name), number, is_file=is_file)
    assert 0 < len(made.encode()) <= LONGEST
    assert made not in (".", "..")
    assert "/" not in made
    assert all(ord(char) >= 32 for char in made)


@given(st.sets(st.integers(2, 200)), st.integers(1, 200))
def test_a_free_number_is_found(taken: set[int], last: int) -> None:
    taken |= {1, last}
    found = free_number(taken.__contains__, last)
    assert found > last
    assert found not in taken


def test_ten_thousand_taken_numbers_cost_few_looks() -> None:
    looks = []

    def taken(number: int) -> bool:
        looks.append(number)
        return number <= 10_000

    assert free_number(taken, 1) == 10_001
    assert len(looks) < 30
