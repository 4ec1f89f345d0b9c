"""Trees that the credentials name, not the path; and trees that are one file."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.services.ports import DavTree
from opencloudmesh.services.resource_access.subtree import Subtree

MOUNT = b"/dav/ocm"


@pytest.fixture
def at_mount(site: Any, root: Path) -> Any:
    """The tree `t` at the mount itself, whatever the path says."""
    inner = site.resolve

    async def resolve(name: str, authorization: str | None) -> DavTree:
        return dataclasses.replace(await inner("t", authorization), name="Measurements", at_mount=True)

    site.dav._resolve = resolve
    (root / "d").mkdir()
    (root / "f").write_text("content")
    (root / b"\xff".decode("utf-8", "surrogateescape")).write_text("no UTF-8")
    return site


async def test_the_whole_path_is_inside(at_mount: Any) -> None:
    for target in (MOUNT, MOUNT + b"/"):
        listing = (await at_mount.ask("PROPFIND", headers={"depth": "1"}, raw=target)).text
        assert listing.index("<d:href>/dav/ocm/</d:href>") < listing.index("<d:href>/dav/ocm/d/</d:href>")
        assert "<d:displayname>Measurements</d:displayname>" in listing
        assert "<d:href>/dav/ocm/%FF</d:href>" in listing
    assert (await at_mount.ask("GET", raw=MOUNT + b"/f")).body == b"content"
    assert (await at_mount.ask("GET", raw=MOUNT + b"/%FF")).body == b"no UTF-8"
    for trick in (b"/..", b"/../f", b"/%2e%2e/f", b"/d/../../f", b"/a%2fb"):
        assert (await at_mount.ask("GET", raw=MOUNT + trick)).status == 403


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_destinations(at_mount: Any, root: Path, method: str) -> None:
    for destination, status in (
        ("/dav/ocm/d/g", 201),
        ("/dav/files/alice/g", 403),
        ("/dav/ocm/", 403),
        ("/dav/ocm", 403),
        ("/dav/ocm/../g", 403),
        ("/g", 403),
    ):
        (root / "f").write_text("content")
        assert (await at_mount.ask(method, headers={"destination": destination}, raw=MOUNT + b"/f")).status == status
    assert (root / "d/g").read_text() == "content"
    assert sorted(path.name for path in root.parent.rglob("g")) == ["g"]


async def test_a_file_is_its_own_name(site: Any, tmp_path: Path) -> None:
    (site.root / "report.txt").write_text("content")
    inner = site.resolve

    async def resolve(name: str, authorization: str | None) -> DavTree:
        tree = await inner(name, authorization)
        return dataclasses.replace(tree, storage=Subtree(tree.storage, "report.txt"), name="report.txt", is_file=True)

    site.dav._resolve = resolve
    for below in ("", "report.txt", "report.txt/"):
        answer = await site.ask("GET", below)
        assert (answer.status, answer.body) == (200, b"content")
    assert "<d:href>/dav/ocm/t/report.txt</d:href>" in (await site.ask("PROPFIND", "report.txt")).text
    assert "<d:href>/dav/ocm/t</d:href>" in (await site.ask("PROPFIND", "")).text
    for below in ("report.txt/report.txt", "report.tx", "REPORT.TXT"):
        assert (await site.ask("GET", below)).status in (404, 409), below
