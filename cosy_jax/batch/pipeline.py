"""Many utterances through the stages, each stage in a thread of its own.

    Line ── prepare ── Part ── decode ── DecodedPart ── flow ── MelPart ── vocoder ── AudioPart ─┐
               │                  │                      │                    │                  │
               │                  └───── FailedPart ─────┴──── FailedPart ────┴─── FailedPart ───┴── Assembly
               │                                                                                        │
               └─ Failed ──────────────────────> deliver <─────────────────────── Spoken or Failed ─────┘

Between the stages stand the classes of `messages`, none of which changes once it is made. A long text has several
parts; its line is finished when all of them are, and `Assembly` is the one place that waits for that, in the thread of
`render`, as flow and vocoder. Which rows are batched with which depends on the manifest alone, not on timing: the same
manifest runs the same programs.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cosy_jax.batch.channel import Cancelled, Channel
from cosy_jax.batch.decode import decode
from cosy_jax.batch.manifest import Line
from cosy_jax.batch.messages import DecodedPart, FailedPart, Finished, Part
from cosy_jax.batch.prepare import VoiceCache, prepare
from cosy_jax.batch.render import render
from cosy_jax.batch.stats import Stats
from cosy_jax.llm.continuous import Batching
from cosy_jax.nn import backend
from cosy_jax.synthesis.stage import Stage
from cosy_jax.synthesis.synthesizer import Synthesizer

# Of the flow on two cores, and of the vocoder. XLA's threads wait for each other in every operation, and two programs
# side by side lose less: a batch of a small model takes 0.75 of the time, of a released one 0.86. Three gain no more.
_AT_ONCE = 2


@dataclass(frozen=True)
class Settings:
    """How much is computed at a time."""

    batching: Batching
    flow_rows: int
    at_once: int = 1  # batches of the flow, and of the vocoder

    @classmethod
    def default(cls, slots: int | None = None, flow_rows: int | None = None, devices: int = 1) -> "Settings":
        """What suits the machine, for rows (`slots`) and batches that are not given; both are for all devices
        together, whole multiples of their number."""
        if backend.host_platform() == "cpu":
            # Prefill and flow are bound by arithmetic there, and one row is enough to reach the limit.
            rows, started, refill, flow, at_once = 16, 1, 1, 1, min(_AT_ONCE, backend.host_cores())
        else:
            rows, started, refill, flow, at_once = 64, 8, 8, 16, 1

        def whole(count: int) -> int:
            return -(-count // devices) * devices

        batching = Batching(whole(slots or rows * devices), whole(started), refill=refill)
        return cls(batching, whole(flow_rows or flow * devices), at_once)


def run_batch(
    synthesizer: Synthesizer,
    lines: Iterator[Line],
    deliver: Callable[[Finished], None],
    settings: Settings,
    stats: Stats,
    stop: threading.Event,
    voices: VoiceCache | None = None,
) -> None:
    """Speaks the lines and hands each to `deliver` when it is ready, all from one thread; `voices` are kept for the
    next run.

    Lines are taken as they are needed. Once `stop` is set none is begun any more, and those that have begun are
    delivered. What is a line's own fault is its outcome's error; everything else is raised here.
    """
    failed = threading.Event()
    parts: Channel[Part] = Channel(settings.batching.rows, failed)
    decoded: Channel[DecodedPart | FailedPart] = Channel(settings.batching.rows, failed)
    ready: Channel[Finished] = Channel(settings.flow_rows, failed)
    cache = voices or VoiceCache(synthesizer)
    run_together(
        [
            lambda: prepare(lines, synthesizer, cache, parts, ready, stop, stats),
            lambda: decode(parts, decoded, synthesizer, settings.batching, stop, stats),
            lambda: render(decoded, ready, synthesizer, settings.flow_rows, settings.at_once, stats),
            lambda: _deliver_all(ready, deliver, stats),
        ],
        failed,
    )


def run_together(stages: list[Callable[[], None]], failed: threading.Event) -> None:
    """Each stage in a thread, until all have returned. The first error of one sets `failed`, at which the others give
    up, and is raised here; an interrupt of the calling thread does the same."""
    errors: list[BaseException] = []

    def guarded(stage: Callable[[], None]) -> None:
        try:
            stage()
        except Cancelled:
            pass
        except BaseException as error:
            errors.append(error)
            failed.set()

    threads = [threading.Thread(target=guarded, args=(stage,), daemon=True) for stage in stages]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.1)  # a join without limit would keep Ctrl-C waiting
    finally:
        failed.set()
    if errors:
        raise errors[0]


def _deliver_all(ready: Channel[Finished], deliver: Callable[[Finished], None], stats: Stats) -> None:
    for finished in ready:
        start = time.perf_counter()
        deliver(finished)
        stats.busy[Stage.WRITE] += time.perf_counter() - start
