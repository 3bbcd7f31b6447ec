"""Requests for one set of rows, and what each is alone."""

import itertools
from dataclasses import dataclass

import jax
import numpy as np

from cosy_jax.llm.bistream import BistreamContext, bistream_tokens
from cosy_jax.llm.context import Context
from cosy_jax.llm.row_state import RowSettings
from cosy_jax.llm.rows import DecodeRows
from cosy_jax.llm.silence import cap_silence
from cosy_jax.llm.speech_lm import context_row
from cosy_jax.llm.stream import stream_tokens
from tests.llm.test_bistream import END, TRANSCRIPT

SETTINGS = RowSettings(rows=(1, 3, 8), together=(1, 2), block=20, context=128, slots=512)


def make(synthesizer, settings=SETTINGS, policy=None):
    return DecodeRows(synthesizer.params("llm"), policy or synthesizer.policy(), settings)


def whole(synthesizer, number=0, max_new=40, length=None, min_new=0):
    random = np.random.default_rng(number)
    text, speech = random.integers(0, 600, length or 3 + 5 * number), random.integers(0, 6561, 4 * number)
    row = context_row(text.tolist(), speech, synthesizer.config.llm)
    return Context(row, jax.random.key(number), min_new, max_new)


def alone(synthesizer, context):
    return list(itertools.chain.from_iterable(stream_tokens(synthesizer.params("llm"), context, synthesizer.policy())))


def alone_arriving(synthesizer, given, text, key):
    blocks = bistream_tokens(synthesizer.params("llm"), [text], given, key, synthesizer.policy())
    return list(itertools.chain.from_iterable(blocks))


def capped(synthesizer, ids):
    return cap_silence(ids, synthesizer.config.llm.silent_ids)


def run(rows, steps=20, ids=None, until_done=None):
    """Until nothing is left to draw: ids by tag, and what each ended with."""
    ids, ended = {} if ids is None else ids, {}
    while rows.counts.seated > rows.counts.waiting:
        for drawn in rows.advance(steps, until_done):
            ids.setdefault(drawn.tag, []).extend(drawn.ids)
            if drawn.ended:
                ended[drawn.tag] = drawn
    return ids, ended


@dataclass
class Arriving:
    """A request whose text comes in pieces, and what of it has not come yet."""

    context: BistreamContext
    text: list[int]
    key: jax.Array
    rest: list[int]
    ended: bool = False


def arriving(number, given=None):
    random = np.random.default_rng(100 + number)
    text = random.integers(0, 600, 2 + 4 * number).tolist()
    transcript = [*TRANSCRIPT[:3], *random.integers(0, 600, 7 * (number % 3)).tolist()]
    context = given or BistreamContext(transcript, random.integers(0, 6561, 11 * (number % 4)), END)
    return Arriving(context, text, jax.random.key(50 + number), list(text))
