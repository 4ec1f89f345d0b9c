"""docs/configuration.md has every setting as it is."""

import tomllib
from types import ModuleType

import pytest

from opencloudmesh.config.settings import setting_names


@pytest.fixture(scope="module")
def configuration(script) -> ModuleType:
    return script("configuration")


def test_the_page_is_fresh(configuration: ModuleType) -> None:
    fresh = configuration.PAGE.read_text("utf-8") == configuration.render()
    assert fresh, "run `make docs`"


def test_every_variable_is_named(configuration: ModuleType) -> None:
    page = configuration.render()
    names = [f"OCM_{name.replace('.', '_').upper()}" for name in setting_names()]
    assert len(names) > 15
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_example_of_a_route_is_one(configuration: ModuleType) -> None:
    text = configuration.ROUTES.partition("```toml\n")[2].partition("```")[0]
    (route,) = tomllib.loads(text)["routes"]
    assert {"name", "hosts", "networks"} <= set(route)
