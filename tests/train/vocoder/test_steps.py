"""Training steps of a small GAN."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from cosy_jax.train.vocoder.config import AdamConfig
from cosy_jax.train.vocoder.steps import draws, g_gradients, init_state, optimiser, update
from tests.train.vocoder.small import CONFIG, tones


def test_draws_are_fresh_in_either_turn():
    batch = tones(2, CONFIG)
    first, again, other = (draws(jax.random.key(seed), batch, CONFIG) for seed in (0, 0, 1))
    assert first.generator.shape == (2, CONFIG.segment_samples, CONFIG.vocoder.harmonics)
    np.testing.assert_array_equal(first.generator, again.generator)
    assert np.all(np.asarray(first.generator) != first.discriminator)
    assert np.mean(np.asarray(first.generator) == other.generator) < 1e-3
    assert abs(float(first.generator.std()) - 1) < 0.02


def test_clipping_scales_the_whole_gradient():
    params, gradient = {"a": np.zeros(9), "b": np.zeros(7)}, {"a": np.full(9, 100.0), "b": np.full(7, 100.0)}
    config = AdamConfig(learning_rate=0.01, clip_norm=5.0)
    moved, adam, norm = update(params, gradient, optimiser(config).init(params), config=config)
    assert float(norm) == pytest.approx(400)
    np.testing.assert_allclose(adam[1][0].mu["b"], 0.1 * 5 / 4, rtol=1e-5)
    np.testing.assert_allclose(moved["a"], -0.01, rtol=1e-5)


@pytest.mark.slow
def test_f0_predictor_learns_from_its_own_loss_alone():
    config = replace(CONFIG, losses=replace(CONFIG.losses, f0=0.0))
    state, batch = init_state(jax.random.key(0), config), tones(2, config)
    noise = draws(jax.random.key(1), batch, config).generator
    _, gradient = g_gradients(state.generator, state.discriminators, batch, noise, config=config)
    assert not any(np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(gradient.pop("f0_predictor")))
    assert all(np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(gradient))
