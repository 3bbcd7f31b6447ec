"""`cosy-jax serve` as a process of its own, with the small model."""

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from benchmarks.load import resident
from tests.conftest import TINY
from tests.reference import REPOSITORY

_START = 300  # seconds, beside other work


class Server:
    """A server's process."""

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

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return self.url.removeprefix("http://")

    @property
    def log(self) -> str:
        """What it has written to standard error."""
        return "".join(self._log)

    def metric(self, name: str) -> float:
        """A figure of /metrics; 0 where it is not there yet."""
        text = httpx2.get(f"{self.url}/metrics", timeout=60).text
        found = re.search(rf"^cosy_jax_{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def resident(self) -> float:
        """Its memory, MB."""
        return resident(self.process.pid)

    def end(self) -> None:
        """At once, as `kill -9` does."""
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stderr
        with self.process.stderr as lines:
            for line in lines:
                self._log.append(line)
                if found := re.search(r"listening on (http://[^\s,]+)", line):
                    self.url = found[1]
                    self._listening.set()
        self._listening.set()


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """A server, killed at the end."""
    server = Server(folder, *options)
    try:
        yield server
    finally:
        server.end()


def wait_for(condition, seconds=60) -> None:
    """Until it holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
