import jax
import numpy as np
import pytest

from cosy_jax.config import SpeechTokenizerConfig
from cosy_jax.prompt.speech_tokenizer import SpeechTokenizer, code_ids, encode_speech
from tests.prompt.random_params import random_params

CONFIG = SpeechTokenizerConfig(dim=64, heads=2, num_blocks=2)
LENGTHS = (203, 126)


@pytest.fixture(scope="module")
def model():
    module = SpeechTokenizer(CONFIG)
    params = random_params(module, np.zeros((1, 16, CONFIG.mel_bands)), np.asarray([16]))
    return params, jax.jit(lambda mel, lengths: module.apply({"params": params}, mel, lengths))


@pytest.fixture(scope="module")
def batch():
    """Two rows of random features, other features beyond the end of the short one."""
    return np.random.default_rng(1).standard_normal((2, LENGTHS[0], CONFIG.mel_bands), np.float32)


@pytest.mark.parametrize("padding", [1, 2, 3, 77])
def test_padded_equals_alone(model, batch, padding):
    _, values = model
    alone, count = values(batch[1:, : LENGTHS[1]], np.asarray(LENGTHS[1:]))
    padded, padded_count = values(batch[1:, : LENGTHS[1] + padding], np.asarray(LENGTHS[1:]))
    assert count == padded_count == 32
    np.testing.assert_allclose(padded[:, :32], alone[:, :32], rtol=0, atol=1e-5)


def test_batched_equals_alone(model, batch):
    _, values = model
    together, counts = values(batch, np.asarray(LENGTHS))
    for row, length in enumerate(LENGTHS):
        alone, count = values(batch[row : row + 1, :length], np.asarray([length]))
        assert count == counts[row]
        np.testing.assert_allclose(together[row, : counts[row]], alone[0], rtol=0, atol=1e-5)


def test_ids_are_codes(model, batch):
    params, _ = model
    ids, counts = encode_speech(params, CONFIG, batch, np.asarray(LENGTHS))
    assert (ids.dtype, counts.dtype, ids.shape) == (np.int32, np.int32, (2, 51))
    np.testing.assert_array_equal(counts, [51, 32])
    assert ids.min() >= 0 and ids.max() < 6561
    assert len(np.unique(ids[0])) > 10
    assert not ids[1, 32:].any()


def test_code_ids_reads_digits():
    values = np.asarray([[-0.999] * 8, [0.999] * 8, [0.0] * 8, [0.6] + [-0.9] * 7, [-0.9] * 7 + [0.4]])
    np.testing.assert_array_equal(code_ids(values, 3), [0, 6560, 3280, 2, 2187])
