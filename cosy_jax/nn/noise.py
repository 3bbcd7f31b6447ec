"""The fixed noises of the reference, reproduced without torch: they are in no checkpoint, yet shape the audio.

The reference calls `torch.manual_seed(0)` inside its flow decoder and then draws everything from that one CPU
generator, in the order of cosyvoice3.yaml: the flow's initial noise, the initial values of the layers built after
it, the vocoder's initial phases and its source noise. Sources: CausalConditionalCFM (cosyvoice/flow/flow_matching.py)
and SineGen2 (cosyvoice/hifigan/generator.py); for the arithmetic, torch's ATen/native/cpu/DistributionTemplates.h.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosy_jax.config import FlowConfig, ModelConfig, VocoderConfig
from cosy_jax.errors import CosyError

MAX_FRAMES = 15_000  # 300 s of mel
MAX_SAMPLES = 7_200_000  # 300 s at 24 kHz
_NORMAL_BLOCK = 16
_CHUNK = 1 << 20

Float32 = NDArray[np.float32]


def flow_noise(frames: int, bands: int) -> Float32:
    """The ODE's initial noise: (frames, bands) normal values, read-only, the same for every request.

    Raises:
        CosyError: more than 15000 frames (300 s), prompt included.
    """
    if frames > MAX_FRAMES:
        raise CosyError(
            f"{frames} mel frames (prompt and speech together) are more than the limit of {MAX_FRAMES} (300 s): "
            "split the text or use a shorter prompt."
        )
    return _all_flow_noise(bands)[:frames]


def vocoder_noise(config: ModelConfig, samples: int, start: int = 0) -> Float32:
    """Noise of the vocoder's sine source from sample `start` on: (samples, harmonics) values in [0, 1).

    Raises:
        CosyError: the end lies beyond 7200000 samples (300 s).
    """
    if start + samples > MAX_SAMPLES:
        raise CosyError(
            f"{start + samples} audio samples are more than the limit of {MAX_SAMPLES} (300 s): "
            "split the text into parts."
        )
    harmonics = config.vocoder.harmonics
    generator = _generator_at(_outputs_before_vocoder(config) + harmonics * (1 + start))
    return _uniforms(generator, samples * harmonics).reshape(samples, harmonics)


def initial_phase(config: ModelConfig) -> Float32:
    """Initial phases of the vocoder's sines in turns: (harmonics,) values in [0, 1), the fundamental's 0."""
    phases = _uniforms(_generator_at(_outputs_before_vocoder(config)), config.vocoder.harmonics)
    phases[0] = 0.0
    return phases


@functools.lru_cache(maxsize=1)
def _all_flow_noise(bands: int) -> Float32:
    values = _normals(_uniforms(_generator_at(0), bands * MAX_FRAMES))
    noise = np.ascontiguousarray(values.reshape(bands, MAX_FRAMES).T)
    noise.flags.writeable = False
    return noise


def _generator_at(outputs: int) -> np.random.RandomState:
    """torch's CPU generator after `manual_seed(0)` and that many 32-bit outputs: MT19937 by init_genrand."""
    generator = np.random.RandomState(0)
    generator.set_state(_state_at(outputs))
    return generator


def _state_at(outputs: int) -> Any:
    generator = np.random.RandomState(0)
    generator.set_state(_state_at_chunk(outputs // _CHUNK))
    _raw(generator, outputs % _CHUNK)
    return generator.get_state()


@functools.lru_cache(maxsize=128)
def _state_at_chunk(chunks: int) -> Any:
    """After that many chunks of outputs; each from the one before, so that a later start costs no more than a chunk."""
    generator = np.random.RandomState(0)
    if chunks:
        generator.set_state(_state_at_chunk(chunks - 1))
        _raw(generator, _CHUNK)
    return generator.get_state()


def _raw(generator: np.random.RandomState, count: int) -> NDArray[np.uint32]:
    return generator.randint(0, 1 << 32, count, dtype=np.uint32)  # full range: the outputs themselves, none rejected


def _uniforms(generator: np.random.RandomState, count: int) -> Float32:
    """torch.rand: (count,) values, each the low 24 bits of one output over 2**24."""
    values = np.empty(count, np.float32)
    for start in range(0, count, _CHUNK):  # in pieces, so that the raw outputs need little memory
        part = values[start : start + _CHUNK]
        np.multiply(_raw(generator, part.size) & 0xFFFFFF, np.float32(2.0**-24), out=part, casting="same_kind")
    return values


def _normals(uniforms: Float32) -> Float32:
    """torch.randn by Box-Muller, (count,) -> (count,), 16 a divisor of count.

    Of each 16 uniforms the first 8 give radii and the last 8 angles; 8 cosines, then 8 sines come out.
    """
    pairs = uniforms.reshape(-1, 2, _NORMAL_BLOCK // 2)
    radius = np.sqrt(-2.0 * np.log(1.0 - pairs[:, 0]))
    angle = np.float32(2.0 * np.pi) * pairs[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)


def _outputs_before_vocoder(config: ModelConfig) -> int:
    """Generator outputs drawn between `manual_seed(0)` and the vocoder's initial phases."""
    flow = _normal_outputs(config.flow.mel_bands * MAX_FRAMES)
    return flow + _flow_layer_outputs(config.flow) + _f0_layer_outputs(config.vocoder)


def _flow_layer_outputs(config: FlowConfig) -> int:
    """Token embedding (normal) and speaker projection (uniform): the layers built after the flow's decoder."""
    embedding = _normal_outputs(config.token_vocab_size * config.mel_bands)
    return embedding + _layer_outputs(config.speaker_dim, config.mel_bands)


def _f0_layer_outputs(config: VocoderConfig) -> int:
    """The F0 predictor: five convolutions and the output layer."""
    channels = config.f0_channels
    first = _layer_outputs(config.mel_bands * (config.f0_lookahead + 1), channels)
    return first + 4 * _layer_outputs(channels * 3, channels) + _layer_outputs(channels, 1)


def _layer_outputs(inputs: int, outputs: int) -> int:
    """Linear or convolution: one uniform a weight and a bias element."""
    return (inputs + 1) * outputs


def _normal_outputs(count: int) -> int:
    """Normal values: torch draws the last 16 anew where 16 does not divide the count."""
    return count + (_NORMAL_BLOCK if count % _NORMAL_BLOCK else 0)
