"""Every program that rows of given settings can need, run once, so that no request waits for a compiler."""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np

from cosy_jax.llm.context import Context
from cosy_jax.llm.row_state import Orders, RowSettings, RowState
from cosy_jax.llm.speech_lm import TokenRow

Part = Callable[[], None]


def run_all(state: RowState, settings: RowSettings) -> Iterator[tuple[int, int]]:
    """Runs them on a state in which nobody sits; yields (parts done, parts in all) after each."""
    parts = [*_prefills(state, settings), *_blocks(state, settings), *_sizes(state, settings)]
    for done, part in enumerate(parts, 1):
        part()
        yield done, len(parts)


def _prefills(state: RowState, settings: RowSettings) -> Iterator[Part]:
    context = Context(TokenRow(np.zeros(1, np.int32), np.zeros(1, bool)), jax.random.key(0), 0, 1)
    jax.random.key_data(context.key)  # as is done for each request
    for count in settings.groups(settings.rows[-1]):
        for size in settings.contexts:
            yield partial(_prefill, state, settings, context, size, count)


def _prefill(state: RowState, settings: RowSettings, context: Context, size: int, count: int) -> None:
    started = state.prefill([context], size, count)
    if size == settings.contexts[0]:
        state.resized(started, settings.slots)


def _blocks(state: RowState, settings: RowSettings) -> Iterator[Part]:
    """For each number of rows and slots: the loop, what is put into it, and the way to another number of rows."""
    for slots in settings.caches:
        for count in (*settings.rows, *reversed(settings.rows[:-1])):
            yield partial(_block, state, settings, count, slots)


def _block(state: RowState, settings: RowSettings, count: int, slots: int) -> None:
    state.refit(slots)
    state.recount(count, [])
    for size in settings.groups(count):
        rows = range(min(size, count))
        state.append([((0, False),)] * len(rows), [False] * len(rows), rows)
    state.advance(Orders.none(count), 1, count)


def _sizes(state: RowState, settings: RowSettings) -> Iterator[Part]:
    """The way from each number of slots to its neighbours."""
    for count in settings.rows:
        yield partial(_walk, state, settings, count)


def _walk(state: RowState, settings: RowSettings, count: int) -> None:
    state.recount(count, [])
    for slots in (settings.caches[0], settings.slots, settings.caches[0]):
        state.refit(slots)
