"""Conditional flow matching loss (reference: CausalMaskedDiffWithDiT.forward, ConditionalCFM.compute_loss;
https://arxiv.org/abs/2210.02747 equation 23).

B rows, L tokens, T frames, M mel bands, D model, F inner width of the feed-forward.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cosy_jax.config import FlowConfig
from cosy_jax.flow.cfm import Flow, FlowInputs, attention_mask
from cosy_jax.flow.dit import Kept
from cosy_jax.nn.layers import length_mask
from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.train.totals import Array, Totals

SIGMA_MIN = 1e-6
STREAMING_SHARE = 0.5
PROMPT_SHARE, LONGEST_PROMPT = 0.5, 0.3  # of the rows, and of a row's frames
DROPPED_SHARE = 0.2  # of the rows, for classifier-free guidance
DROPOUT = 0.1


class FlowBatch(NamedTuple):
    """Right-padded utterances: tokens int (B, L), lengths int (B,), 0 for an empty row; mel (B, T, M), log amplitude,
    T = token_mel_ratio L; speaker (B, 192)."""

    tokens: Array
    lengths: Array
    mel: Array
    speaker: Array


class FlowDraws(NamedTuple):
    """All that is drawn for one batch: whether attention is in chunks (), frames of each row that are given as its
    prompt int (B,), times (B,) in [0, 1), noise (B, T, M), which rows keep their condition bool (B,), and what dropout
    keeps of each block (none without dropout)."""

    streaming: jax.Array
    prompt_frames: jax.Array
    times: jax.Array
    noise: jax.Array
    conditioned: jax.Array
    kept: tuple[Kept, ...] | None


def draw_flow(key: jax.Array, batch: FlowBatch, config: FlowConfig, dropout: float = DROPOUT) -> FlowDraws:
    """By the reference's distributions. A prompt has 0 to 0.3 of a row's frames, both included."""
    coin, prompt, length, time, noise, keep, drop = jax.random.split(key, 7)
    rows = batch.tokens.shape[0]
    frames = config.token_mel_ratio * batch.lengths
    longest = jnp.asarray(LONGEST_PROMPT * frames).astype(jnp.int32)
    lengths = jax.random.randint(length, (rows,), 0, longest + 1)
    return FlowDraws(
        streaming=jax.random.uniform(coin) < STREAMING_SHARE,
        prompt_frames=jnp.where(jax.random.uniform(prompt, (rows,)) < PROMPT_SHARE, 0, lengths),
        times=jax.random.uniform(time, (rows,)),
        noise=jax.random.normal(noise, batch.mel.shape),
        conditioned=jax.random.uniform(keep, (rows,)) > DROPPED_SHARE,
        kept=_draw_kept(drop, batch.mel.shape[:2], config, dropout) if dropout else None,
    )


def _draw_kept(key: jax.Array, shape: tuple[int, ...], config: FlowConfig, dropout: float) -> tuple[Kept, ...]:
    def keep(key: jax.Array, width: int) -> jax.Array:
        return jax.random.bernoulli(key, 1 - dropout, (*shape, width)) / (1 - dropout)

    widths = config.dim, config.dim * config.ff_mult
    pairs = jax.random.split(key, (config.depth, 2))
    return tuple(Kept(*(keep(one, width) for one, width in zip(pair, widths, strict=True))) for pair in pairs)


def flow_loss(
    params: Any,
    batch: FlowBatch,
    draws: FlowDraws,
    *,
    config: FlowConfig,
    precision: Precision = FLOAT32,
    remat: bool = False,
) -> Totals:
    """Squared error of the velocity over all values inside the rows, the given prompt's among them.

    A row that does not keep its condition loses mu, prompt and projected speaker, whose bias goes too.
    """
    model = Flow(config, precision, remat)
    size = batch.mel.shape[1]
    noise = draws.noise.astype(batch.mel.dtype)
    tokens, lengths, mel, speaker = (jnp.asarray(part) for part in batch)
    inputs = FlowInputs(tokens, lengths, mel, draws.prompt_frames, speaker, noise)
    condition = model.apply({"params": params}, inputs, finalize=True, method="condition")
    whole = jax.tree.map(lambda part: part * draws.conditioned.reshape(-1, *[1] * (part.ndim - 1)), condition[:3])
    t = draws.times[:, None, None]
    x = (1 - (1 - SIGMA_MIN) * t) * noise + t * batch.mel
    mask = lax.cond(
        draws.streaming,
        lambda: attention_mask(condition.frames, size, config.chunk_frames),
        lambda: jnp.broadcast_to(attention_mask(condition.frames, size, None), (len(x), size, size)),
    )
    velocity = model.apply(
        {"params": params},
        x,
        condition._replace(mu=whole[0], cond=whole[1], speaker=whole[2]),
        draws.times,
        mask,
        draws.kept,
        method="training_velocity",
    )
    inside = length_mask(condition.frames, size)[..., None]
    error = jnp.where(inside, velocity - (batch.mel - (1 - SIGMA_MIN) * noise), 0.0)
    return Totals(jnp.sum(error * error), jnp.sum(inside) * batch.mel.shape[2], {})
