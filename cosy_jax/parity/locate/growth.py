"""How much error rounding explains, and the first value that has more.

A correct run errs about as the reference's own float32 run does at the same place, times what its number format costs.
Where a dump has no float64, all that is known is that rounding grows smoothly: a jump is a fault.
"""

from collections.abc import Sequence
from itertools import accumulate
from math import isfinite
from typing import NamedTuple

import jax.numpy as jnp

from cosy_jax.nn.precision import Precision
from cosy_jax.parity.locate.trace import LayerError

_FACTOR = 8.0  # that a correct run may be worse than expected
_JUMP = 10.0  # that an error may grow by from one value to the next
_WORSE = 2.0  # a jump that the reference's own run makes as well is none
# The source's phase is a sum over time, in the reference of float32 values: 2e-4 off in the 2.4 s of a dump. Another
# noise makes 8e-3.
_PHASE_LIMIT = 3e-3
_OF_PHASE = ("m_source", "source", "audio")


class Rounding(NamedTuple):
    """A number format: its error in units of a float32 run's error at the same place, the relative error that is no
    matter anywhere, and what a jump must reach to be one."""

    growth: float
    floor: float
    jump: float


FLOAT32 = Rounding(1.0, 8 * 2.0**-24, 1e-4)
# Measured on every layer of language model and flow, of the small model and at released size: 0.9e4 to 2.3e4 and, with
# matrices in 8 bits, 3.3e4 to 3.8e4.
BFLOAT16 = Rounding(2.0**14, 2.0**-8, 8 * 2.0**-8)
INT8 = Rounding(2.0**15, 2.0**-8, 16 * 2.0**-8)


def rounding_of(stage: str, precision: Precision) -> Rounding:
    """The format in which a stage runs under a policy; the vocoder is float32 always."""
    if stage == "vocoder" or precision.compute != jnp.bfloat16:
        return FLOAT32
    return INT8 if precision.int8_llm and stage == "language model" else BFLOAT16


def recorded_rounding(metadata: dict[str, str]) -> Rounding:
    """The format of a dump's own run, by its metadata."""
    return FLOAT32 if metadata.get("dtype", "float32") == "float32" else BFLOAT16


class Growth(NamedTuple):
    """What to expect of our run in one format against a dump in another."""

    ours: Rounding
    dump: Rounding

    def limits(self, layers: Sequence[LayerError]) -> list[float]:
        """The most that each value of a chain, in the data's order, may be off by."""
        before = [0.0, *accumulate((layer.ours for layer in layers), max)]
        return [self._limit(layer, largest) for layer, largest in zip(layers, before, strict=False)]

    def _limit(self, layer: LayerError, before: float) -> float:
        jump = max(self.ours.jump, self.dump.jump, _JUMP * before)
        if layer.name in _OF_PHASE:
            jump = max(jump, _PHASE_LIMIT)
        if layer.reference is None:
            return jump
        expected = layer.reference * self.ours.growth / self.dump.growth
        return min(_FACTOR * expected + self.ours.floor, max(jump, _WORSE * expected))

    def first_beyond(self, layers: Sequence[LayerError]) -> int | None:
        """The index of the first value of a chain that is off by more than its limit; a NaN is."""
        pairs = zip(layers, self.limits(layers), strict=True)
        return next((index for index, (layer, limit) in enumerate(pairs) if not layer.ours <= limit), None)


def describe(layers: Sequence[LayerError], index: int) -> str:
    """One sentence: how far a value is off, and the values before it."""
    layer, before = layers[index], layers[:index]
    off = f"off by {layer.ours:.1e} of its size" if isfinite(layer.ours) else "not finite, or not of the dump's shape"
    reference = "" if layer.reference is None else f", the reference's own run by {layer.reference:.1e}"
    if not before:
        return off + reference
    count = f"the {len(before)} values before it agree" if len(before) > 1 else "the value before it agrees"
    return f"{off}{reference}; {count} to {max(each.ours for each in before):.1e}"
