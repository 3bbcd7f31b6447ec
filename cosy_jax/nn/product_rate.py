"""How many FLOP/s this machine reaches in products of matrices, against which others are measured."""

import functools
import statistics
import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

_SIZES = (1024, 2048, 4096, 8192)


@dataclass(frozen=True)
class Kind:
    """A type of product: its operands, its result, and XLA's precision, which would round float32 otherwise."""

    operand: jnp.dtype
    result: jnp.dtype
    precision: lax.Precision = lax.Precision.DEFAULT

    def product(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        """x (rows, in), kernel (out, in) -> (rows, out)."""
        contracted = (((1,), (1,)), ((), ()))
        return lax.dot_general(x, kernel, contracted, self.precision, preferred_element_type=self.result)


KINDS = {
    "float32": Kind(jnp.dtype("float32"), jnp.dtype("float32"), lax.Precision.HIGHEST),
    "bfloat16": Kind(jnp.dtype("bfloat16"), jnp.dtype("float32")),
    "int8": Kind(jnp.dtype("int8"), jnp.dtype("int32")),
}


@functools.cache
def product_rate(kind: Kind, runs: int, long_enough: float) -> float:
    """FLOP/s of one device: the best median of `runs`, over squares of growing size, until one takes `long_enough`
    seconds to tell that a larger one would not be faster."""
    product, rate = jax.jit(kind.product), 0.0
    for size in _SIZES:
        square = jnp.ones((size, size), kind.operand)
        product(square, square).block_until_ready()  # compiles
        seconds = statistics.median(_seconds(product, square) for _ in range(runs))
        rate = max(rate, 2 * size**3 / seconds)
        if seconds > long_enough:
            break
    return rate


def _seconds(product: jax.stages.Wrapped, square: jax.Array) -> float:
    begin = time.perf_counter()
    product(square, square).block_until_ready()
    return time.perf_counter() - begin
