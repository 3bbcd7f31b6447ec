"""What a loss function returns: sums, so that rows, micro-batches and devices add up before anything is divided."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray  # on the host before a step, on the device in it


class Totals(NamedTuple):
    """A loss summed over what it is taken over (targets, mel values, ...), their weight, which is the number of them,
    and further sums by name, each over the same. All scalars.

    `statistics`: parameters that follow the batches instead of a gradient, such as those of batch norms; part of the
    parameters' tree, each times the weight.
    """

    loss: jax.Array
    weight: jax.Array
    sums: dict[str, jax.Array]
    statistics: dict[str, Any] | None = None

    def means(self) -> dict[str, jax.Array]:
        """Loss and further figures, each divided by the weight; of nothing, zero."""
        weight = jnp.maximum(self.weight, 1)
        return {"loss": self.loss / weight, **{name: value / weight for name, value in self.sums.items()}}
