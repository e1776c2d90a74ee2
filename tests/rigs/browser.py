"""A real browser without a window: the system's own Chromium."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ViewportSize, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

Scheme = Literal["light", "dark"]
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_WAIT_MS = 8_000
_SIZE: ViewportSize = {"width": 1280, "height": 800}
_SERIOUS = frozenset({"serious", "critical"})


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser; skip where there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("There is no Chromium. As root, scripts/debian.sh chromium installs it.")
    with sync_playwright() as playwright:
        # Without a sandbox: it shows nothing but our own page, and the tests may be root.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """Look at the page as somebody does who has nothing from before, and note what goes wrong."""

    def __init__(self, browser: Browser, **given: Any) -> None:
        """Open an empty page."""
        self._context = browser.new_context(viewport=_SIZE, **given)
        self._context.set_default_timeout(_WAIT_MS)
        self.page: Page = self._context.new_page()
        self.errors: list[str] = []
        self.urls: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self._note(said.type, said.text))
        self.page.on("request", lambda request: self.urls.append(request.url))

    def _note(self, kind: str, text: str) -> None:
        if kind == "error":
            self.errors.append(text)

    @property
    def cookies(self) -> list[Any]:
        """Return what the browser would add to requests by itself."""
        return list(self._context.cookies())

    def begin(self) -> None:
        """Forget what was: as if the window had just been opened."""
        self.page.goto("about:blank")
        self.set_look(_SIZE["width"], "light")
        self.errors.clear()
        self.urls.clear()

    def set_look(self, width: int, scheme: Scheme) -> None:
        """Be a window of a width, for somebody who wants light or dark pages."""
        self.look = width, scheme
        self.page.set_viewport_size({"width": width, "height": _SIZE["height"]})
        self.page.emulate_media(color_scheme=scheme)

    def refresh(self) -> None:
        """Have the page look at once, as it does every two seconds."""
        self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    def close(self) -> None:
        """Close the page."""
        self._context.close()

    def violations(self) -> list[str]:
        """Return what makes the page hard to use for some, as axe-core finds it."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {node['target']} {node['failureSummary']}"
            for each in found
            if each["impact"] in _SERIOUS
            for node in each["nodes"]
        ]

    def is_wider_than_window(self) -> bool:
        """Tell whether the page has to be scrolled sideways."""
        script = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        return bool(self.page.evaluate(script))
