"""A densely connected block as a loop over its layers, for a TPU, whose compiler takes seconds for each.

Every layer then sees the width that the last one leaves, B rows, T frames, C channels: those that are not there yet are
zeros, and so are the parameters for them.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from cosy_jax.config import SpeakerEncoderConfig
from cosy_jax.nn.stacked import stack


def join_blocks(params: dict, config: SpeakerEncoderConfig) -> dict:
    """The speaker encoder's parameters with block{b}_0, block{b}_1, ... of each block as one tree, block{b}."""
    rest, joined = dict(params), {}
    for b, count in enumerate(config.block_layers, start=1):
        layers = [rest.pop(f"block{b}_{i}") for i in range(count)]
        width = layers[-1]["norm"]["mean"].shape[0] + config.growth
        joined[f"block{b}"] = stack([_widened(layer, width) for layer in layers])
    return {**rest, **joined}


def is_joined(params: dict) -> bool:
    """Whether these are parameters that `join_blocks` gave."""
    return "block1" in params


def _widened(layer: dict, width: int) -> dict:
    more = width - layer["norm"]["mean"].shape[0]
    # With a variance of 1: a padded channel is 0 / sqrt(1 + eps) * 0 + 0.
    norm = {name: jnp.pad(leaf, (0, more), constant_values=name == "var") for name, leaf in layer["norm"].items()}
    bottleneck = layer["bottleneck"]
    kernel = jnp.pad(bottleneck["kernel"], ((0, 0), (0, more)))
    return {**layer, "norm": norm, "bottleneck": {**bottleneck, "kernel": kernel}}


def through_block(apply: Callable[[dict, jax.Array], jax.Array], joined: dict, x: jax.Array) -> jax.Array:
    """x (B, T, C), a block's joined parameters, `apply(params, x)` of one layer -> x and what each layer adds."""
    width, known = joined["norm"]["mean"].shape[1], x.shape[-1]
    count = len(joined["norm"]["mean"])
    growth = (width - known) // count
    wide = jnp.pad(x, ((0, 0), (0, 0), (0, width - known)))

    def add(wide: jax.Array, layer: tuple[jax.Array, dict]) -> tuple[jax.Array, None]:
        index, params = layer
        return lax.dynamic_update_slice_in_dim(wide, apply(params, wide), known + growth * index, axis=2), None

    return lax.scan(add, wide, (jnp.arange(count), joined))[0]
