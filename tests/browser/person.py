"""A person at a browser: every click and every key is counted, and whatever the browser complains about is kept."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.federation.site import PASSWORD
from tests.federation.wire import SECONDS

# Nothing is looked up and nothing is loaded but from this machine.
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
_MILLISECONDS = 1000 * SECONDS
_MOST_TABS = 60
expect.set_options(timeout=_MILLISECONDS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's browser, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS, timeout=_MILLISECONDS)
        try:
            yield browser
        finally:
            browser.close()


class Person:
    """One browser with its own cookies; `how` are options of a context of Playwright."""

    def __init__(self, browser: Browser, **how: Any) -> None:
        self.context: BrowserContext = browser.new_context(**how)
        self.context.set_default_timeout(_MILLISECONDS)
        self.page: Page = self.context.new_page()
        self.clicks = 0
        self.complaints: list[str] = []
        """Refusals of the Content-Security-Policy, faults of a script, a dialog that somebody's script opened."""
        self.page.on("console", lambda said: self._complains(said.text) if _is_refusal(said.text) else None)
        self.page.on("pageerror", lambda fault: self._complains(str(fault)))
        self.page.on("dialog", self._dialog)

    def _complains(self, text: str) -> None:
        self.complaints.append(text)

    def _dialog(self, dialog: Any) -> None:
        self._complains(f"dialog: {dialog.message}")
        dialog.dismiss()

    def visit(self, url: str) -> int:
        """Type an address; the status of the answer."""
        answer = self.page.goto(url)
        return answer.status if answer else 0

    def click(self, role: Any, name: str) -> None:
        """Click on the first link or button of that name; what it leads to is there, and its script has run."""
        self.page.get_by_role(role, name=name, exact=True).first.click()
        self.page.wait_for_load_state()
        self.clicks += 1

    def open(self, name: str) -> None:
        """Click on the first of that name that asks whether it is meant."""
        self.page.locator("summary", has_text=name).first.click()
        self.clicks += 1

    def fill(self, label: str, text: str) -> None:
        self.page.get_by_label(label, exact=True).fill(text)

    def log_in(self, name: str) -> None:
        """Fill in the form of the login page, and send it."""
        self.fill("User name", name)
        self.fill("Password", PASSWORD)
        self.click("button", "Log in")

    def tab_to(self, role: Any, name: str) -> None:
        """Press Tab until that is focused, visibly; `summary` is the role of a question that opens."""
        found = self.page.locator("summary", has_text=name) if role == "summary" else None
        wanted = (found or self.page.get_by_role(role, name=name, exact=True)).first
        wanted.wait_for()
        for _ in range(_MOST_TABS):
            self.page.keyboard.press("Tab")
            if wanted.evaluate("node => node === document.activeElement"):
                assert wanted.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
                return
        raise AssertionError(f"{role} {name} cannot be reached by the keyboard")

    @property
    def text(self) -> str:
        """All that the page shows, when it is there."""
        self.page.wait_for_load_state()
        return self.page.locator("body").inner_text()

    @property
    def heading(self) -> str:
        return self.page.locator("h1").inner_text()

    def value(self, label: str) -> str:
        return self.page.get_by_label(label, exact=True).input_value()


def _is_refusal(text: str) -> bool:
    return "Content Security Policy" in text or "Content-Security-Policy" in text
