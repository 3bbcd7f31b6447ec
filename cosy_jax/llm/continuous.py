"""Continuous batching: a fixed number of rows is decoded at a time, and a row that ends makes room for the next one.

B rows, R rows started at a time, T context positions, S cache slots, N ids a row. Between two blocks of the compiled
loop the host takes finished rows out and puts others in. What is run when depends on the jobs alone, never on timing:
the same jobs compile the same programs.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.llm.context import Context, pad_contexts
from cosy_jax.llm.decode import advance, start
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.state import DecodeState, Limits, empty, insert, resize
from cosy_jax.nn import buckets


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


@dataclass(frozen=True)
class ContinuousDecoder:
    """What stays the same from job to job. `place` puts an array whose first axis is B or R on the devices."""

    params: dict
    policy: DecodePolicy
    batching: Batching
    place: Callable[[Any], Any] = lambda tree: tree

    def run(self, jobs: Iterable[Job], on_block: Callable[[Block], None] = lambda block: None) -> Iterator[Decoded]:
        """Yields results as rows end. A job is asked for when a row is free for it, and waited for."""
        source, board = iter(jobs), _Board(self.batching.rows)
        state = self._empty_state()
        while True:
            state = self._fill(state, board, source)
            if board.idle:
                return
            state = self._fit(state, board)
            before = board.step
            state = self._advance(state, board)
            board.read(state)
            taken = board.step - before
            on_block(Block(int(taken.max()), int(taken.sum())))
            yield from board.finished(state)

    def _empty_state(self) -> DecodeState:
        rows, slots = self.batching.rows, buckets.LM_SLOTS[0]
        # Ids are small: one width for all costs less than a program for each.
        state = empty(self.policy, self.policy.cache(rows, slots), buckets.LM_NEW[-1])
        state = dataclasses.replace(state, done=jnp.ones(rows, bool))  # nobody sits anywhere yet
        return self.place(jax.tree.map(jnp.copy, state))  # donated later: no two leaves may share a buffer

    def _fill(self, state: DecodeState, board: "_Board", source: Iterator[Job]) -> DecodeState:
        """Jobs from `source` started in the free rows, those of one bucket together."""
        groups: dict[int, list[tuple[int, Job]]] = {}
        for index, job in zip(board.free(), source, strict=False):
            size = job.context.bucket()
            groups.setdefault(size, []).append((index, job))
            board.seat(index, job)
        for size, group in groups.items():
            for first in range(0, len(group), self.batching.started):
                state = self._start(state, group[first : first + self.batching.started], size)
        return state

    def _start(self, state: DecodeState, group: list[tuple[int, Job]], size: int) -> DecodeState:
        state = _resize(state, max(size, state.cache[0].key.shape[2]))
        count = self.batching.started
        contexts = pad_contexts([job.context for _, job in group], size, count)
        cache = self.place(self.policy.cache(count, size))
        started = start(self.params, cache, self.place(contexts), policy=self.policy, bucket=1)
        nowhere = [self.batching.rows] * (count - len(group))
        return insert(state, started, np.asarray([index for index, _ in group] + nowhere, np.int32))

    def _fit(self, state: DecodeState, board: "_Board") -> DecodeState:
        """The state with the room that the next block needs, and no more: attention costs what the cache holds."""
        # The loop runs the id it has drawn last, kept or not: one slot more.
        return _resize(state, int(board.position[board.taken].max()) + self.batching.block + 1)

    def _advance(self, state: DecodeState, board: "_Board") -> DecodeState:
        limits = Limits(*map(jnp.asarray, (board.min_new, board.max_new, np.zeros(self.batching.rows, bool))))
        keys = jax.random.wrap_key_data(self.place(board.keys))
        idle = int((~board.taken).sum())
        return advance(
            self.params,
            state,
            self.place(limits),
            keys,
            policy=self.policy,
            steps=np.int32(self.batching.block),
            until_done=np.int32(min(self.batching.rows, idle + self.batching.refill)),
        )


def _resize(state: DecodeState, needed: int) -> DecodeState:
    """The state with the smallest cache of the table that holds `needed` positions."""
    slots = buckets.bucket(needed, buckets.LM_SLOTS, "A prompt with its speech")
    if slots == state.cache[0].key.shape[2]:
        return state
    return resize(state, slots=slots, bucket=state.tokens.shape[1])


class _Board:
    """The host's notes on the rows: which are taken and by what, and how far each has come."""

    def __init__(self, rows: int) -> None:
        self.jobs: list[Job | None] = [None] * rows
        self.keys = np.zeros((rows, 2), np.uint32)
        self.min_new, self.max_new = np.zeros(rows, np.int32), np.zeros(rows, np.int32)
        self.position, self.step = np.zeros(rows, np.int32), np.zeros(rows, np.int32)
        self.done = np.ones(rows, bool)

    @property
    def taken(self) -> np.ndarray:
        return np.asarray([job is not None for job in self.jobs])

    @property
    def idle(self) -> bool:
        return not self.taken.any()

    def free(self) -> list[int]:
        return np.flatnonzero(~self.taken).tolist()

    def seat(self, index: int, job: Job) -> None:
        context, self.jobs[index] = job.context, job
        self.keys[index] = np.asarray(jax.random.key_data(context.key))
        self.min_new[index], self.max_new[index] = context.min_new, context.max_new
        self.position[index], self.step[index] = len(context.row.ids), 0

    def read(self, state: DecodeState) -> None:
        self.position, self.step, self.done = map(np.array, jax.device_get((state.position, state.step, state.done)))

    def finished(self, state: DecodeState) -> Iterator[Decoded]:
        """Results of the rows that ended, which are free from here on."""
        ended = [(index, job) for index, job in enumerate(self.jobs) if job and self.done[index]]
        if not ended:
            return
        tokens, fallbacks = jax.device_get((state.tokens, state.fallbacks))
        for index, job in ended:
            self.jobs[index] = None
            yield Decoded(job.tag, tokens[index][tokens[index] >= 0], int(fallbacks[index]))
