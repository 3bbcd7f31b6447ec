"""An actor of the pool: one synthesizer, which speaks block after block through the batch pipeline."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from cosy_jax.audio.write import audio_bytes
from cosy_jax.batch.entries import SHOWN_FAILURES, Outcome, failed_entry, spoken_entry
from cosy_jax.batch.manifest import Line
from cosy_jax.batch.messages import Finished, Spoken
from cosy_jax.batch.origin import content_digest
from cosy_jax.batch.pipeline import Settings, run_batch
from cosy_jax.batch.prepare import VoiceCache
from cosy_jax.batch.stats import Stats
from cosy_jax.cluster.job import Block, Job, Report
from cosy_jax.cluster.layout import Recorded, shard_name, write_shard
from cosy_jax.cluster.record import block_name, entries_name, read_entries, write_entries
from cosy_jax.errors import CosyError
from cosy_jax.nn.compile_log import count_compilations
from cosy_jax.nn.devices import local_devices
from cosy_jax.nn.precision import get_precision
from cosy_jax.synthesis.synthesizer import Synthesizer

_TELL_SECONDS = 5.0  # at ten thousand workers two thousand messages a second, about what one process can take


class Watch(Protocol):
    """The `Monitor`, from a worker. What it does not answer counts as "go on"."""

    def begin(self, block: int) -> tuple[bool, bool]: ...

    def tell(self, block: int, stats: Stats) -> bool: ...

    def end(self, block: int) -> None: ...


class Speaker:
    """A synthesizer with what it has loaded, and the voices that it has met."""

    def __init__(self, job: Job, watch: Watch) -> None:
        """CosyError where the weights cannot be read on this node."""
        self._job, self._watch = job, watch
        devices = local_devices(job.model_parallel)
        self._synthesizer = Synthesizer(
            job.weights, job.llm, get_precision(job.dtype), devices, job.voices, job.adapter
        )
        self._settings = Settings.default(job.slots, job.flow_rows, devices.data)
        self._voices = VoiceCache(self._synthesizer)

    def speak(self, block: Block) -> Report:
        """Speaks the lines of a block, writes their audio, then their entries. A block that is in the storage, since
        the worker that spoke it was lost before it could say so, is only reported.

        Once the watch says so, lines that have not begun are left out.
        """
        name = block_name(self._job.run, block.number)
        if self._job.storage.exists(entries_name(name, self._job.form)):
            return _earlier(read_entries(self._job.storage, entries_name(name, self._job.form)), block)
        may_begin, stopping = self._watch.begin(block.number)
        if stopping:
            return Report()
        written, report = _Written(self._job, name), Report()
        try:
            if may_begin:
                self._run(block, written, report)
            else:
                _refuse(block, written)
            written.close()
        except CosyError as error:
            report.error = str(error)
        report.failures = written.failures
        _count(report.stats, written)
        self._watch.end(block.number)
        return report

    def _run(self, block: Block, written: "_Written", report: Report) -> None:
        stop, rate = threading.Event(), self._synthesizer.config.sample_rate

        def deliver(finished: Finished) -> None:
            written.add(finished.outcome, finished.audio if isinstance(finished, Spoken) else None, rate)
            _count(report.stats, written)

        with count_compilations() as compiled, self._telling(block.number, report.stats, stop):
            lines = iter(block.lines)
            run_batch(self._synthesizer, lines, deliver, self._settings, report.stats, stop, self._voices)
        report.compiled = (compiled.programs, compiled.cached, compiled.seconds)

    @contextmanager
    def _telling(self, block: int, stats: Stats, stop: threading.Event) -> Iterator[None]:
        """Tells the watch how far the block is, in a thread, and sets `stop` when it says so."""
        ended = threading.Event()

        def tell() -> None:
            while not ended.wait(_TELL_SECONDS):
                if self._watch.tell(block, stats):
                    stop.set()

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            ended.set()
            teller.join()


class _Written:
    """The audio and the entries of a block."""

    def __init__(self, job: Job, block: str) -> None:
        self._job, self._block = job, block
        self._shard = shard_name(job.layout, block)
        self._entries: list[dict[str, Any]] = []
        self._recorded: list[Recorded] = []
        self.failures: list[Outcome] = []
        self.lines = self.failed = self.tokens = 0
        self.audio_seconds = 0.0

    def add(self, outcome: Outcome, samples: np.ndarray | None, sample_rate: int) -> None:
        """Takes a line; its file is written at once, a shard when it is closed. A line that cannot be written fails."""
        line, error = outcome.line, outcome.error
        self.lines += 1
        if not error:
            assert isinstance(line, Line) and samples is not None
            content = audio_bytes(line.wav, samples, sample_rate)
            error = self._keep(Recorded(line, content))
        if error:
            self.failed += 1
            self._entries.append(failed_entry(line, error))
            if len(self.failures) < SHOWN_FAILURES:
                self.failures.append(Outcome(line, error=error))
            return
        self.audio_seconds += outcome.seconds
        self.tokens += outcome.tokens
        entry = spoken_entry(outcome, self._job.run, content_digest(content))
        self._entries.append(entry | ({"shard": self._shard} if self._shard else {}))

    def _keep(self, recorded: Recorded) -> str:
        """Writes a line's file, or keeps it for the shard; a sentence where it cannot."""
        if self._shard:
            self._recorded.append(recorded)
            return ""
        try:
            self._job.storage.write(recorded.line.wav, recorded.content)
        except CosyError as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Writes the shard, and only then the entries; CosyError where that cannot be."""
        if self._shard:
            write_shard(self._job.storage, self._shard, self._recorded)
        if self._entries:
            ordered = sorted(self._entries, key=lambda entry: entry["line"])
            write_entries(self._job.storage, self._block, self._job.form, ordered)


def _refuse(block: Block, written: _Written) -> None:
    error = "Every worker that began the block of this line was lost: look for what ended them, and start again."
    for line in block.lines:
        written.add(Outcome(line, error=error), None, 0)


def _count(stats: Stats, written: _Written) -> None:
    stats.lines, stats.failed = written.lines, written.failed
    stats.audio_seconds, stats.tokens = written.audio_seconds, written.tokens


def _earlier(entries: list[dict[str, Any]], block: Block) -> Report:
    lines, report = {line.key: line for line in block.lines}, Report()
    for entry in entries:
        report.stats.lines += 1
        if "error" in entry:
            report.stats.failed += 1
            report.failures.append(Outcome(lines[entry["key"]], error=entry["error"]))
        else:
            report.stats.audio_seconds += entry["seconds"]
            report.stats.tokens += entry["tokens"]
    return report
