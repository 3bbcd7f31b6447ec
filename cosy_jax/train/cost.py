"""What a micro-batch costs: FLOPs, and memory, by XLA's own analyses of the programs that take its gradient."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import jax

from cosy_jax.errors import CosyError

_ROOM = 0.9  # of the memory that is left: allocators lose some between their blocks


def flops(programs: Sequence[jax.stages.Lowered]) -> float | None:
    """Of all programs together, before they are split over devices; None without a program, or where XLA does not tell.

    What remat computes again is counted again, of a loop whose length XLA does not know one turn.
    """
    total = 0.0
    for program in programs:
        cost = program.cost_analysis()
        if not isinstance(cost, dict) or "flops" not in cost:
            return None
        total += float(cost["flops"])
    return total if programs else None


def shape_of(tree: Any) -> Any:
    """What programs are compiled for, as a key."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of host or device did not suffice."""
    return isinstance(error, MemoryError) or (
        isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    )


def fitting_share(programs: Sequence[jax.stages.Lowered], held: Any, accumulate: int) -> float:
    """The part of a micro-batch's positions that would fit into the device beside the arrays `held` and the gradients,
    of which there are two where micro-batches are added up; half where program or device do not tell."""
    try:
        analyses: list[Any] = [program.compile().memory_analysis() for program in programs]
        limit = jax.local_devices()[0].memory_stats()["bytes_limit"]
        gradients = min(accumulate, 2) * max(found.output_size_in_bytes for found in analyses)
        inner = max(found.temp_size_in_bytes for found in analyses)
    except (AttributeError, KeyError, TypeError, ValueError, jax.errors.JaxRuntimeError) as error:
        logging.getLogger(__name__).info("how much would fit is not known: %s", error)
        return 0.5
    share = _ROOM * (limit - gradients - sum(map(_bytes_on_a_device, jax.tree.leaves(held)))) / max(inner, 1)
    return share if 0 < share < 1 else 0.5


def too_large(unit: str, positions: int, batch_seconds: float | None, remat: bool) -> CosyError:
    """The sentence for a batch of so many positions; `batch_seconds` would fit, None where a batch is one utterance
    already, or `remat`, where that is left to try."""
    remedy = "use shorter recordings" if batch_seconds is None else f"set batch_seconds to {batch_seconds:.3g}"
    other = ", or remat=true" if remat else ""
    return CosyError(f"The memory does not suffice for {positions} {unit} a batch: {remedy}{other}.")


def _bytes_on_a_device(leaf: jax.Array) -> int:
    return math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
