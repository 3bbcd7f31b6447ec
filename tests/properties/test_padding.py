"""Padding and batching change nothing: a row of a batch, whatever its length, its place and its neighbours, equals
the row alone.

The stages are run as `parity` runs them in its own check of padding. Each stage knows two shapes only, one row of size
ALONE and a batch of size TOGETHER, so that few programs are compiled; half of the rows fill ALONE and so are not padded
there. What lies beyond a row's end is random, not zero.
"""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosy_jax.compare.snr import snr_db
from cosy_jax.config import SpeakerEncoderConfig, SpeechTokenizerConfig
from cosy_jax.llm.context import ContextBatch
from cosy_jax.parity.checks.padding import (
    LIMIT,
    run_flow,
    run_llm,
    run_speaker_encoder,
    run_speech_tokenizer,
    run_vocoder,
)
from cosy_jax.prompt.speaker_encoder import SpeakerEncoder
from cosy_jax.prompt.speech_tokenizer import SpeechTokenizer
from tests.prompt.random_params import random_params
from tests.properties.profile import examples

pytestmark = pytest.mark.slow

ROWS = 3
EXAMPLES = examples(12)


@dataclasses.dataclass(frozen=True)
class Batch:
    """Lengths of the rows of a batch, and the one that is also run alone."""

    lengths: list[int]
    place: int
    seed: int

    @property
    def length(self) -> int:
        return self.lengths[self.place]

    def random(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


@st.composite
def batches(draw, alone, together, least=1):
    """A row that fits ALONE among others that fit TOGETHER."""
    lengths = draw(st.lists(st.integers(least, together), min_size=ROWS, max_size=ROWS))
    place = draw(st.integers(0, ROWS - 1))
    lengths[place] = draw(st.just(alone) | st.integers(least, alone))
    return Batch(lengths, place, draw(st.integers(0, 2**32 - 1)))


def both(run, batch, *padded, **rows):
    """What `run` gives for the row among all rows, and for the row alone.

    `run` takes and gives arrays with one row a row of the batch: lengths, then the `padded` ones (B, T, ...), each
    with its T alone, then the others by name.
    """
    row = slice(batch.place, batch.place + 1)
    together = run(np.asarray(batch.lengths), *(values for _, values in padded), **rows)
    few = {name: values[row] for name, values in rows.items()}
    alone = run(np.asarray([batch.length]), *(values[row, :size] for size, values in padded), **few)
    return [np.asarray(x)[batch.place] for x in together], [np.asarray(x)[0] for x in alone]


def assert_close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=LIMIT * np.abs(theirs).max())


BOUNDS = st.lists(st.integers(0, 16), min_size=ROWS, max_size=ROWS).map(np.asarray)


@EXAMPLES
@given(batch=batches(48, 64, least=2), min_new=BOUNDS, max_new=BOUNDS)
def test_language_model(synthesizer, batch, min_new, max_new):
    config, random = synthesizer.config, batch.random()
    is_text = random.random((ROWS, 64)) < 0.5
    sizes = np.where(is_text, config.llm.text_vocab_size, config.llm.speech_vocab_size)
    ids, seeds = random.integers(0, sizes), random.integers(0, 2**31, ROWS)

    def run(lengths, ids, is_text, min_new, max_new, seeds):
        contexts = ContextBatch(*map(jnp.asarray, (ids, is_text, lengths, min_new, max_new)))
        return run_llm(synthesizer.params("llm"), synthesizer.policy(), contexts, seeds, 16)

    rows = {"min_new": min_new, "max_new": max_new, "seeds": seeds}
    (logits, *drawn), (logits_alone, *drawn_alone) = both(run, batch, (48, ids), (48, is_text), **rows)
    assert_close(logits, logits_alone)
    for ours, theirs in zip(drawn, drawn_alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("streaming", [False, True])
@EXAMPLES
@given(batch=batches(30, 40), prompts=st.lists(st.integers(0, 60), min_size=ROWS, max_size=ROWS))
def test_flow(synthesizer, streaming, batch, prompts):
    config, random = dataclasses.replace(synthesizer.config.flow, num_steps=2), batch.random()
    tokens = random.integers(0, config.token_vocab_size, (ROWS, 40)).astype(np.int32)
    mel = random.normal(-4, 2, (ROWS, 80, 80)).astype(np.float32)
    rows = {
        "prompt_frames": np.asarray(prompts),
        "speaker": random.standard_normal((ROWS, 192)).astype(np.float32),
    }

    def run(lengths, tokens, prompt_mel, **rows):
        inputs = {"tokens": tokens, "lengths": lengths, "prompt_mel": prompt_mel, **rows}
        return run_flow(synthesizer.params("flow"), config, inputs, streaming=streaming)

    (count, *ours), (count_alone, *theirs) = both(run, batch, (30, tokens), (60, mel), **rows)
    assert count == count_alone == 2 * batch.length
    for part, alone in zip(ours, theirs, strict=True):
        assert_close(part[:count], alone[:count])


@EXAMPLES
@given(batch=batches(20, 28))
def test_vocoder(synthesizer, batch):
    mel = batch.random().normal(-4, 2, (ROWS, 28, 80)).astype(np.float32)

    def run(lengths, mel):
        return run_vocoder(synthesizer.params("vocoder"), synthesizer.config, mel, lengths)

    (count, ours), (count_alone, theirs) = both(run, batch, (20, mel))
    assert count == count_alone == batch.length * synthesizer.config.vocoder.samples_per_frame
    assert snr_db(ours[:count], theirs[:count]) >= 100
    assert not ours[count:].any()


TOKENIZER = SpeechTokenizerConfig(dim=64, heads=2, num_blocks=2)
SPEAKER = SpeakerEncoderConfig(
    head_channels=8, init_channels=16, growth=8, bottleneck_channels=16, block_layers=(2, 2, 2), segment_frames=20
)


# No fixtures: Hypothesis would print the arrays of a failing example.
@functools.cache
def tokenizer_params():
    return random_params(SpeechTokenizer(TOKENIZER), np.zeros((1, 16, TOKENIZER.mel_bands)), np.asarray([16]))


@functools.cache
def speaker_params():
    return random_params(SpeakerEncoder(SPEAKER), np.zeros((1, 16, SPEAKER.feature_bands)), np.asarray([16]))


@EXAMPLES
@given(batch=batches(90, 120))
def test_speech_tokenizer(batch):
    mel = batch.random().standard_normal((ROWS, 120, TOKENIZER.mel_bands), np.float32)

    def run(lengths, mel):
        return run_speech_tokenizer(tokenizer_params(), TOKENIZER, mel, lengths)

    (count, ids), (count_alone, ids_alone) = both(run, batch, (90, mel))
    assert count == count_alone
    np.testing.assert_array_equal(ids[:count], ids_alone[:count])
    assert not ids[count:].any()


@EXAMPLES
@given(batch=batches(90, 120))
def test_speaker_encoder(batch):
    fbank = batch.random().standard_normal((ROWS, 120, SPEAKER.feature_bands), np.float32)

    def run(lengths, fbank):
        return (run_speaker_encoder(speaker_params(), SPEAKER, fbank, lengths),)

    ours, theirs = both(run, batch, (90, fbank))
    assert_close(ours[0], theirs[0])
