"""A server's process, and a browser to look at its page with."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.conftest import TINY
from tests.reference import REPOSITORY

DEMANDED = "COSY_JAX_BROWSER_TESTS"  # set: a machine without a browser fails
_START = 300  # seconds, beside other work
_NAMES = ("chromium", "chromium-browser", "google-chrome")


class Server:
    """`cosy-jax serve` as a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "cosy_jax", "serve", "--weights", str(TINY), "--cold", "--port", "0"]
        environment = os.environ | {"COSY_JAX_CACHE": str(REPOSITORY / ".pytest_cache" / "xla")}
        self._log: list[str] = []
        self._listening = threading.Event()
        self.process = subprocess.Popen(
            [*command, "--voices", str(folder), *options],
            cwd=REPOSITORY,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.url = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not self._listening.wait(_START) or not self.url:
            self.end()
            pytest.fail("".join(self._log))

    def _read(self) -> None:
        assert self.process.stderr
        with self.process.stderr as lines:
            for line in lines:
                self._log.append(line)
                if found := re.search(r"listening on (http://[^\s,]+)", line):
                    self.url = found[1]
                    self._listening.set()
        self._listening.set()

    def end(self) -> None:
        """At once."""
        self.process.kill()
        self.process.wait()
        self._reader.join()


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """A server, killed at the end."""
    server = Server(folder, *options)
    try:
        yield server
    finally:
        server.end()


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
