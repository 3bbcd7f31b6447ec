"""The optimiser: Adam, AdamW or Muon, its schedule and clipping."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from cosy_jax.train.settings import TrainSettings

_MUON_RMS = 0.2  # of a step's changes over the learning rate: about Adam's, so that its rates serve (section 2.2)
_LAYER = re.compile(r"_\d+$")


def make_optimiser(settings: TrainSettings) -> optax.GradientTransformation:
    """Adam with the settings' schedule, gradients clipped by their global norm; AdamW where weights decay. Where it is
    asked for, Muon for the matrices of the layers and Adam with Nesterov's momentum for all else
    (https://arxiv.org/abs/2502.16982)."""
    rate, decay = learning_rate(settings), settings.weight_decay
    if settings.optimiser == "muon":
        found = optax.contrib.muon(
            rate,
            weight_decay=decay,
            weight_decay_mask=_matrices,
            adam_b1=settings.beta1,
            adam_b2=settings.beta2,
            adam_weight_decay=decay,
            muon_weight_dimension_numbers=_layers,
            consistent_rms=_MUON_RMS,
        )
    elif decay:
        found = optax.adamw(rate, settings.beta1, settings.beta2, weight_decay=decay, mask=_matrices)
    else:
        found = optax.adam(rate, settings.beta1, settings.beta2)
    return optax.chain(optax.clip_by_global_norm(settings.clip), found)


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


def _layers(params: Any) -> Any:
    """Muon is for the matrices of repeated layers: embeddings and the last projection are rows that are learnt each at
    its own pace."""

    def chosen(path: tuple[Any, ...], leaf: Any) -> optax.contrib.MuonDimensionNumbers | None:
        inside = any(_LAYER.search(str(getattr(part, "key", part))) for part in path)
        return optax.contrib.MuonDimensionNumbers(1, 0) if inside and leaf.ndim == 2 else None

    return jax.tree_util.tree_map_with_path(chosen, params)
