"""docs/cli.md is the help of the commands as they are."""

import sys
from pathlib import Path

import pytest

from opencloudmesh.cli.docs import build_page, write_page


def test_the_page_is_up_to_date(project_root: Path) -> None:
    hint = "write it anew: python -m opencloudmesh.cli.docs"
    assert (project_root / "docs" / "cli.md").read_text("utf-8") == build_page(), hint
    assert "--no-" not in build_page()


def test_the_page_does_not_depend_on_how_it_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = build_page()
    monkeypatch.setattr(sys, "argv", ["/some/where/else", "--x"])
    write_page(tmp_path / "docs" / "cli.md")
    assert (tmp_path / "docs" / "cli.md").read_text("utf-8") == before
    assert sys.argv == ["/some/where/else", "--x"]
