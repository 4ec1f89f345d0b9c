"""What the pages say is so: links lead somewhere, and the tour of the README works as it is written."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.federation.wire import free_port

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages(root: Path) -> list[Path]:
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", _CODE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in _LINK.findall(_CODE.sub("", page.read_text("utf-8"))):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" not in link and (not target.exists() or (anchor and anchor not in anchors(target))):
            broken.append(f"{page.name}: {link}")
    return broken


def test_every_link_between_pages_leads_somewhere(project_root: Path) -> None:
    found = pages(project_root)
    assert len(found) > 10
    assert [link for page in found for link in broken_links(page)] == []


def test_a_link_to_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title\n\n[a](missing.md) [b](#a-title) [c](#other) [d](page.md#a-title)\n\n```\n[e](x.md)\n```\n")
    assert broken_links(page) == ["page.md: missing.md", "page.md: #other"]


def test_every_page_below_docs_is_in_the_index(project_root: Path) -> None:
    docs = project_root / "docs"
    linked = {
        (index.parent / link).resolve() for index in docs.rglob("README.md") for link in _LINK.findall(index.read_text("utf-8"))
    }
    assert [page for page in docs.rglob("*.md") if page.resolve() not in linked and page != docs / "README.md"] == []


def test_every_picture_is_shown_in_light_and_dark_and_all_are_small(project_root: Path) -> None:
    pictures = {path.name: path.stat().st_size for path in (project_root / "docs/screenshots").glob("*.png")}
    shown = set(re.findall(r'(?:src|srcset)="screenshots/([^"]+)"', (project_root / "docs/pages.md").read_text("utf-8")))
    assert shown == pictures.keys()
    assert {name for name in shown if name.endswith("-dark.png")} == {
        name.replace("-light.png", "-dark.png") for name in shown if name.endswith("-light.png")
    }
    assert sum(pictures.values()) < 1_500_000


def tour(readme: str, ports: tuple[int, int]) -> str:
    """The commands of the tour, from the second block on, with free ports."""
    section = readme.partition("## Five minutes by hand")[2].partition("\n## ")[0]
    _, *blocks = _SHELL.findall(section)
    commands = "\n".join(blocks)
    for n, port in enumerate(ports, 1):
        commands = commands.replace(f"910{n}", str(port)).replace("910$n", "${ports[$n]}")
    return f"set -euo pipefail\nports=(0 {ports[0]} {ports[1]})\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{commands}\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="the tour is written for bash")
def test_the_tour_of_the_readme(project_root: Path, tmp_path: Path) -> None:
    script = tour((project_root / "README.md").read_text("utf-8"), (free_port(), free_port()))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "OCM_DELIVERY_WAIT_FOR_FIRST_TRY": "60"},  # on a busy machine the tour takes its time
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "fetched.txt").read_bytes() == (tmp_path / "data/plots/numbers.txt").read_bytes()
    assert "answer.txt" in done.stdout
    assert "SHARE_UNSHARED" in done.stdout
