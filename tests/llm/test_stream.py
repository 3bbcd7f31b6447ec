"""Blocks of ids are those of the whole run."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.config import LLMConfig
from cosy_jax.errors import CosyError
from cosy_jax.llm.context import Context, pad_contexts
from cosy_jax.llm.decode import advance, generate, start
from cosy_jax.llm.silence import cap_blocks, cap_silence
from cosy_jax.llm.speech_lm import context_row
from cosy_jax.llm.state import Limits
from cosy_jax.llm.stream import stream_tokens
from cosy_jax.nn import buckets
from cosy_jax.nn.compile_log import count_compilations

MAX_NEW = 60

SILENT = LLMConfig().silent_ids


@pytest.fixture
def row(synthesizer):
    return context_row([5, 6, 7], [1, 2], synthesizer.config.llm)


def stream(synthesizer, row, seed=3, max_new=MAX_NEW, min_new=6, **options):
    context = Context(row, jax.random.key(seed), min_new, max_new)
    return stream_tokens(synthesizer.params("llm"), context, synthesizer.policy(), **options)


def whole(synthesizer, row, seed=3, max_new=MAX_NEW, min_new=6):
    policy = synthesizer.policy()
    state = generate(
        synthesizer.params("llm"),
        policy.cache(1, buckets.LM_CONTEXT[0] + buckets.LM_NEW[0]),
        pad_contexts([Context(row, jax.random.key(seed), min_new, max_new)], buckets.LM_CONTEXT[0], 1),
        jax.random.key(seed)[None],
        policy=policy,
        bucket=buckets.LM_NEW[0],
    )
    return np.asarray(state.tokens)[0, : int(state.lengths[0])].tolist()


def flat(blocks):
    return list(itertools.chain.from_iterable(blocks))


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(1, 1), (28, 25), (7, 13), (500, 1)])
@pytest.mark.parametrize("seed", [3, 11])
def test_blocks_join_to_the_whole_run(synthesizer, row, sizes, seed):
    blocks = list(stream(synthesizer, row, seed, first_block=sizes[0], block=sizes[1]))
    assert flat(blocks) == cap_silence(whole(synthesizer, row, seed), SILENT)
    assert len(blocks[0]) <= sizes[0] and all(0 < len(block) <= sizes[1] for block in blocks[1:])


@pytest.mark.slow
def test_a_batch_in_blocks_is_the_batch_whole(synthesizer):
    config, policy = synthesizer.config, synthesizer.policy()
    rows = [context_row([5, 6, 7], [1, 2], config.llm), context_row(list(range(20)), list(range(30)), config.llm)]
    key = jax.random.key(0)
    contexts = pad_contexts([Context(rows[0], key, 33, 33), Context(rows[1], key, 9, 20)], 64, 2)
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    params = synthesizer.params("llm")

    def cache():
        return policy.cache(2, 64 + 128)

    expected = generate(params, cache(), contexts, keys, policy=policy, bucket=128)
    state = start(params, cache(), contexts, policy=policy, bucket=128)
    limits = Limits(contexts.min_new, contexts.max_new, jnp.zeros(2, bool))
    for steps in (1, 4, 17, 100):
        state = advance(params, state, limits, keys, policy=policy, steps=steps)
    for name in ("tokens", "lengths", "fallbacks", "done", "recent", "step", "position"):
        np.testing.assert_array_equal(getattr(state, name), getattr(expected, name), name)
    assert state.lengths.tolist() == [33, 20]
    window = config.sampling.window
    np.testing.assert_array_equal(state.recent[0], state.tokens[0, 33 - window : 33])


def test_ids_come_before_the_end_and_closing_early_is_clean(synthesizer, row):
    tokens = stream(synthesizer, row, first_block=4, block=4)
    first = next(tokens)
    tokens.close()
    assert 0 < len(first) <= 4 and list(tokens) == []
    again = flat(stream(synthesizer, row, first_block=4, block=4))
    assert again[: len(first)] == first and again == cap_silence(
        whole(synthesizer, row), synthesizer.config.llm.silent_ids
    )


def test_other_lengths_and_block_sizes_compile_nothing(synthesizer, row):
    list(stream(synthesizer, row))
    longer = context_row(list(range(20)), list(range(30)), synthesizer.config.llm)
    with count_compilations() as compiled:
        list(stream(synthesizer, longer, seed=5, max_new=41, first_block=9, block=3))
    assert compiled.programs == 0


def test_first_call_compiles_two_large_programs(synthesizer, row):
    before = start._cache_size(), advance._cache_size()
    list(stream(synthesizer, row, max_new=buckets.LM_NEW[1] - 1, first_block=5))
    assert start._cache_size() - before[0] <= 1 and advance._cache_size() - before[1] <= 1


@pytest.mark.parametrize("options", [{"first_block": 0}, {"block": -1}])
def test_block_sizes_below_one_are_refused_at_the_call(synthesizer, row, options):
    with pytest.raises(CosyError, match="blocks of 1 or more"):
        stream(synthesizer, row, **options)


def test_a_text_too_long_is_refused_at_the_call(synthesizer, row):
    with pytest.raises(CosyError, match="split the text"):
        stream(synthesizer, row, max_new=10_000)


def test_no_room_for_speech_yields_nothing(synthesizer, row):
    assert list(stream(synthesizer, row, max_new=0, min_new=0)) == []


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_silence_is_capped_across_blocks(size):
    tokens = [1, 2, 28, 29, 55, 248, 9, 1, 1, *[494] * 12, 7, *[2] * 5]
    blocks = [tokens[at : at + size] for at in range(0, len(tokens), size)]
    capped = list(cap_blocks(blocks, SILENT))
    assert flat(capped) == cap_silence(tokens, SILENT) and all(capped)
