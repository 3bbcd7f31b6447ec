"""The decode loop on the tiny model."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.config import LLMConfig
from cosy_jax.llm.context import ContextBatch
from cosy_jax.llm.decode import generate
from cosy_jax.llm.silence import cap_silence
from cosy_jax.llm.speech_lm import context_row
from cosy_jax.nn.compile_log import count_compilations
from cosy_jax.nn.precision import BFLOAT16, FLOAT32, INT8
from cosy_jax.synthesis.synthesizer import Synthesizer
from tests.conftest import TINY

SILENT = LLMConfig().silent_ids


def run(
    synthesizer, rows, seeds, size=64, bucket=32, min_new=0, max_new=20, slip=False, params=None, precision=FLOAT32
):
    ids = np.stack([np.pad(row.ids, (0, size - len(row.ids))) for row in rows])
    flags = np.stack([np.pad(row.is_text, (0, size - len(row.ids))) for row in rows])
    batch = len(rows)
    contexts = ContextBatch(
        ids=jnp.asarray(ids),
        is_text=jnp.asarray(flags),
        lengths=jnp.asarray([len(row.ids) for row in rows]),
        min_new=jnp.full(batch, min_new),
        max_new=jnp.full(batch, max_new),
    )
    policy = dataclasses.replace(synthesizer.policy(reference_slips=slip), precision=precision)
    return generate(
        params or synthesizer.params("llm"),
        policy.cache(batch, size + bucket),
        contexts,
        jax.vmap(jax.random.key)(jnp.asarray(seeds)),
        policy=policy,
        bucket=bucket,
    )


@pytest.fixture
def rows(synthesizer):
    config = synthesizer.config.llm
    return [context_row([5, 6, 7], [1, 2], config), context_row(list(range(20)), list(range(30)), config)]


@pytest.mark.slow
def test_same_seed_same_ids_alone_and_in_a_batch(synthesizer, rows):
    batch = run(synthesizer, rows, [3, 4], size=96)
    alone = run(synthesizer, rows[:1], [3])
    np.testing.assert_array_equal(batch.tokens[0], alone.tokens[0])
    other = run(synthesizer, rows[:1], [4])
    assert not np.array_equal(alone.tokens, other.tokens)


@pytest.mark.slow
def test_rows_beyond_what_a_cpu_prefills_at_once(synthesizer, rows):
    batch = run(synthesizer, rows * 6, list(range(12)), size=96)
    for row in (0, 7, 10):
        alone = run(synthesizer, rows[row % 2 :][:1], [row], size=96)
        np.testing.assert_array_equal(batch.tokens[row], alone.tokens[0])


@pytest.mark.slow
@pytest.mark.parametrize("precision", [BFLOAT16, INT8], ids=lambda precision: precision.name)
def test_lower_precisions_decode_alone_and_in_a_batch(rows, precision):
    """XLA's CPU backend knows bfloat16 products in some orders of their dimensions only."""
    synthesizer = Synthesizer(TINY, llm="base", precision=precision)
    batch = run(synthesizer, rows * 6, [3, *range(11)], size=96, min_new=20, precision=precision)
    alone = run(synthesizer, rows[:1], [3], min_new=20, precision=precision)
    assert np.all(np.asarray(batch.lengths) == 20) and int(alone.lengths[0]) == 20
    exact = run(Synthesizer(TINY, llm="base"), rows[:1], [3], min_new=20)
    assert np.mean(np.asarray(alone.tokens) == np.asarray(exact.tokens)) > 0.5


def test_second_length_in_a_bucket_compiles_nothing(synthesizer, rows):
    run(synthesizer, rows[:1], [1])
    with count_compilations() as compiled:
        run(synthesizer, rows[1:], [2])
    assert compiled.programs == 0


def test_row_stops_at_its_maximum(synthesizer, rows):
    state = run(synthesizer, rows[:1], [3], min_new=7, max_new=7)
    assert int(state.lengths[0]) == 7
    assert np.all(state.tokens[0, :7] >= 0) and np.all(state.tokens[0, 7:] == -1)


def test_minimum_length_masks_every_stop_id(synthesizer, rows):
    params = synthesizer.params("llm")
    head = np.array(params["speech_head"]["kernel"])
    # Large logits for the 200 control ids: one of them is the likeliest in nearly every step.
    head[synthesizer.config.llm.speech_token_size :] *= 50.0
    loud = {**params, "speech_head": {"kernel": jnp.asarray(head)}}
    free = run(synthesizer, rows[:1], [3], min_new=0, max_new=20, params=loud)
    held = run(synthesizer, rows[:1], [3], min_new=15, max_new=20, params=loud)
    assert int(free.lengths[0]) < 15 <= int(held.lengths[0])
    slip = run(synthesizer, rows[:1], [3], min_new=15, max_new=20, params=loud, slip=True)
    assert int(slip.lengths[0]) < 15


def test_state_is_a_pytree_of_arrays(synthesizer, rows):
    state = run(synthesizer, rows[:1], [3])
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    assert {f.name for f in dataclasses.fields(state)} >= {"tokens", "lengths", "done", "fallbacks"}


def test_silence_is_capped_at_five():
    assert cap_silence([1, 2, 28, 29, 55, 248, 9, 1], SILENT) == [1, 2, 28, 29, 55, 9, 1]
    assert cap_silence([7] * 9, SILENT) == [7] * 9 and cap_silence([7] * 9, {7}) == [7] * 5
