"""Labels are learnt through rounded codes, one a token or as a sequence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.train.prompt.speech_tokenizer import LabelBatch, SpeechTokenizerTask, _ctc, _frames, straight_through
from cosy_jax.train.settings import TrainSettings
from tests.train.dataset import utterance


def test_codes_are_rounded_and_their_gradient_is_not():
    values = jnp.asarray([-0.9, -0.2, 0.4, 0.6])
    assert straight_through(values).tolist() == [-1, 0, 0, 1]
    weights = jnp.asarray([1.0, 2.0, 3.0, 4.0])
    gradient = jax.grad(lambda values: jnp.sum(weights * straight_through(values)))(values)
    np.testing.assert_array_equal(gradient, weights)


def test_frames_without_a_label_do_not_count():
    logits = jnp.asarray(np.random.default_rng(0).standard_normal((2, 4, 3)), jnp.float32)
    labels = jnp.asarray([[0, 1, -1, 2], [2, 2, 2, 2]])
    totals = _frames(logits, jnp.asarray([4, 2]), labels)
    table = np.asarray(jax.nn.log_softmax(logits))
    wanted = -(table[0, 0, 0] + table[0, 1, 1] + table[0, 3, 2] + table[1, 0, 2] + table[1, 1, 2])
    assert float(totals.weight) == 5 and float(totals.loss) == pytest.approx(wanted, rel=1e-5)


def test_sequences_are_worth_their_ways():
    """One label in two frames: (label, label), (label, blank) and (blank, label)."""
    logits = jnp.log(jnp.asarray([[[0.2, 0.8], [0.4, 0.6], [0.5, 0.5]]]))
    totals = _ctc(logits, jnp.asarray([2]), jnp.asarray([[0, -1, -1]]))
    assert float(totals.weight) == 1
    assert float(totals.loss) == pytest.approx(-np.log(0.8 * 0.6 + 0.8 * 0.4 + 0.2 * 0.6), rel=1e-4)


def test_a_batch_has_a_label_a_token():
    task = SpeechTokenizerTask(ModelConfig(), TrainSettings(), 5)
    batch = task.batch([utterance(0, labels=np.arange(4, dtype=np.int32)), None], 250, [(0,), (1,)])
    assert isinstance(batch, LabelBatch) and batch.labels.shape == (2, 63) and batch.mel.shape == (2, 250, 128)
    assert batch.labels[0, :5].tolist() == [0, 1, 2, 3, -1] and (batch.labels[1] == -1).all()
    with pytest.raises(CosyError, match="'u0' has no labels"):
        task.batch([utterance(0, labels=None)], 250, [(0,)])
