"""The PyTorch reference in a process of its own, with its own interpreter (benchmarks/reference_worker.py)."""

import dataclasses
import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.workload import NEW_TOKENS, PROMPT_TOKENS, TEXT_IDS
from cosy_jax.errors import CosyError

_NEEDS = ("torch", "transformers", "numpy", "scipy", "einops", "x_transformers")
_WORKER = Path(__file__).with_name("reference_worker.py")
_FIND = "import sys; from importlib.util import find_spec; print(*[n for n in sys.argv[1:] if find_spec(n) is None])"


def check_reference(python: str, checkout: Path, matcha: Path) -> None:
    """CosyError that says what is missing: a checkout, or packages of the interpreter."""
    for folder, package in ((checkout, "cosyvoice"), (matcha, "matcha")):
        if not (folder / package).is_dir():
            raise CosyError(f"{folder} holds no package '{package}': give the checkouts by --reference and --matcha.")
    try:
        found = subprocess.run([python, "-c", _FIND, *_NEEDS], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CosyError(f"{python} is no Python to run the reference with: {error}.") from error
    if missing := found.stdout.split():
        raise CosyError(f"{python} lacks {', '.join(missing)}: install them, or name another --reference-python.")


class Reference:
    """A worker process; it works only while a method here waits for it, and ends with the block."""

    def __init__(self, python: str, checkout: Path, matcha: Path, device: str) -> None:
        """CosyError where `check_reference` finds something missing, or the worker does not start."""
        check_reference(python, checkout, matcha)
        command = [python, "-W", "ignore", str(_WORKER), str(checkout), "--matcha", str(matcha), "--device", device]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.cpu_seconds = 0.0  # of the process, up to its last answer
        self.runs_on: str = self._read()["runs_on"]

    def load(self, stage: str, dtype: str, config: Any) -> None:
        """Build a stage of these sizes, with random weights; the one before is forgotten."""
        work = {"text_ids": TEXT_IDS, "prompt_tokens": PROMPT_TOKENS, "new_tokens": NEW_TOKENS}
        self._ask({"load": stage, "dtype": dtype, "sizes": dataclasses.asdict(config), "work": work})

    def run(self) -> float:
        """Seconds of one run of the loaded stage."""
        return self._ask({"run": True})["seconds"]

    def free(self) -> None:
        """Forget the loaded stage."""
        self._ask({"free": True})

    def _ask(self, job: dict) -> dict:
        assert self._process.stdin is not None
        print(json.dumps(job), file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> dict:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CosyError(f"The reference's process ended with status {self._process.wait()}; see its output above.")
        answer = json.loads(line)
        if "error" in answer:
            raise CosyError(f"The reference failed:\n{answer['error']}")
        self.cpu_seconds = answer["cpu_seconds"]
        return answer

    def __enter__(self) -> "Reference":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()
