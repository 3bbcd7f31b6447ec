"""The vocoder piece by piece, many utterances at a time: each piece costs the same, whatever came before, and joined
they equal one pass.

Every convolution of the network looks back a bounded number of frames, so the tail of the mel stands for all their
states: a piece is computed with that tail in front, and the tail's audio, whose left edge is not the true one, is not
given out again. Only the phase reaches back to the start; it is carried, with the F0 of the tail.

B batch, T frames of the window, M mel bands, H harmonics, S samples.
"""

import math
from collections.abc import Sequence
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


@dataclass(frozen=True)
class VocoderStep:
    """New mel (T, M) of one utterance, behind its `state`'s; the `last` one leaves nothing to wait for."""

    state: VocoderState
    mel: np.ndarray
    last: bool

    @property
    def window(self) -> np.ndarray:
        """All that is computed: the tail of what came before, and the new mel (T', M)."""
        return np.concatenate([self.state.mel, self.mel])


def extend(params: dict, steps: Sequence[VocoderStep], config: ModelConfig) -> list[tuple[np.ndarray, VocoderState]]:
    """Of each utterance, audio float32 (S,) that its mel makes certain, and the state after it.

    Unless a step is the last one, f0_lookahead + lookahead + 1 frames are held back.
    """
    voc = config.vocoder
    windows = [step.window for step in steps]
    size = buckets.bucket(max(map(len, windows)), buckets.STREAM_WINDOW, "A piece of the stream")
    idle = buckets.bucket(len(steps), buckets.STREAM_ROWS, "The batch of pieces") - len(steps)
    rows = [*zip(steps, windows, strict=True), *[(steps[0], windows[0])] * idle]
    mel = jnp.asarray(np.stack([_fit(window, size) for _, window in rows]))
    frames = np.asarray([len(window) for _, window in rows], np.int32)
    final = np.asarray([step.last for step, _ in rows])
    past = _source_past([step.state for step, _ in rows], size)
    f0, cycles, sines = excite(params, mel, jnp.asarray(frames), voc, past)
    starts = [step.state.start for step, _ in rows]
    noise = jnp.asarray(np.stack([_noise(config, start, size) for start in starts]))
    certain = frames - np.where(final, 0, voc.f0_lookahead).astype(np.int32)
    samples, lengths, _ = decode(params, mel, jnp.asarray(certain), f0, sines, noise, jnp.asarray(final), config=voc)
    results = zip(np.asarray(samples), np.asarray(lengths), np.asarray(f0), np.asarray(cycles), strict=True)
    return [
        _given(step.state, window, int(end), *result, voc)
        for step, window, end, result in zip(steps, windows, certain, results, strict=False)
    ]


def _noise(config: ModelConfig, start: int, frames: int) -> np.ndarray:
    samples = config.vocoder.samples_per_frame
    return vocoder_noise(config, frames * samples, start * samples)


def _source_past(states: Sequence[VocoderState], size: int) -> SourcePast:
    f0 = np.stack([_fit(state.f0, size) for state in states])
    known, cycles = [len(state.f0) for state in states], np.stack([state.cycles for state in states])
    with jax.enable_x64(True):
        return SourcePast(jnp.asarray(f0), jnp.asarray(known), jnp.asarray(cycles))


def _fit(x: np.ndarray, size: int) -> np.ndarray:
    return np.pad(x, [(0, size - len(x)), *[(0, 0)] * (x.ndim - 1)])


def _given(
    state: VocoderState,
    window: np.ndarray,
    certain: int,
    samples: np.ndarray,
    length: np.ndarray,
    f0: np.ndarray,
    cycles: np.ndarray,
    config: VocoderConfig,
) -> tuple[np.ndarray, VocoderState]:
    """Of a row's results, the audio that was not given out before, and the state after it."""
    # A first piece of a few frames makes nothing certain yet.
    end = max(state.start + int(length) // config.samples_per_frame, state.given)
    first, last = ((frame - state.start) * config.samples_per_frame for frame in (state.given, end))
    return samples[first:last], _advance(state, window, f0[:certain], cycles, end, config)


def _advance(
    state: VocoderState, window: np.ndarray, f0: np.ndarray, cycles: np.ndarray, end: int, config: VocoderConfig
) -> VocoderState:
    """Forget all but the frames that audio from frame `end` on depends on."""
    start = max(end - left_frames(config), state.start)
    drop = start - state.start
    before = cycles[drop - 1] if drop else state.cycles
    return VocoderState(start, window[drop:], f0[drop:], before, end)
