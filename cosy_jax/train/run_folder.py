"""The folder of a run.

config.json      what is trained, on what, with which settings
checkpoints/     of orbax
metrics.jsonl    an object a line: means over the last steps, and held-out figures
losses.png       both
tensorboard/     the same for TensorBoard
samples/         speech made on the way
export/          the model with what was learnt, a converted folder; adapter/ beside it, of low-rank changes
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax

from cosy_jax.errors import CosyError
from cosy_jax.files import write_whole

CONFIG, METRICS, LOCK = "config.json", "metrics.jsonl", ".lock"
# These may differ when a run goes on.
_FREE = frozenset(
    {"steps", "export", "keep", "log_every", "save_every", "evaluate_every", "sample_every", "sample_text"}
)


class RunFolder:
    """A run's files; one process at a time writes them, of several that train together the first."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.writes = jax.process_index() == 0

    @property
    def checkpoints(self) -> Path:
        return self.path.resolve() / "checkpoints"

    @contextmanager
    def opened(self, config: dict[str, Any]) -> Iterator[None]:
        """Made, or found as a run of the same `config`, and locked. CosyError where it is something else, or in use."""
        if not self.writes:
            yield
            return
        found = self._config()
        if found is None and self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise CosyError(f"{self.path} is there and is no run of a training: name a new or empty folder.")
        if found is not None and (different := _difference(found, config)):
            raise CosyError(
                f"{self.path} is a run with other {' and '.join(different)}: name a new folder, or repeat its options."
            )
        write_whole(self.path / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
        with open(self.path / LOCK, "wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CosyError(f"{self.path} is being trained by another process: wait for it, or end it.") from error
            except OSError:  # some network file systems know no locks
                pass
            yield

    def forget_after(self, step: int) -> None:
        """Takes the metrics of later steps away: the run goes on from there."""
        if not self.writes:
            return
        kept = [line for line in self.metrics() if line["step"] <= step]
        write_whole(self.path / METRICS, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def add(self, figures: dict[str, Any]) -> None:
        """A line of metrics."""
        if not self.writes:
            return
        with open(self.path / METRICS, "a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """All lines that are whole."""
        lines = []
        with suppress(FileNotFoundError):
            for line in (self.path / METRICS).read_text(encoding="utf-8").splitlines():
                with suppress(ValueError):
                    lines.append(json.loads(line))
        return [line for line in lines if isinstance(line, dict) and isinstance(line.get("step"), int)]

    def _config(self) -> dict[str, Any] | None:
        try:
            content = json.loads((self.path / CONFIG).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) and "settings" in content else None


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """The names of what keeps one run from being the other."""
    flat = [{**each, **each["settings"], "settings": None} for each in (found, json.loads(json.dumps(wanted)))]
    names = sorted(flat[0].keys() | flat[1].keys())
    return [name for name in names if name not in _FREE and flat[0].get(name) != flat[1].get(name)]
