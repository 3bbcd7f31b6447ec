from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.nn.noise import MAX_FRAMES, MAX_SAMPLES, flow_noise, initial_phase, vocoder_noise
from tests.reference import reference_dir, requires_reference

RELEASED = ModelConfig()
SMALL = replace(RELEASED, vocoder=replace(RELEASED.vocoder, f0_channels=32))

# What the reference draws. Normals: its vectorised log, sine and cosine round otherwise than numpy's.
FLOW_FRAME_0 = [-1.1258398, 0.86917937, -1.7485445, -0.6984732]
FLOW_FRAME_999 = [0.52886754, 0.29493812, -0.74999505, 0.4902786]
FLOW_END = [0.1095403, 0.7226992, -0.22058237, -0.08329441]
NORMAL_TOLERANCE = 1e-6

PHASE_SMALL = [0.0, 0.7487383, 0.01212424, 0.4976616, 0.89300525, 0.9809325, 0.47586405, 0.7122043, 0.7300289]
PHASE = [0.0, 0.17098892, 0.1653319, 0.14378005, 0.7629474, 0.65893006, 0.027519047, 0.43482542, 0.05383557]

NOISE_SMALL_FIRST = [0.4780488, 0.91765875, 0.43798316, 0.80027807, 0.760497, 0.104661465, 0.060551345]
NOISE_SMALL_221999 = [0.48740327, 0.5539945, 0.28563648, 0.8055584, 0.4992935, 0.65827084, 0.7248685, 0.96869874]
NOISE_FIRST = [0.922826, 0.4774475, 0.8270518, 0.28345716, 0.7934816, 0.1734348, 0.85237503, 0.9228546, 0.73102]
NOISE_100479 = [0.41690177, 0.72294396, 0.6498772, 0.16021937, 0.45530367, 0.7080166, 0.107816756, 0.96222216]


def float32(values):
    return np.asarray(values, np.float32)


def test_flow_noise_recorded_values():
    noise = flow_noise(MAX_FRAMES, 80)
    assert (noise.shape, noise.dtype) == ((15000, 80), np.float32)
    assert np.abs(noise[0, :4] - float32(FLOW_FRAME_0)).max() < NORMAL_TOLERANCE
    assert np.abs(noise[999, :4] - float32(FLOW_FRAME_999)).max() < NORMAL_TOLERANCE
    assert np.abs(noise[-1, -4:] - float32(FLOW_END)).max() < NORMAL_TOLERANCE
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1.0) < 0.01


def test_flow_noise_is_a_cut_of_one_array():
    short = flow_noise(7, 80)
    assert short.shape == (7, 80)
    np.testing.assert_array_equal(short, flow_noise(300, 80)[:7])
    with pytest.raises(ValueError, match="read-only"):
        short[0, 0] = 0.0


@pytest.mark.parametrize(("config", "expected"), [(RELEASED, PHASE), (SMALL, PHASE_SMALL)])
def test_initial_phase_recorded_values(config, expected):
    np.testing.assert_array_equal(initial_phase(config), float32(expected))


def test_vocoder_noise_recorded_values():
    noise = vocoder_noise(RELEASED, 100480)
    assert (noise.shape, noise.dtype) == ((100480, 9), np.float32)
    np.testing.assert_array_equal(noise[0], float32(NOISE_FIRST))
    np.testing.assert_array_equal(noise[-1, :8], float32(NOISE_100479))


def test_vocoder_noise_recorded_values_of_a_small_model():
    """222000 samples are more than one internal piece."""
    noise = vocoder_noise(SMALL, 222000)
    np.testing.assert_array_equal(noise[0, :7], float32(NOISE_SMALL_FIRST))
    np.testing.assert_array_equal(noise[-1, :8], float32(NOISE_SMALL_221999))


@pytest.mark.parametrize("samples", [0, 1, 480, 116509, 116510])
def test_longer_vocoder_noise_extends_shorter(samples):
    noise = vocoder_noise(RELEASED, samples)
    assert noise.shape == (samples, 9)
    np.testing.assert_array_equal(noise, vocoder_noise(RELEASED, 120000)[:samples])


def test_calls_neither_disturb_each_other_nor_numpys_global_generator():
    before = vocoder_noise(RELEASED, 10)
    np.random.seed(5)
    expected = np.random.random(3)
    np.random.seed(5)
    initial_phase(RELEASED)
    vocoder_noise(SMALL, 10)
    np.testing.assert_array_equal(vocoder_noise(RELEASED, 10), before)
    np.testing.assert_array_equal(np.random.random(3), expected)


def test_limits_are_named():
    with pytest.raises(CosyError, match="15001 mel frames .* limit of 15000 .*shorter prompt"):
        flow_noise(MAX_FRAMES + 1, 80)
    with pytest.raises(CosyError, match="7200001 audio samples .* limit of 7200000 .*split the text"):
        vocoder_noise(RELEASED, MAX_SAMPLES + 1)


@requires_reference
def test_all_recorded_noises():
    small, released = load_dump("noise"), load_dump("noise_released_size")
    for frames, expected in (
        (slice(0, 1000), small["flow_noise"]),
        (slice(-64, None), small["flow_noise_last_frames"]),
        (slice(0, 64), released["flow_noise_first_frames"]),
        (slice(-64, None), released["flow_noise_last_frames"]),
    ):
        assert np.abs(flow_noise(MAX_FRAMES, 80)[frames] - expected[0].T).max() < NORMAL_TOLERANCE
    np.testing.assert_array_equal(initial_phase(SMALL), small["rand_ini"][0])
    np.testing.assert_array_equal(initial_phase(RELEASED), released["rand_ini"][0])
    noise = vocoder_noise(RELEASED, 100480)
    np.testing.assert_array_equal(noise[:2400], released["uniform_noise_first"][0])
    np.testing.assert_array_equal(noise[100000:], released["uniform_noise_at_100000"][0])
    np.testing.assert_array_equal(vocoder_noise(SMALL, 222000), load_dump("hift_noise")["uniform_noise"][0])


def load_dump(name):
    return load_file(reference_dir() / "dumps" / f"{name}.safetensors")
