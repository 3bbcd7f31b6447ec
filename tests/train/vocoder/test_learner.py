"""The generator alone, before there are discriminators."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from cosy_jax.nn.precision import FLOAT32
from cosy_jax.train.vocoder.config import AdamConfig, LossConfig
from cosy_jax.train.vocoder.learner import GanLearner
from cosy_jax.train.vocoder.steps import init_state
from tests.train.vocoder.small import CONFIG, tones


@pytest.mark.slow
def test_alone_it_learns_spectra_and_leaves_discriminators():
    config = replace(CONFIG, losses=LossConfig(stft=5.0), generator_adam=AdamConfig(learning_rate=2e-3))
    learner, batch = GanLearner(config, FLOAT32, ema=0.0, alone=12), tones(2, config)
    begun = init_state(jax.random.key(0), config)
    state = learner.init({"generator": begun.generator, "discriminators": begun.discriminators})
    before, losses = jax.tree.map(np.asarray, state.learnt), []
    for index in range(12):
        state, figures = learner.step(state, {}, [batch], jax.random.key(index))
        losses.append(float(figures["g_loss"]))
        parts = 45 * figures["g_mel"] + figures["g_f0"] + 5 * figures["g_stft"]
        np.testing.assert_allclose(figures["g_loss"], parts, rtol=1e-5)
    assert losses[-1] < 0.9 * losses[0]
    jax.tree.map(np.testing.assert_array_equal, state.learnt["discriminators"], before["discriminators"])
    assert set(learner.evaluate(state, {}, batch, jax.random.key(0)).sums) == {"f0", "stft"}
