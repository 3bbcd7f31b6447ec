"""The rows that are decoded together, on the device: what `rows` has run there.

B rows, R rows that are prefilled or appended to together, T context positions, S cache slots, W draws a block at most.
Every size is one of a few (`RowSettings`), and sizes change between neighbours only: that bounds the programs.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.errors import CosyError
from cosy_jax.llm.bistream import Ids
from cosy_jax.llm.context import Context, pad_contexts
from cosy_jax.llm.decode import advance, append, start
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.state import DecodeState, Limits, empty, gather, insert, resize
from cosy_jax.nn import buckets

APPENDED = buckets.LM_APPENDED[0]  # ids a row is given at a time: a turn of text; more of them go one after the other


@dataclass(frozen=True)
class RowSettings:
    """Which sizes the programs have; CosyError where they do not fit together."""

    rows: tuple[int, ...] = (1, 4, 16, 64)  # decoded together, ascending
    together: tuple[int, ...] = (1, 4)  # prefilled or appended to together, ascending
    block: int = 32  # draws of a row at most before the host looks
    context: int = buckets.LM_CONTEXT[-1]  # ids that a row begins with at most, one of LM_CONTEXT
    slots: int = buckets.LM_SLOTS[-1]  # positions of a row at most, one of LM_SLOTS

    def __post_init__(self) -> None:
        for sizes in (self.rows, self.together, (self.block,)):
            if not sizes or min(sizes) < 1 or list(sizes) != sorted(set(sizes)):
                raise CosyError(f"Numbers of rows and draws cannot be {sizes}: give ascending ones from 1 on.")
        for size, table in ((self.context, buckets.LM_CONTEXT), (self.slots, buckets.LM_SLOTS)):
            if size not in table:
                raise CosyError(f"A row of {size} positions has no program: choose one of {table}.")
        if self.context > self.slots:
            raise CosyError(f"A context of {self.context} does not fit {self.slots} slots: choose more of them.")

    @property
    def contexts(self) -> tuple[int, ...]:
        """Lengths that contexts are padded to."""
        return tuple(size for size in buckets.LM_CONTEXT if size <= self.context)

    @property
    def caches(self) -> tuple[int, ...]:
        """Numbers of slots that the cache may have."""
        return tuple(size for size in buckets.LM_SLOTS if size <= self.slots)

    def group(self, count: int) -> int:
        """How many rows are run where `count` are to be, the last of them empty; fewer where there are not so many."""
        return next((size for size in self.together if size >= count), self.together[-1])

    def groups(self, count: int) -> list[int]:
        """All that `group` may be among `count` rows."""
        return sorted({self.group(wanted) for wanted in range(1, count + 1)})


class Orders(NamedTuple):
    """What the host asks of each row in a block, NumPy (B,): its key uint32 (B, 2), its draws so far int32, and its
    `state.Limits`."""

    keys: np.ndarray
    before: np.ndarray
    min_new: np.ndarray
    max_new: np.ndarray
    may_fill: np.ndarray

    @classmethod
    def none(cls, count: int) -> "Orders":
        """Nothing is asked of any row: one that is not done will be after a draw."""
        before, min_new, max_new = np.zeros((3, count), np.int32)
        return cls(np.zeros((count, 2), np.uint32), before, min_new, max_new, np.zeros(count, bool))


class Report(NamedTuple):
    """What the host reads of a block, NumPy: ids drawn int32 (B, W), -1 where none was kept; draws so far int32 (B,),
    draws repeated by the repetition rule int32 (B,) and which rows are done bool (B,)."""

    ids: np.ndarray
    step: np.ndarray
    fallbacks: np.ndarray
    done: np.ndarray


class RowState:
    """A `DecodeState` whose numbers of rows and slots follow what is asked for. `place` puts an array whose first axis
    is B or R on the devices, and is asked after every program: where XLA leaves its results on several devices is a
    part of the next program's key. The host keeps the books: nothing here knows what a row is for."""

    def __init__(
        self, params: dict, policy: DecodePolicy, settings: RowSettings, place: Callable[[Any], Any] = lambda tree: tree
    ) -> None:
        self._params, self._policy, self._settings, self._place = params, policy, settings, place
        # Ids drawn never outnumber positions; they are small: one width for all costs less than a program for each.
        count, columns = settings.rows[0], settings.slots
        state = empty(policy, policy.cache(count, settings.caches[0]), columns)
        state = dataclasses.replace(state, done=jnp.ones(count, bool))  # nobody sits anywhere yet
        self._state = place(jax.tree.map(jnp.copy, state))  # donated later: no two leaves may share a buffer

    def anew(self) -> "RowState":
        """Another one of the same settings, with nothing in it."""
        return RowState(self._params, self._policy, self._settings, self._place)

    @property
    def count(self) -> int:
        """Rows at present."""
        return len(self._state.done)

    @property
    def slots(self) -> int:
        """Slots at present."""
        return _slots(self._state)

    def recount(self, count: int, used: Sequence[int]) -> None:
        """`count` rows, one of the settings' numbers, that begin with those in the places `used`."""
        table = self._settings.rows
        while count != self.count:
            size = table[table.index(self.count) + (1 if count > self.count else -1)]
            self._state = self._gather(used, size)
            used = range(len(used))

    def refit(self, needed: int) -> None:
        """The smallest number of slots that holds `needed` positions; the caller knows that no row has more."""
        self._state = self.resized(self._state, needed)

    def start(self, contexts: Sequence[Context], rows: Sequence[int]) -> None:
        """Contexts of one bucket, no more than the largest group, run in the places `rows`."""
        size = contexts[0].bucket()
        started = self.prefill(contexts, size, self._settings.group(len(contexts)))
        self.refit(max(size, self.slots))
        self._insert(self.resized(started, self.slots), rows)

    def prefill(self, contexts: Sequence[Context], size: int, count: int) -> DecodeState:
        """A state of `count` rows that begins with the contexts, padded to `size`."""
        # One number of slots for several lengths of context: fewer programs that change it and that insert.
        cache = self._policy.cache(count, buckets.bucket(size, self._settings.caches, "A prompt"))
        batch = self._place(pad_contexts(contexts, size, count))
        cache = self._place(cache)
        return self._place(start(self._params, cache, batch, policy=self._policy, bucket=self._settings.slots))

    def append(self, pending: Sequence[Ids], after_fill: Sequence[bool], rows: Sequence[int]) -> None:
        """More ids, each with whether it is a text id, behind what the places `rows` hold, no more of them than the
        largest group. Only a single row may be given more than APPENDED; the slots hold the padding as well."""
        count = self._settings.group(len(rows))
        state = self._gather(rows, count)
        for first in range(0, max(map(len, pending)), APPENDED):
            parts = [ids[first : first + APPENDED] for ids in pending]
            state = self._appended(state, parts, [fill and not first for fill in after_fill])
        self._insert(state, rows)

    def advance(self, orders: Orders, steps: int, until_done: int) -> Report:
        """At most `steps` draws (W at most) of each row that is not done, until `until_done` rows are."""
        keys, before, *limits = self._place(tuple(map(jnp.asarray, orders)))
        state = advance(
            self._params,
            self._state,
            Limits(*limits),
            jax.random.wrap_key_data(keys),
            policy=self._policy,
            steps=np.int32(steps),
            until_done=np.int32(until_done),
        )
        self._state = self._place(state)
        ids = _window(state.tokens, before, width=self._settings.block)
        return Report(*jax.device_get((ids, state.step, state.fallbacks, state.done)))

    def _gather(self, rows: Sequence[int], count: int) -> DecodeState:
        return self._place(gather(self._state, _padded(rows, count, self.count)))

    def _insert(self, state: DecodeState, rows: Sequence[int]) -> None:
        self._state = self._place(insert(self._state, state, _padded(rows, len(state.done), self.count)))

    def _appended(self, state: DecodeState, parts: Sequence[Ids], after_fill: Sequence[bool]) -> DecodeState:
        count = len(state.done)
        ids, is_text = np.zeros((count, APPENDED), np.int32), np.zeros((count, APPENDED), bool)
        lengths, filled = np.ones(count, np.int32), np.zeros(count, bool)
        filled[: len(parts)] = after_fill
        for row, part in enumerate(parts):
            lengths[row] = len(part)
            ids[row, : len(part)], is_text[row, : len(part)] = zip(*part, strict=True)
        given = map(self._place, (ids, is_text, lengths, filled))
        return self._place(append(self._params, state, *given, policy=self._policy))

    def resized(self, state: DecodeState, needed: int) -> DecodeState:
        """A state of the settings with the smallest number of slots that holds `needed` positions."""
        table = self._settings.caches
        slots = buckets.bucket(needed, table, "A prompt with its speech")
        while (now := _slots(state)) != slots:
            size = table[table.index(now) + (1 if slots > now else -1)]
            state = self._place(resize(state, slots=size, bucket=self._settings.slots))
        return state


def _slots(state: DecodeState) -> int:
    return state.cache[0].key.shape[2]


def _padded(rows: Sequence[int], count: int, nowhere: int) -> np.ndarray:
    return np.asarray([*rows, *[nowhere] * (count - len(rows))], np.int32)


@partial(jax.jit, static_argnames=("width",))
def _window(tokens: jax.Array, first: jax.Array, *, width: int) -> jax.Array:
    columns = first[:, None] + jnp.arange(width)
    return jnp.take_along_axis(tokens, columns, axis=1, mode="fill", fill_value=-1)
