import numpy as np
import pytest

from cosy_jax.config import SpeakerEncoderConfig
from cosy_jax.prompt.speaker_encoder import SpeakerEncoder, embed_speaker, pool_statistics, segment_means
from tests.prompt.random_params import random_params

CONFIG = SpeakerEncoderConfig(
    head_channels=8, init_channels=16, growth=8, bottleneck_channels=16, block_layers=(2, 2, 2), segment_frames=20
)
LENGTHS = (150, 97)


@pytest.fixture(scope="module")
def params():
    return random_params(SpeakerEncoder(CONFIG), np.zeros((1, 16, CONFIG.feature_bands)), np.asarray([16]))


@pytest.fixture(scope="module")
def batch():
    """Two rows of random features, each with its own spectrum; other features beyond the end of the short one."""
    random = np.random.default_rng(1)
    spectra = 2 * random.standard_normal((2, 1, CONFIG.feature_bands), np.float32)
    return spectra + random.standard_normal((2, LENGTHS[0], CONFIG.feature_bands), np.float32)


def assert_close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


# 97 frames are 49 after the TDNN layer: two whole segments of 20 and a part.
@pytest.mark.parametrize("padding", [1, 2, 53])
def test_padded_equals_alone(params, batch, padding):
    lengths = np.asarray(LENGTHS[1:])
    alone = embed_speaker(params, CONFIG, batch[1:, : LENGTHS[1]], lengths)
    assert_close(embed_speaker(params, CONFIG, batch[1:, : LENGTHS[1] + padding], lengths), alone)


def test_batched_equals_alone(params, batch):
    together = embed_speaker(params, CONFIG, batch, np.asarray(LENGTHS))
    assert (together.shape, together.dtype) == ((2, 192), np.float32)
    for row, length in enumerate(LENGTHS):
        alone = embed_speaker(params, CONFIG, batch[row : row + 1, :length], np.asarray([length]))
        assert_close(together[row : row + 1], alone)


def test_embeddings_tell_rows_apart(params, batch):
    first, second = np.asarray(embed_speaker(params, CONFIG, batch, np.asarray(LENGTHS)))
    assert np.abs(first - second).max() > 1e-2 * np.abs(first).max()


def test_last_segment_averages_its_own_frames():
    x = np.arange(12.0, dtype=np.float32).reshape(1, 12, 1)
    mask = (np.arange(12) < 7)[None, :, None]
    means = np.asarray(segment_means(x, mask, 5))[0, :7, 0]
    np.testing.assert_allclose(means, [2, 2, 2, 2, 2, 5.5, 5.5])


def test_statistics_of_the_valid_frames():
    x = np.random.default_rng(0).standard_normal((2, 30, 3), np.float32)
    lengths = np.asarray([30, 11])
    mask = (np.arange(30) < lengths[:, None])[..., None]
    pooled = pool_statistics(x, mask)
    for row, length in enumerate(lengths):
        valid = x[row, :length]
        expected = np.concatenate([valid.mean(axis=0), valid.std(axis=0, ddof=1)])
        np.testing.assert_allclose(pooled[row], expected, rtol=1e-5, atol=1e-6)
