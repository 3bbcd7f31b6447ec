"""The speaker encoder learns who speaks, and its batch norms what they will be given."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cosy_jax.config import ModelConfig, SpeakerEncoderConfig
from cosy_jax.train.initial import draw_initial
from cosy_jax.train.learner import Learner
from cosy_jax.train.prompt.heads import WithHead
from cosy_jax.train.prompt.speaker_encoder import MARGIN, SCALE, SpeakerBatch, SpeakerEncoderTask, angular_margin
from cosy_jax.train.settings import TrainSettings

CONFIG = dataclasses.replace(
    ModelConfig(),
    speaker_encoder=SpeakerEncoderConfig(head_channels=4, init_channels=16, growth=8, block_layers=(1, 1, 1)),
)
ROWS, FRAMES = 8, 60


def batch(seed):
    """Two speakers, whose spectra have their weight below or above."""
    random = np.random.default_rng(seed)
    speakers = np.arange(ROWS, dtype=np.int32) % 2
    tilt = np.linspace(-1, 1, 80, dtype=np.float32) * (2 * speakers - 1)[:, None, None]
    fbank = random.standard_normal((ROWS, FRAMES, 80)).astype(np.float32) * np.exp(tilt)
    lengths = np.asarray([FRAMES, 40] * (ROWS // 2), np.int32)
    return SpeakerBatch(fbank, lengths, speakers)


@pytest.fixture(scope="module")
def trained():
    task = SpeakerEncoderTask(CONFIG, TrainSettings(), ["ann", "bob"])
    parametrisation = WithHead(task.head, CONFIG.speaker_encoder.embedding_dim)
    learnt, frozen = parametrisation.split(draw_initial("speaker_encoder", CONFIG, 0), jax.random.key(0))
    learner = Learner(task.loss, parametrisation, optax.adam(3e-3), 0.0)
    state, means = learner.init(learnt), []
    for seed in range(25):
        state, figures = learner.step(state, frozen, [batch(seed)], jax.random.key(seed))
        means.append({name: float(value) for name, value in figures.items()})
    return learner, state, frozen, means


@pytest.mark.slow
def test_speakers_are_told_apart(trained):
    _, _, _, means = trained
    assert means[-1]["accuracy"] == 1 and means[-1]["loss"] < 0.5 * means[0]["loss"]


@pytest.mark.slow
def test_norms_follow_the_batches(trained):
    _, state, _, _ = trained
    norm = state.learnt["encoder"]["block1_0"]["norm"]
    assert np.abs(norm["mean"]).max() > 0.01 and np.abs(np.asarray(norm["var"]) - 1).max() > 0.1


def test_the_right_angle_is_made_larger():
    angle = 1.0
    totals = angular_margin(jnp.asarray([[np.cos(angle), 0.1], [0.3, 0.2]]), jnp.asarray([0, -1]))
    logits = SCALE * np.asarray([np.cos(angle + MARGIN), 0.1])
    assert float(totals.weight) == 1 and float(totals.sums["accuracy"]) == 1
    assert float(totals.loss) == pytest.approx(np.log(np.exp(logits - logits[0]).sum()), abs=1e-6)


def test_it_falls_where_the_angle_cannot_grow():
    def loss(cosine):
        return angular_margin(jnp.asarray([[cosine, 0.0]]), jnp.asarray([0])).loss

    cosines = jnp.linspace(-1, 1, 101)
    assert jnp.all(jnp.diff(jax.vmap(loss)(cosines)) < 1e-6)
