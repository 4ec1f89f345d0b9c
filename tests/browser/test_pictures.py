"""The docs show each page that the list of the stage says they show, light and dark; `make screenshots` takes the pictures."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from opencloudmesh.web.pages.app import page_routes
from tests.browser.stage import pages

_ANY: Any = SimpleNamespace(host="", origin="")
_NO_PAGES = {"/", "/files/save", "/contacts/export", "/contacts/imported", "/invites/made", "/requests/made"}
"""Ways to a page, files that are saved, and what only follows a form (it is looked at where the form is sent)."""


def test_the_docs_show_the_pages(project_root: Path) -> None:
    text = (project_root / "docs" / "pages.md").read_text()
    shown = re.findall(
        r'^\*\*(.+)\*\*$\n\n<picture>.*?srcset="screenshots/([a-z-]+)-dark\.png".*?src="screenshots/\2-light\.png"', text, re.M
    )
    assert sorted(shown) == sorted((page.in_docs, page.picture) for page in pages(_ANY, _ANY, _ANY) if page.in_docs)


def test_every_page_of_the_app_is_looked_at() -> None:
    there = {route.path for route in page_routes(_ANY, _ANY) if route.method == "GET"} - _NO_PAGES
    assert there - {page.path.partition("?")[0] for page in pages(_ANY, _ANY, _ANY)} == set()
