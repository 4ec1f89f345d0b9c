"""docs/states.md shows the state tables as they are."""

from types import ModuleType

import pytest

from opencloudmesh.protocol import lifecycle


@pytest.fixture(scope="module")
def states(script) -> ModuleType:
    return script("states")


def test_the_page_is_fresh(states: ModuleType) -> None:
    fresh = states.PAGE.read_text("utf-8") == states.render()
    assert fresh, "run `make docs`"


def test_every_table_is_drawn(states: ModuleType) -> None:
    tables = [
        value
        for value in vars(lifecycle).values()
        if isinstance(value, dict) and all(isinstance(v, dict) for v in value.values())
    ]
    drawn = [table for *_, table in states.TABLES]
    assert tables
    assert all(any(table is other for other in drawn) for table in tables)


def test_events_with_one_outcome_share_an_arrow_and_repeats_are_not_drawn(states: ModuleType) -> None:
    drawn = states.diagram({"a": {"x": "b", "y": "b", "z": "a"}, "b": {}}, "a")
    assert drawn.splitlines()[2:-1] == ["    [*] --> a", "    a --> b: x, y"]
    assert states.without_effect({"a": {"x": "b", "z": "a"}, "b": {}})[2:] == ["| a | z |"]
