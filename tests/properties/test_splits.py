"""How tokens, ids and texts are cut while they arrive changes nothing."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cosy_jax.llm.bistream import BistreamContext, bistream_tokens
from cosy_jax.llm.context import Context
from cosy_jax.llm.speech_lm import context_row
from cosy_jax.llm.stream import stream_tokens
from cosy_jax.nn.precision import FLOAT32
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.streaming import cached_solver, exact_solver, stream_audio
from tests.properties.profile import examples

EXAMPLES = examples(8)
RANDOM = np.random.default_rng(1)
TOKENS = RANDOM.integers(0, 6561, 128).tolist()  # with the prompt, pieces of 50, 50 and 40: one program of the flow
PROMPT = Prompt(
    RANDOM.integers(0, 6561, 12).astype(np.int32),
    RANDOM.normal(-4, 2, (24, 80)).astype(np.float32),
    RANDOM.standard_normal(192).astype(np.float32),
)
END = 681  # <|endofprompt|> of the tiny model


def splits(items):
    """The items in blocks, some of them empty."""
    cuts = st.lists(st.integers(0, len(items)), max_size=12).map(sorted)
    return cuts.map(lambda at: [items[a:b] for a, b in itertools.pairwise([0, *at, len(items)])])


def flat(blocks):
    return list(itertools.chain.from_iterable(blocks))


def pieces(synthesizer, solver, blocks):
    config = dataclasses.replace(synthesizer.config, flow=dataclasses.replace(synthesizer.config.flow, num_steps=2))
    solve = solver(synthesizer.params("flow"), PROMPT, config.flow, FLOAT32)
    return list(stream_audio(blocks, PROMPT, solve, synthesizer.params("vocoder"), config))


@pytest.fixture(scope="module", params=[cached_solver, exact_solver])
def solver(request):
    return request.param


@pytest.fixture(scope="module")
def whole(synthesizer, solver):
    """Pieces of the tokens that arrive all at once."""
    return pieces(synthesizer, solver, [TOKENS])


@pytest.mark.slow
@EXAMPLES
@given(blocks=splits(TOKENS))
@example(blocks=[[token] for token in TOKENS])
def test_audio_of_arriving_tokens(synthesizer, solver, whole, blocks):
    audio = pieces(synthesizer, solver, blocks)
    assert len(audio) == 3
    for ours, theirs in zip(audio, whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@EXAMPLES
@given(seed=st.integers(0, 1000), first=st.integers(1, 40), block=st.integers(1, 40))
def test_ids_in_blocks(synthesizer, seed, first, block):
    context = Context(context_row([5, 6, 7], [1, 2], synthesizer.config.llm), jax.random.key(seed), 6, 50)

    def ids(first, block):
        return flat(stream_tokens(synthesizer.params("llm"), context, synthesizer.policy(), first, block))

    expected = ids(50, 50)
    assert expected and ids(first, block) == expected


@pytest.mark.slow
@EXAMPLES
@given(text=st.lists(st.integers(0, 600), min_size=1, max_size=16).flatmap(splits), block=st.integers(1, 20))
def test_ids_of_arriving_text(synthesizer, text, block):
    context, policy = BistreamContext([56, 265, END, 308, 645], PROMPT.speech_tokens, END), synthesizer.policy()

    def ids(text, block):
        return flat(bistream_tokens(synthesizer.params("llm"), text, context, jax.random.key(3), policy, block))

    expected = ids([flat(text)], 15)
    assert expected and ids(text, block) == expected
