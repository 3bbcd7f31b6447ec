"""The optimiser: Adam or AdamW, its schedule and clipping."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from cosy_jax.train.settings import TrainSettings


def make_optimiser(settings: TrainSettings) -> optax.GradientTransformation:
    """Adam with the settings' schedule, gradients clipped by their global norm; AdamW where weights decay."""
    adam = optax.adam(learning_rate(settings), settings.beta1, settings.beta2)
    if settings.weight_decay:
        adam = optax.adamw(
            learning_rate(settings), settings.beta1, settings.beta2, weight_decay=settings.weight_decay, mask=_matrices
        )
    return optax.chain(optax.clip_by_global_norm(settings.clip), adam)


def learning_rate(settings: TrainSettings) -> optax.Schedule:
    """Of a step's number, counted from 0. The rise ends after `warmup` steps; inverse-sqrt is the reference's WarmupLR
    (lr sqrt(w) min(s^-1/2, s w^-3/2))."""
    full, warmup = settings.learning_rate, settings.warmup
    start = max(warmup, 1)

    def inverse_sqrt(step: jax.typing.ArrayLike) -> jax.Array:
        return full * jnp.sqrt(start / (step + start))

    after: optax.Schedule
    if settings.schedule == "inverse-sqrt":
        after = inverse_sqrt
    elif settings.schedule == "cosine":
        after = optax.cosine_decay_schedule(full, max(settings.steps - warmup, 1))
    else:
        after = optax.constant_schedule(full)
    if not warmup:
        return after
    return optax.join_schedules([optax.linear_schedule(full / warmup, full, max(warmup - 1, 1)), after], [warmup])


def _matrices(params: Any) -> Any:
    """Decay is for what multiplies: biases, scales and other vectors keep their size."""
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)
