"""A real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from windows import DESKTOP


@dataclasses.dataclass
class Opened:
    """A page in the browser, and what it did that a report must not do.

    Attributes:
        page: Playwright's page.
        errors: exceptions of scripts, and errors and warnings on the console.
        requests: addresses that were asked for, besides the file itself.
    """

    page: object
    errors: list[str]
    requests: list[str]


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser) -> Iterator[Callable[..., Opened]]:
    """Opens a file in a window of its own: `opened(path, size=PHONE, color_scheme="dark")`."""
    contexts = []

    def open_file(path: Path, *, size: tuple[int, int] = DESKTOP, **options: object) -> Opened:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        found = Opened(context.new_page(), [], [])
        found.page.on("pageerror", lambda error: found.errors.append(str(error)))
        found.page.on("console", lambda m: found.errors.append(m.text) if m.type in ("error", "warning") else None)
        found.page.on("request", lambda request: found.requests.append(request.url))
        found.page.goto(path.as_uri())
        found.requests = [url for url in found.requests if url != path.as_uri() and not url.startswith("data:")]
        return found

    yield open_file
    for context in contexts:
        context.close()
