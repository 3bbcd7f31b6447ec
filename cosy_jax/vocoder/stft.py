"""Short-time Fourier transform and its inverse, for padded rows of known length (reference: torch.stft, torch.istft
with center=True, periodic Hann window).

B batch, S samples, F STFT frames, N n_fft, K = N/2 + 1 bins. With n_fft 16 both are one small matrix product a frame.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cosy_jax.nn.layers import length_mask
from cosy_jax.nn.precision import FLOAT32, Precision


def _window(n_fft: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


def analysis_matrix(n_fft: int) -> np.ndarray:
    """Windowed real DFT: (N, 2 K), real parts then imaginary parts."""
    angles = 2 * np.pi * np.outer(np.arange(n_fft), np.arange(n_fft // 2 + 1)) / n_fft
    return np.concatenate([np.cos(angles), -np.sin(angles)], axis=1) * _window(n_fft)[:, None]


def _synthesis_matrix(n_fft: int) -> np.ndarray:
    """Inverse real DFT and window: (2 K, N). The imaginary parts of the outer bins have no effect, as in irfft."""
    bins = n_fft // 2 + 1
    weight = np.full(bins, 2.0 / n_fft)
    weight[[0, -1]] = 1.0 / n_fft
    angles = 2 * np.pi * np.outer(np.arange(bins), np.arange(n_fft)) / n_fft
    real, imaginary = np.cos(angles) * weight[:, None], -np.sin(angles) * weight[:, None]
    return np.concatenate([real, imaginary]) * _window(n_fft)


def stft(x: jax.Array, lengths: jax.Array, n_fft: int, hop: int, precision: Precision = FLOAT32) -> jax.Array:
    """x (B, S), reflected at 0 and at each row's own length (B,) -> (B, S / hop + 1, 2 K), real then imaginary.

    Only the first lengths / hop + 1 frames of a row mean anything.
    """
    x = reflected(x, lengths, n_fft)
    kernel = jnp.asarray(analysis_matrix(n_fft)[:, None], precision.compute)
    return lax.conv_general_dilated(
        x[..., None],
        kernel,
        window_strides=(hop,),
        padding="VALID",
        dimension_numbers=("NWC", "WIO", "NWC"),
        precision=precision.lax_precision,
    )


def reflected(x: jax.Array, lengths: jax.Array, n_fft: int) -> jax.Array:
    """x (B, S) with its reflections at 0 and at each row's own length (B,): (B, S + N)."""
    half = n_fft // 2
    tail_index = jnp.maximum(lengths[:, None] - 2 - jnp.arange(half), 0)
    tail = jnp.take_along_axis(x, tail_index, axis=1)
    x = jnp.pad(x, ((0, 0), (0, half)))
    x = jax.vmap(lambda row, end, at: lax.dynamic_update_slice(row, end, (at,)))(x, tail, lengths)
    return jnp.concatenate([x[:, half:0:-1], x], axis=1)


def istft(spectrum: jax.Array, frames: jax.Array, n_fft: int, hop: int, precision: Precision = FLOAT32) -> jax.Array:
    """Spectrum (B, F, 2 K) of which each row's first `frames` (B,) count -> (B, (F - 1) * hop)."""
    half = n_fft // 2
    return inverse(spectrum, length_mask(frames, spectrum.shape[1]), n_fft, hop, precision)[:, half:-half]


def inverse(spectrum: jax.Array, valid: jax.Array, n_fft: int, hop: int, precision: Precision) -> jax.Array:
    """Spectrum (B, F, 2 K) of which the frames count that are valid, bool (B, F) -> (B, (F - 1) * hop + N), from the
    beginning of the first window to the end of the last one."""
    mask = valid[..., None]
    matrix = jnp.asarray(_synthesis_matrix(n_fft), precision.compute)
    pieces = jnp.where(mask, precision.einsum("bfk,kn->bfn", spectrum, matrix), 0.0)
    envelope = jnp.where(mask, jnp.asarray(_window(n_fft) ** 2, precision.compute), 0.0)
    signal, weight = _overlap_add(pieces, hop), _overlap_add(envelope, hop)
    return signal / jnp.where(weight > 1e-11, weight, 1.0)


def _overlap_add(pieces: jax.Array, hop: int) -> jax.Array:
    """Sum frames (B, F, N) at distance hop: (B, (F - 1) * hop + N)."""
    batch, frames, n_fft = pieces.shape
    parts = n_fft // hop
    pieces = pieces.reshape(batch, frames, parts, hop)
    shifted = [jnp.pad(pieces[:, :, k], ((0, 0), (k, parts - 1 - k), (0, 0))) for k in range(parts)]
    return sum(shifted[1:], shifted[0]).reshape(batch, -1)
