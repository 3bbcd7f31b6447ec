"""Continuous batching of jobs that are at hand: a row that ends makes room for the next one (`rows`).

B rows, R rows started at a time. Between two blocks of the compiled loop the host takes finished rows out and puts
others in. What is run when depends on the jobs alone, never on timing: the same jobs run the same programs.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cosy_jax.llm.context import Context
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.row_state import RowSettings
from cosy_jax.llm.rows import DecodeRows


@dataclass(frozen=True)
class Job:
    """A context to continue and a `tag` that comes back with its result."""

    context: Context
    tag: Any = None


@dataclass(frozen=True)
class Decoded:
    """What came of a job: speech ids int32 (L,) without stop ids, and how often the repetition rule drew again."""

    tag: Any
    ids: np.ndarray
    fallbacks: int


@dataclass(frozen=True)
class Block:
    """One run of the compiled loop: its steps, and the draws that rows made in it, at most steps * B."""

    steps: int
    draws: int


@dataclass(frozen=True)
class Batching:
    """How rows are batched: B `rows` at a time, R `started` at a time, blocks of at most `block` draws a row, cut
    short where `refill` rows have ended."""

    rows: int
    started: int = 1
    block: int = 32
    refill: int = 1


@dataclass
class _Running:
    """A job in its row."""

    job: Job
    ids: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class ContinuousDecoder:
    """What stays the same from job to job. `place` puts an array whose first axis is B or R on the devices."""

    params: dict
    policy: DecodePolicy
    batching: Batching
    place: Callable[[Any], Any] = lambda tree: tree

    def run(self, jobs: Iterable[Job], on_block: Callable[[Block], None] = lambda block: None) -> Iterator[Decoded]:
        """Yields results as rows end. A job is asked for when a row is free for it, and waited for. Raises CosyError
        for a job whose ids are outside their vocabulary."""
        settings = RowSettings((self.batching.rows,), (self.batching.started,), self.batching.block)
        rows = DecodeRows(self.params, self.policy, settings, self.place)
        source, running = enumerate(jobs), dict[int, _Running]()
        while True:
            for number, job in itertools.islice(source, rows.counts.free):
                rows.add([(number, job.context)])
                running[number] = _Running(job)
            if not running:
                return
            before = rows.counts
            news = rows.advance(self.batching.block, self.batching.refill)
            on_block(Block(rows.counts.steps - before.steps, rows.counts.draws - before.draws))
            for drawn in news:
                if drawn.error:
                    raise drawn.error
                running[drawn.tag].ids.extend(drawn.ids)
                if drawn.ended:
                    ended = running.pop(drawn.tag)
                    yield Decoded(ended.job.tag, np.asarray(ended.ids, np.int32), drawn.fallbacks)
