"""The sampling rule on logits small enough to follow by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.config import LLMConfig, SamplingConfig
from cosy_jax.llm.sampling import Noise, draw_noise, mask_stop_ids, ras_sample

CONFIG = SamplingConfig(top_p=0.8, top_k=3, window=4, repetition_rate=0.25)
PROBABILITIES = np.asarray([0.1, 0.5, 0.25, 0.1, 0.05], np.float32)


def sample(nucleus, full=(1, 1, 1, 1, 1), recent=(-1, -1, -1, -1), probabilities=PROBABILITIES, config=CONFIG):
    noise = Noise(jnp.asarray([nucleus], jnp.float32), jnp.asarray([full], jnp.float32))
    ids, fell_back = ras_sample(jnp.log(probabilities)[None], jnp.asarray([recent]), noise, config)
    return int(ids[0]), bool(fell_back[0])


def test_equal_noise_takes_the_likeliest():
    assert sample((1, 1, 1)) == (1, False)


def test_noise_divides_the_candidates_in_falling_order():
    # 0.5 / 5 < 0.25 / 1: the second candidate, id 2, wins.
    assert sample((5, 1, 1)) == (2, False)


def test_nucleus_ends_once_the_sum_before_reaches_top_p():
    # 0.5 + 0.25 < 0.8, so a third candidate is kept, though the sum with it is above; of equal ones the lower id.
    assert sample((1e6, 1e6, 1)) == (0, False)
    tight = SamplingConfig(top_p=0.7, top_k=3, window=4, repetition_rate=0.25)
    assert sample((1e6, 1e6, 1e-9), config=tight)[0] in (1, 2)


def test_top_k_bounds_the_nucleus():
    few = SamplingConfig(top_p=1.0, top_k=2, window=4, repetition_rate=0.25)
    assert sample((1e6, 1), config=few) == (2, False)


def test_repeated_id_is_banned_and_drawn_from_all():
    assert sample((1, 1, 1), recent=(-1, 3, 1, 0)) == (2, True)
    # Even with the least noise the banned id does not come back; id 4 is outside the nucleus.
    assert sample((1, 1, 1), full=(1, 1e-9, 1, 1, 1e-3), recent=(1, -1, -1, -1)) == (4, True)


def test_noise_is_never_zero_and_has_mean_one():
    keys = jax.vmap(jax.random.key)(jnp.arange(3))
    noise = draw_noise(keys, jnp.zeros(3, int), 25, 200_000)
    assert float(noise.full.min()) > 0
    assert abs(float(noise.full.mean()) - 1) < 0.01


def test_noise_of_a_row_does_not_depend_on_its_batch():
    keys = jax.vmap(jax.random.key)(jnp.asarray([5, 7]))
    steps = jnp.asarray([3, 8])
    together, alone = draw_noise(keys, steps, 25, 100), draw_noise(keys[1:], steps[1:], 25, 100)
    np.testing.assert_array_equal(together.full[1], alone.full[0])
    assert not np.array_equal(together.nucleus[0], together.nucleus[1])


def test_stop_ids_are_masked_below_the_minimum():
    config = LLMConfig(speech_token_size=3, speech_vocab_size=6)
    logits = jnp.zeros((2, 6))
    ours = mask_stop_ids(logits, jnp.asarray([True, False]), config, reference_slips=False)
    np.testing.assert_array_equal(np.isinf(ours), [[0, 0, 0, 1, 1, 1], [0] * 6])
    slip = mask_stop_ids(logits, jnp.asarray([True, False]), config, reference_slips=True)
    np.testing.assert_array_equal(np.isinf(slip), [[0, 0, 0, 1, 0, 0], [0] * 6])
