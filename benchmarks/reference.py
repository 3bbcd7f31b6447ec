"""The PyTorch reference in a process of its own, with its own interpreter (benchmarks/reference_worker.py)."""

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.worker import Worker
from benchmarks.workload import WORK
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


class Reference(Worker):
    """The reference's process."""

    def __init__(self, python: str, checkout: Path, matcha: Path, device: str) -> None:
        """CosyError where `check_reference` finds something missing, or the worker does not start."""
        check_reference(python, checkout, matcha)
        arguments = [str(_WORKER), str(checkout), "--matcha", str(matcha), "--device", device]
        super().__init__("The reference", [python, "-W", "ignore", *arguments])

    def load(self, stage: str, dtype: str, config: Any, work: dict[str, int] = WORK) -> None:
        """Build a stage of these sizes, with random weights; the one before is forgotten."""
        self.ask({"load": stage, "dtype": dtype, "sizes": dataclasses.asdict(config), "work": work})

    def run(self) -> float:
        """Seconds of one run of the loaded stage."""
        return self.ask({"run": True})["seconds"]

    def free(self) -> None:
        """Forget the loaded stage."""
        self.ask({"free": True})
