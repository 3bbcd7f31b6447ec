"""A browser to look at a server's page with."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

DEMANDED = "COSY_JAX_BROWSER_TESTS"  # set: a machine without a browser fails
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def browsing(*options: str) -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        assert not os.environ.get(DEMANDED), f"no browser: install chromium, or unset {DEMANDED}"
        pytest.skip("needs a browser: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*options])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def looking(context: BrowserContext, url: str, expected: str = "") -> Iterator[Page]:
    """The page of a server. At the end: it asked no other host, and complained of nothing but `expected`."""
    complaints: list[str] = []
    hosts: set[str] = set()

    def complain(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    page = context.new_page()
    page.on("console", complain)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.goto(url)
    try:
        yield page
        assert hosts - {""} == {urlsplit(url).netloc}  # "": of blobs and data
        assert [text for text in complaints if not expected or expected not in text] == []
    finally:
        page.close()
