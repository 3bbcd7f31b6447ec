"""The vocoder piece by piece: each piece costs the same, whatever came before, and joined they equal one pass.

Every convolution of the network looks back a bounded number of frames, so the tail of the mel stands for all their
states: a piece is computed with that tail in front, and the tail's audio, whose left edge is not the true one, is not
given out again. Only the phase reaches back to the start; it is carried, with the F0 of the tail.

B batch (1), T frames of the window, M mel bands, H harmonics, S samples.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.config import ModelConfig, VocoderConfig
from cosy_jax.nn import buckets
from cosy_jax.nn.noise import vocoder_noise
from cosy_jax.vocoder.source import SourcePast
from cosy_jax.vocoder.vocode import decode, excite

_F0_LEFT = 8  # frames that four convolutions of three taps look back


@dataclass(frozen=True)
class VocoderState:
    """What a piece hands to the next, on the host: the mel from frame `start` on (T, M), the F0 of its first frames
    in Hz (T',), the phase before it in cycles (H,), and how many frames of audio were given out."""

    start: int
    mel: np.ndarray
    f0: np.ndarray
    cycles: np.ndarray
    given: int


def init_state(config: VocoderConfig) -> VocoderState:
    """The state before the first piece."""
    mel = np.zeros((0, config.mel_bands), np.float32)
    return VocoderState(0, mel, np.zeros(0), np.zeros(config.harmonics), 0)


def left_frames(config: VocoderConfig) -> int:
    """Mel frames to the left that a sample of audio depends on, but for the phase."""
    reach, rate = 0.0, 1
    blocks = zip(config.resblock_kernels, config.resblock_dilations, strict=True)
    taps = max((k - 1) * (sum(dilations) + len(dilations)) for k, dilations in blocks)
    sources = zip(config.source_resblock_kernels, config.source_resblock_dilations, strict=True)
    source_taps = [(k - 1) * (sum(dilations) + len(dilations)) for k, dilations in sources]
    for index, (up, kernel) in enumerate(zip(config.upsample_rates, config.upsample_kernels, strict=True)):
        rate *= up
        reach += (kernel - 1 + taps) / rate
        reach = max(reach, (source_taps[index] + taps) / rate + 1)
    return max(math.ceil(reach) + 2, _F0_LEFT)  # two frames for conv_post and both transforms


def extend(
    params: dict, state: VocoderState, mel: np.ndarray, config: ModelConfig, finalize: bool
) -> tuple[np.ndarray, VocoderState]:
    """Audio float32 (S,) that the mel (T, M), behind the state's, makes certain, and the state after it.

    Without `finalize` the last f0_lookahead + lookahead + 1 frames are held back.
    """
    voc = config.vocoder
    window = np.concatenate([state.mel, mel])
    size = buckets.bucket(len(window), buckets.STREAM_WINDOW, "A piece of the stream")
    padded = jnp.asarray(np.pad(window, ((0, size - len(window)), (0, 0))))[None]
    frames = jnp.asarray([len(window)])
    f0, cycles, sines = excite(params, padded, frames, voc, _source_past(state, size))
    noise = vocoder_noise(config, size * voc.samples_per_frame, state.start * voc.samples_per_frame)
    certain = len(window) - (0 if finalize else voc.f0_lookahead)
    samples, lengths, _ = decode(
        params, padded, jnp.asarray([certain]), f0, sines, jnp.asarray(noise), config=voc, finalize=finalize
    )
    # A first piece of a few frames makes nothing certain yet.
    end = max(state.start + int(lengths[0]) // voc.samples_per_frame, state.given)
    first, last = ((frame - state.start) * voc.samples_per_frame for frame in (state.given, end))
    audio = np.asarray(samples[0])[first:last]
    return audio, _advance(state, window, np.asarray(f0[0])[:certain], np.asarray(cycles[0]), end, voc)


def _source_past(state: VocoderState, size: int) -> SourcePast:
    f0 = np.pad(state.f0, (0, size - len(state.f0)))
    with jax.enable_x64(True):
        return SourcePast(jnp.asarray(f0)[None], jnp.asarray([len(state.f0)]), jnp.asarray(state.cycles)[None])


def _advance(
    state: VocoderState, window: np.ndarray, f0: np.ndarray, cycles: np.ndarray, end: int, config: VocoderConfig
) -> VocoderState:
    """Forget all but the frames that audio from frame `end` on depends on."""
    start = max(end - left_frames(config), state.start)
    drop = start - state.start
    before = cycles[drop - 1] if drop else state.cycles
    return VocoderState(start, window[drop:], f0[drop:], before, end)
