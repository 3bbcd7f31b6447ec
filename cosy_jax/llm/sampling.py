"""Repetition-aware sampling (VALL-E 2, https://arxiv.org/abs/2406.05370, as the reference's ras_sampling does it).

B batch, V speech vocabulary, K nucleus candidates, W window of recent ids. A draw is argmax(p / q) with q ~ Exp(1),
the exponential race, so recorded q replays a run id by id.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from cosy_jax.config import LLMConfig, SamplingConfig


class Noise(NamedTuple):
    """q of one step: nucleus (B, K), in order of falling probability, and full (B, V)."""

    nucleus: jax.Array
    full: jax.Array


def draw_noise(keys: jax.Array, step: jax.Array, top_k: int, vocab: int) -> Noise:
    """Exp(1) noise of each row's decode step (B,) from its key (B,), so that a row never depends on its batch."""

    def row(key: jax.Array, step: jax.Array) -> Noise:
        nucleus, full = jax.random.split(jax.random.fold_in(key, step))
        return Noise(_exponential(nucleus, top_k), _exponential(full, vocab))

    return jax.vmap(row)(keys, step)


def _exponential(key: jax.Array, size: int) -> jax.Array:
    # jax.random.exponential can return 0 (once in 2^23 draws), and p / 0 wins over every likely id: with 6761 ids
    # that is one wrong id in 1200 full draws. -log of a uniform that excludes 0 and 1 is never 0.
    return -jnp.log(jax.random.uniform(key, (size,), minval=jnp.finfo(jnp.float32).tiny))


def mask_stop_ids(logits: jax.Array, too_short: jax.Array, config: LLMConfig, reference_slips: bool) -> jax.Array:
    """Logits (B, V) with the stop ids at -inf in rows that are too short (B,) to stop.

    The reference masks only the first control id (sos, 6561) although the end id is 6562, so it can stop early;
    `reference_slips` does as it does.
    """
    ids = jnp.arange(logits.shape[-1])
    stop = ids == config.sos_id if reference_slips else ids >= config.speech_token_size
    return jnp.where(too_short[:, None] & stop, -jnp.inf, logits)


def ras_sample(
    logits: jax.Array, recent: jax.Array, noise: Noise, config: SamplingConfig
) -> tuple[jax.Array, jax.Array]:
    """Draw one id a row.

    Logits float32 (B, V); recent int (B, W), the last ids, -1 where there is none. Nucleus: ids in falling
    probability while the sum before them is below top_p, at most top_k. An id that recurs in the window is put to
    -inf and the row drawn once more from the full distribution. Returns ids (B,) and whether the row fell back (B,).
    """
    probs = jax.nn.softmax(logits, axis=-1)
    top, ids = lax.top_k(probs, config.top_k)
    keep = jnp.cumsum(top, axis=-1) - top < config.top_p
    winner = jnp.argmax(jnp.where(keep, top / noise.nucleus, -1.0), axis=-1)
    drawn = jnp.take_along_axis(ids, winner[:, None], axis=1)

    repeats = jnp.sum(recent == drawn, axis=-1)
    fall_back = repeats >= config.window * config.repetition_rate
    banned = jnp.where(jnp.arange(logits.shape[-1]) == drawn, -jnp.inf, logits)
    second = jnp.argmax(jax.nn.softmax(banned, axis=-1) / noise.full, axis=-1)
    return jnp.where(fall_back, second, drawn[:, 0]).astype(jnp.int32), fall_back


class Sampler(Protocol):
    """Draws one id a row; frozen and hashable, since it is part of a static argument of the compiled loop.

    `sampling` holds the window of recent ids that it is given, and the length rules of the run."""

    @property
    def sampling(self) -> SamplingConfig: ...

    def __call__(
        self, logits: jax.Array, recent: jax.Array, keys: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Masked logits (B, V), recent ids (B, W), one key a row (B,), draws so far (B,) -> ids int32 (B,) and whether
        the row was drawn twice (B,)."""


@dataclass(frozen=True)
class RasSampler:
    """Repetition-aware sampling with the noise of each row's key."""

    sampling: SamplingConfig

    def __call__(
        self, logits: jax.Array, recent: jax.Array, keys: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        noise = draw_noise(keys, step, self.sampling.top_k, logits.shape[-1])
        return ras_sample(logits, recent, noise, self.sampling)
