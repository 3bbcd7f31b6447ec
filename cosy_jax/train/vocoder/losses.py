"""Losses of generator and discriminators (reference: cosyvoice/hifigan/hifigan.py; matcha/hifigan/models.py;
cosyvoice/utils/losses.py).

B batch, S samples, T mel frames, M mel bands, H harmonics. `*_params` are the trained ones, with weight norm.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.train.vocoder.config import GanConfig
from cosy_jax.train.vocoder.discriminators import Discriminators, Maps
from cosy_jax.train.vocoder.generator import generate
from cosy_jax.train.vocoder.spectra import Array, log_mel, magnitudes
from cosy_jax.train.vocoder.weight_norm import fold

Terms = dict[str, jax.Array]
_QUIET = 1e-3  # of a magnitude: what 16 bits make of silence lies below


class Batch(NamedTuple):
    """speech (B, S = T * hop), its mel (B, T, M), natural log of amplitude, and f0 in Hz (B, T), 0 where unvoiced."""

    speech: Array
    mel: Array
    f0: Array


def d_loss(
    d_params: dict, real: Array, fake: jax.Array, config: GanConfig, precision: Precision = FLOAT32
) -> tuple[jax.Array, Terms]:
    """The discriminators' loss of real and generated audio (B, S), and its terms by name."""
    maps = _discriminators(d_params, jnp.concatenate([real, fake]), config, precision)
    halves = [jnp.split(each[-1], 2) for each in maps]
    reals, fakes = [half[0] for half in halves], [half[1] for half in halves]
    pairs = zip(reals, fakes, strict=True)
    terms = {
        "disc": _total(jnp.mean((1 - real) ** 2) + jnp.mean(fake**2) for real, fake in pairs),
        "tpr": _tpr(reals, fakes, config.losses.tpr_limit),
    }
    return terms["disc"] + config.losses.tpr * terms["tpr"], terms


def g_loss(
    g_params: dict,
    d_params: dict,
    batch: Batch,
    noise: Array,
    config: GanConfig,
    precision: Precision = FLOAT32,
) -> tuple[jax.Array, Terms]:
    """The generator's loss with source noise (B, S, H), and its terms by name, unweighted."""
    audio, f0 = generate(fold(g_params), batch.mel, noise, config.vocoder, precision)
    fakes = _discriminators(d_params, audio, config, precision)
    # In a pass of their own: joined with the generated rows, a gradient would be computed for these too.
    reals = _discriminators(d_params, batch.speech, config, precision)
    scores = [maps[-1] for maps in fakes]
    rate = config.vocoder.sample_rate
    wanted = log_mel(batch.speech, config.mel, rate, precision)
    terms = {
        "gen": _total(jnp.mean((1 - score) ** 2) for score in scores),
        "features": _feature_loss(reals, fakes),
        "mel": jnp.mean(jnp.abs(log_mel(audio, config.mel, rate, precision) - wanted)),
        "tpr": _tpr(scores, [maps[-1] for maps in reals], config.losses.tpr_limit),
        "f0": jnp.mean(jnp.abs(f0 - batch.f0)),
    }
    weights = {"gen": 1.0, "features": config.losses.features, "mel": config.losses.mel}
    weights |= {"tpr": config.losses.tpr, "f0": config.losses.f0}
    return _total(weights[name] * term for name, term in terms.items()), terms


def stft_loss(audio: jax.Array, wanted: Array, windows: Sequence[int]) -> jax.Array:
    """Spectral convergence and distance of log magnitudes of audio (B, S), a mean over windows.

    A mel does not part harmonics that lie nearer than its bands; here 2048 samples part those of 50 Hz. Source:
    Parallel WaveGAN (https://arxiv.org/abs/1910.11480), equations 4 to 6, over the batch as one.
    """
    losses = []
    for window in windows:
        ours, theirs = (magnitudes(jnp.asarray(each), window, window // 4, window) for each in (audio, wanted))
        convergence = jnp.linalg.norm(theirs - ours) / jnp.linalg.norm(theirs)
        ratio = jnp.maximum(ours, _QUIET) / jnp.maximum(theirs, _QUIET)
        losses.append(convergence + jnp.mean(jnp.abs(jnp.log(ratio))))
    return _total(losses) / len(windows)


def _discriminators(params: dict, audio: Array, config: GanConfig, precision: Precision) -> list[Maps]:
    return Discriminators(config.discriminators, precision).apply({"params": fold(params)}, audio)


def _feature_loss(reals: Sequence[Maps], fakes: Sequence[Maps]) -> jax.Array:
    """Mean distances of all maps, the scores among them, summed and doubled as in the reference."""
    pairs = [pair for real, fake in zip(reals, fakes, strict=True) for pair in zip(real, fake, strict=True)]
    return 2 * _total(jnp.mean(jnp.abs(real - fake)) for real, fake in pairs)


def _tpr(aims: Sequence[jax.Array], others: Sequence[jax.Array], limit: float) -> jax.Array:
    """Truncated pointwise relativistic loss: of the differences below their median, the mean squared distance from it.

    The median of an even number is the lower of the middle two, as torch.median takes it, and what equals it shares
    its gradient. Where nothing lies below it the reference has NaN, a mean of nothing; here the loss is 0.
    """
    losses = []
    for aim, other in zip(aims, others, strict=True):
        difference = aim - other
        middle = jnp.sort(jax.lax.stop_gradient(difference).ravel())[(difference.size - 1) // 2]
        shares = difference == middle
        median = jnp.sum(jnp.where(shares, difference, 0)) / jnp.sum(shares)
        below = difference < middle
        distances = jnp.sum(jnp.where(below, (difference - median) ** 2, 0))
        losses.append(jnp.minimum(distances / jnp.maximum(jnp.sum(below), 1), limit))
    return _total(losses)


def _total(values: Iterable[jax.Array]) -> jax.Array:
    return jnp.sum(jnp.stack(list(values)))
