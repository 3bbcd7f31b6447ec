"""A process that answers one JSON line with one, and works only while it is asked."""

import json
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from cosy_jax.errors import CosyError


class Worker:
    """Ends with the block. Every answer has the "cpu_seconds" and the "peak_bytes" of the process up to it."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        """CosyError, which calls it `name`, where the process does not start."""
        self._name = name
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.cpu_seconds, self.peak_bytes = 0.0, 0
        self.runs_on: str = self._read()["runs_on"]

    def ask(self, job: dict) -> dict:
        """The answer; CosyError where the worker fails."""
        assert self._process.stdin is not None
        print(json.dumps(job), file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> dict:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise CosyError(f"The process of {self._name} ended with status {status}; see its output above.")
        answer = json.loads(line)
        if "error" in answer:
            raise CosyError(f"{self._name} failed:\n{answer['error']}")
        self.cpu_seconds, self.peak_bytes = answer["cpu_seconds"], answer["peak_bytes"]
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()
