"""The output folder of `cosy-jax batch`: an audio file for each line that was spoken, and what became of every line.

`results.jsonl`, or `results-I-of-N.jsonl` of a shard, has the `entries`.

Audio goes into a hidden file beside its target, then the entry is written, then the file gets its name. Wherever the
process is killed, no file is incomplete under its name and no line is spoken twice: opening the folder again completes
what lacks its last step, told by the digest of the audio that the entry holds.
"""

import os
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from cosy_jax.audio.write import audio_file
from cosy_jax.batch.entries import (
    Outcome,
    begins_an_entry,
    encoded,
    failed_entry,
    last_line,
    read_entries,
    spoken_entry,
)
from cosy_jax.batch.hold import hold, results_files, results_path
from cosy_jax.batch.ledger import Ledger, Standing
from cosy_jax.batch.manifest import BadLine, Line
from cosy_jax.batch.origin import file_digest
from cosy_jax.errors import CosyError


class Results:
    """An output folder that one process holds for a shard; `deliver` and `standing` may be called from any thread.

    Opening it creates the folder where needed. CosyError where it cannot be written, another process holds it for the
    shard or with another number of shards, or a results file in it is not ours: then nothing in it is touched.
    """

    def __init__(self, folder: str | Path, num_shards: int = 1, shard_index: int = 0) -> None:
        self.folder = Path(folder)
        self.path = results_path(self.folder, num_shards, shard_index)
        self.unrecorded = 0  # outcomes that found no room in the results file
        self._lock = threading.Lock()
        self._file = hold(self.path, num_shards)
        self._ledger = Ledger()
        try:
            self._take_over()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self._run = self._ledger.latest_run + 1

    def __enter__(self) -> "Results":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)
        self._ledger.close()

    def standing(self, line: Line) -> Standing:
        """Whether a line was spoken before the folder was opened, by this shard or another, and is there as it would be
        spoken now."""
        return self._ledger.standing(line, lambda wav: os.path.isfile(self.folder / wav))

    def deliver(self, outcome: Outcome, samples: np.ndarray | None, sample_rate: int) -> Outcome:
        """Writes the audio, float32 (S,), and the entry; gives the outcome back, with an error where that failed.

        Without samples the outcome must have an error. A full disk is an error of this line, and not raised.
        """
        if samples is None or isinstance(outcome.line, BadLine):
            return self._fail(outcome, outcome.error)
        target = self.folder / outcome.line.wav
        try:
            _write_part(target, samples, sample_rate)
        except CosyError as error:
            return self._fail(outcome, str(error))
        if problem := self._append(spoken_entry(outcome, self._run, file_digest(_part(target)) or "")):
            _remove_part(target)
            return replace(outcome, error=problem)
        try:
            _finish(target)
        except CosyError as error:
            return replace(outcome, error=str(error))
        return outcome

    def _fail(self, outcome: Outcome, error: str) -> Outcome:
        if isinstance(outcome.line, Line):
            _remove_part(self.folder / outcome.line.wav)  # may also be left from an earlier run
        self._append(failed_entry(outcome.line, error))
        return replace(outcome, error=error)

    def _append(self, entry: dict[str, Any]) -> str:
        """Adds an entry, all of it or nothing; a sentence where there was no room, else ""."""
        data = encoded(entry)
        with self._lock:
            try:
                size = os.fstat(self._file).st_size
                if os.write(self._file, data) == len(data):
                    return ""
                os.ftruncate(self._file, size)  # the next entry starts a line
                reason = "the disk is full"
            except OSError as error:
                reason = str(error.strerror)
            self.unrecorded += 1
        return f"Cannot write {self.path}: {reason}."

    def _take_over(self) -> None:
        """Reads what earlier runs have written, all of it, and only then finishes what they left unfinished."""
        unnamed = []
        for path, _ in results_files(self.folder):
            for entry in read_entries(path):
                if "error" not in entry:
                    self._ledger.enter(entry)
                    if os.path.exists(_part(self.folder / entry["wav"])):
                        unnamed.append(entry)
        self._end_last_line()
        for entry in unnamed:
            _complete(self.folder / entry["wav"], entry)

    def _end_last_line(self) -> None:
        """Cuts off an entry that was not written to its end; what is no entry stays, and the next one starts a line."""
        rest = last_line(self.path)
        try:
            if begins_an_entry(rest):
                os.ftruncate(self._file, os.fstat(self._file).st_size - len(rest))
            elif rest:
                os.write(self._file, b"\n")
        except OSError as error:
            raise CosyError(f"Cannot write {self.path}: {error.strerror}.") from error


def _part(target: Path) -> Path:
    """Where a file is until it is complete: the same name each time, so that a restart finds it."""
    return target.with_name(f".{target.name}.part")


def _write_part(target: Path, samples: np.ndarray, sample_rate: int) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CosyError(f"Cannot create the folder {target.parent}: {error.strerror}.") from error
    if os.path.isdir(target):
        raise CosyError(f"{target} is a folder: name a file.")
    with audio_file(_part(target), target, sample_rate) as file:
        file.write(samples)


def _remove_part(target: Path) -> None:
    with suppress(OSError):
        _part(target).unlink()


def _complete(target: Path, entry: dict[str, Any]) -> None:
    """Gives the file of an entry its name, where only that step is missing."""
    audio = entry.get("digests", {}).get("audio")
    # Earlier versions, which recorded no digest, never wrote over a file.
    if file_digest(_part(target)) == audio if audio else not os.path.exists(target):
        _finish(target)


def _finish(target: Path) -> None:
    """Gives a complete file its name, unless another shard that was just opened has done so."""
    try:
        os.replace(_part(target), target)
    except OSError as error:
        if not os.path.exists(target):
            raise CosyError(f"Cannot name {target}: {error.strerror}; the next start tries again.") from error
