"""Equal layers as one, over which a loop runs: XLA's TPU compiler takes as long for each of them as for the first."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

STACKED = "blocks"  # the parameters of all layers, in place of blocks_0, blocks_1, ...


def stack(trees: Sequence[Any]) -> Any:
    """Pytrees of one form as one, its leaves with a first axis more."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def stack_blocks(params: dict, count: int) -> dict:
    """A module's parameters with those of its `count` blocks as one."""
    others = dict(params)
    blocks = [others.pop(f"blocks_{index}") for index in range(count)]
    return {**others, STACKED: stack(blocks)}
