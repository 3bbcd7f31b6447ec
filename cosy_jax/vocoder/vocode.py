"""The vocoder stage: a padded batch of mels in, audio out.

B batch, T mel frames, S samples = T * samples_per_frame, M mel bands, H harmonics.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from cosy_jax.config import VocoderConfig
from cosy_jax.nn import backend
from cosy_jax.nn.layers import length_mask
from cosy_jax.nn.programs import program
from cosy_jax.vocoder.blocks import JOINED, decode_in_blocks
from cosy_jax.vocoder.hift import HiFT, mask_frames
from cosy_jax.vocoder.source import SourcePast


class Vocoded(NamedTuple):
    """samples float32 (B, S), zero beyond each row's `lengths` int (B,); f0 in Hz float64 (B, T); source float32
    (B, S), the excitation."""

    samples: jax.Array
    lengths: jax.Array
    f0: jax.Array
    source: jax.Array


def vocode(
    params: dict, mel: jax.Array, frames: jax.Array, noise: jax.Array, config: VocoderConfig, finalize: bool = True
) -> Vocoded:
    """Mel float32 (B, T, M), log amplitude, with lengths int (B,) -> audio in [-audio_limit, audio_limit] at 24 kHz.

    `noise` uniform in [0, 1) (S, H), the same for every row. Without `finalize` the last f0_lookahead + lookahead
    frames are context, and one more frame is held back, as the reference does between chunks.
    """
    f0, _, sines = excite(params, mel, frames, config)
    held = 0 if finalize else config.f0_lookahead
    final = jnp.full(frames.shape, finalize)
    samples, lengths, source = decode(params, mel, frames - held, f0, sines, noise, final, config=config)
    return Vocoded(samples, lengths, f0, source)


def excite(
    params: dict, mel: jax.Array, frames: jax.Array, config: VocoderConfig, past: SourcePast | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """F0 in Hz float64 (B, T), phases in cycles float64 and their sines float32, both (B, T, H)."""
    params = {"f0_predictor": params["f0_predictor"]}
    return backend.in_float64(_excite, params, mel, frames, past, config=config)


@program(static_argnames=("config",))
def _excite(
    params: dict, mel: jax.Array, frames: jax.Array, past: SourcePast | None, *, config: VocoderConfig
) -> tuple[jax.Array, jax.Array, jax.Array]:
    mel = mask_frames(mel, frames).astype(jnp.float64)
    f0, cycles = HiFT(config).apply({"params": params}, mel, past, method="excite")
    return f0, cycles, jnp.sin(2 * jnp.pi * cycles).astype(jnp.float32)


@program(static_argnames=("config",))
def decode(
    params: dict,
    mel: jax.Array,
    source_frames: jax.Array,
    f0: jax.Array,
    sines: jax.Array,
    noise: jax.Array,
    final: jax.Array,
    *,
    config: VocoderConfig,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Samples (B, S), their lengths (B,) and the source (B, S), from mel (B, T, M) and the excitation of its first
    `source_frames` (B,) frames. Where a row is not `final` bool (B,), its last `lookahead` frames are context, and one
    more is held back. `noise` is (S, H), or (B, S, H) where rows begin at different times."""
    model = HiFT(config)
    source = model.apply({"params": params}, f0.astype(jnp.float32), sines, noise, method="excitation")
    frames = source_frames - jnp.where(final, 0, config.lookahead)
    mel = mask_frames(mel, source_frames)
    given = mel, frames, source, source_frames
    if JOINED in params:
        samples = decode_in_blocks(params, *given, config)
    else:
        samples = model.apply({"params": params}, *given, method="decode")
    lengths = (frames - jnp.where(final, 0, 1)) * config.samples_per_frame
    return jnp.where(length_mask(lengths, samples.shape[1]), samples, 0.0), lengths, source
