"""The first step at which our language model chooses another id than the reference did, and what each had in mind.

V speech vocabulary.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from cosy_jax.llm.sampling import mask_stop_ids
from cosy_jax.parity.checks.llm import CachedDecoder, recorded_bounds, recorded_row, replay
from cosy_jax.parity.dumps import read_dump
from cosy_jax.synthesis.synthesizer import Synthesizer

_SHOWN = 5

Top = list[tuple[int, float]]


class IdDifference(NamedTuple):
    """Step (from 0) of a dump's run where the ids part, both ids, and the likeliest ids with their probabilities.

    The distribution is the one that the id was chosen from: the softmax over the speech ids in the greedy run, over
    all ids (the masked one excepted) in the sampled run. `theirs_top` is empty where the dump lacks the logits.
    """

    run: str  # "greedy" or "sampled"
    step: int
    ours: int
    theirs: int
    ours_top: Top
    theirs_top: Top


def first_differences(synthesizer: Synthesizer, path: Path) -> list[IdDifference]:
    """At most one difference a run of a language model's dump; empty where all ids are equal."""
    dump = read_dump(path, synthesizer.config)
    found = (_greedy(synthesizer, dump), _sampled(synthesizer, dump, recorded_bounds(path)[0]))
    return [difference for difference in found if difference]


def _greedy(synthesizer: Synthesizer, dump: Mapping[str, np.ndarray]) -> IdDifference | None:
    speech = slice(synthesizer.config.llm.speech_token_size)
    tokens = dump["greedy_tokens"]
    decoder = _decoder(synthesizer, dump, len(tokens))
    for step, theirs in enumerate(tokens):
        logits = np.asarray(decoder.logits[0])[speech]
        ours = int(np.argmax(logits))
        if ours != theirs:
            theirs_top = top_ids(dump["greedy_logits"][step, speech])
            return IdDifference("greedy", step, ours, int(theirs), top_ids(logits), theirs_top)
        decoder.push(ours)
    return None


def _sampled(synthesizer: Synthesizer, dump: Mapping[str, np.ndarray], min_new: int) -> IdDifference | None:
    tokens = dump["sampled_tokens"]
    draws = zip(replay(synthesizer, dump, min_new), tokens, strict=True)
    found = next(((step, draw.id) for step, (draw, theirs) in enumerate(draws) if draw.id != theirs), None)
    if found is None:
        return None
    step, ours = found
    decoder = _decoder(synthesizer, dump, len(tokens))
    for token in tokens[:step]:
        decoder.push(int(token))

    def top(logits: np.ndarray) -> Top:
        too_short = jnp.asarray([step < min_new])
        return top_ids(np.asarray(mask_stop_ids(jnp.asarray(logits)[None], too_short, synthesizer.config.llm, True)[0]))

    theirs_top = top(dump["sampled_logits"][step]) if "sampled_logits" in dump else []
    return IdDifference("sampled", step, ours, int(tokens[step]), top(np.asarray(decoder.logits[0])), theirs_top)


def _decoder(synthesizer: Synthesizer, dump: Mapping[str, np.ndarray], steps: int) -> CachedDecoder:
    return CachedDecoder(synthesizer, *recorded_row(dump, synthesizer.config.llm), steps)


def top_ids(logits: np.ndarray) -> Top:
    """The likeliest ids of logits (V,), in falling order, each with its softmax probability."""
    # float64: of 6761 probabilities in float32 the sum is off in the digits that are shown.
    scaled = np.exp(logits.astype(np.float64) - np.max(logits))
    probabilities = scaled / scaled.sum()
    order = np.argsort(-probabilities, kind="stable")[:_SHOWN]
    return [(int(token), float(probabilities[token])) for token in order]
