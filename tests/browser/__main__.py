"""Pictures of every page, light and dark, for the docs: `python -m tests.browser docs/screenshots`."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from tests.browser.person import Person, chromium
from tests.browser.stage import PageToSee, go_to, pages, set_the_stage
from tests.federation.peer import SimulatedPeer
from tests.federation.site import Site, User

_SIZE = {"width": 760, "height": 420}
_HIGHEST = 820
"""Of a picture in the docs: whoever clones the project loads them all."""


def main(arguments: list[str]) -> int:
    """Start the servers, set the stage, take the pictures; `--all` also of what the docs do not show, and narrow."""
    everything, (target,) = "--all" in arguments, [Path(one) for one in arguments if one != "--all"]
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ocm-pages-") as folder:
        home, away = Site(Path(folder) / "home", ["alice"], {"public_links": "true"}), Site(Path(folder) / "away", ["bob"])
        peer = SimulatedPeer(Path(folder))
        for site in (home, away):
            site.set_up()
        try:
            for site in (home, away):
                site.start()
            with peer.serving(), chromium() as browser:
                link = set_the_stage(User(home, "alice"), User(away, "bob"), peer)
                _take(browser, pages(home, away, peer, link=link), home.origin, target, everything=everything)
        finally:
            for site in (home, away):
                site.stop()
    return 0


def _take(browser: Browser, stage: Sequence[PageToSee], origin: str, target: Path, *, everything: bool) -> None:
    user, visitor = Person(browser, viewport=_SIZE), Person(browser, viewport=_SIZE)
    user.visit(origin)
    user.log_in("alice")
    for page in stage:
        if not everything and not page.in_docs:
            continue
        who = visitor if page.is_public else user
        go_to(who, origin, page)
        for scheme in ("light", "dark"):
            who.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            _picture(who, target / f"{page.picture}-{scheme}.png", highest=None if everything else _HIGHEST)
            if everything:
                who.page.set_viewport_size({"width": 360, "height": 640})
                _picture(who, target / f"{page.picture}-{scheme}-narrow.png")
                who.page.set_viewport_size(_SIZE)  # type: ignore[arg-type]


def _picture(person: Person, path: Path, *, highest: int | None = None) -> None:
    height = int(person.page.evaluate("document.documentElement.scrollHeight"))
    width = int(person.page.evaluate("document.documentElement.clientWidth"))
    clip: Any = {"x": 0, "y": 0, "width": width, "height": min(height, highest or height)}
    person.page.screenshot(path=path, full_page=True, clip=clip, animations="disabled")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
