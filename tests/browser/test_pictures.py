"""The docs show each page that the list of the stage says they show, light and dark; `make screenshots` takes the pictures."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.browser.stage import pages

_ANY: Any = SimpleNamespace(host="", origin="")


def test_the_docs_show_the_pages(project_root: Path) -> None:
    text = (project_root / "docs" / "pages.md").read_text()
    shown = re.findall(
        r'^\*\*(.+)\*\*$\n\n<picture>.*?srcset="screenshots/([a-z-]+)-dark\.png".*?src="screenshots/\2-light\.png"', text, re.M
    )
    assert sorted(shown) == sorted((page.in_docs, page.picture) for page in pages(_ANY, _ANY, _ANY) if page.in_docs)
