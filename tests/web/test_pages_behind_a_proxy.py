"""docs/operate/reverse-proxy.md, "Beside another site", passes every page of the app on."""

import re
from pathlib import Path

from opencloudmesh.web.pages.app import page_routes


def test_every_page_beside_another_site_is_passed_on(project_root: Path) -> None:
    page = (project_root / "docs/operate/reverse-proxy.md").read_text("utf-8")
    section = page.partition("## Beside another site")[2].partition("\n## ")[0]
    passed = [re.compile(pattern) for pattern in re.findall(r"^location ~ (\S+) \{", section, re.MULTILINE)]
    assert passed
    routes = page_routes(None, None)  # type: ignore[arg-type]
    paths = {route.path.replace("{id}", "1").replace("{act}", "accept") for route in routes} - {"/"}
    paths |= {
        "/static/style.css",
        "/static/pages.js",
        "/.well-known/ocm",
        "/.well-known/jwks.json",
        "/ocm/shares",
        "/ocm-provider",
    }
    assert sorted(path for path in paths if not any(pattern.search(path) for pattern in passed)) == []
    assert not any(pattern.search("/blog") or pattern.search("/filesystem") for pattern in passed)
