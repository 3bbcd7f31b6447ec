"""The named precision policies: the one place that says in which type products are taken.

Axes in einsum letters are the caller's. Norms, softmax, logits and ODE state are float32 under every policy.
"""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from cosy_jax.errors import CosyError
from cosy_jax.nn import backend

_LINEAR = "ri,oi->ro"


@dataclass(frozen=True)
class Precision:
    """How matrix products are taken: operands cast to `compute`, sums in `accumulate`."""

    name: str
    compute: jnp.dtype
    # XLA's default rounds float32 operands to TF32 (GPU) or bfloat16 (TPU): parity needs "highest".
    lax_precision: lax.Precision
    int8_llm: bool = False  # the language model's matrices are kept in 8 bits (`int8`)

    @property
    def accumulate(self) -> jnp.dtype:
        """Type of sums and results: float32, or float64 where the operands are."""
        return jnp.promote_types(self.compute, jnp.float32)

    def linear(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        """x (..., I) times kernel (O, I) -> (..., O) in the accumulation type.

        With x of three axes, a loop on a CPU would begin with a transposed copy of every bfloat16 kernel.
        """
        rows = x.reshape(-1, x.shape[-1])
        alone = len(rows) == 1 and self.compute != self.accumulate
        y = _one_row(rows, kernel, self) if alone else self.einsum(_LINEAR, rows, kernel)
        return y.reshape(*x.shape[:-1], -1)

    def einsum(self, spec: str, x: jax.Array, y: jax.Array) -> jax.Array:
        """Einsum with operands in the compute type and the result in the accumulation type.

        The float32 result of bfloat16 operands is not only for accuracy: on a CPU's matrix unit a bfloat16 product
        with a bfloat16 result takes a path six times slower.
        """
        x, y = x.astype(self.compute), y.astype(self.compute)
        return _plain(spec, self, x, y) if self.compute == self.accumulate else _rounded(spec, self, x, y)


def _plain(spec: str, precision: Precision, x: jax.Array, y: jax.Array) -> jax.Array:
    wide = precision.accumulate
    return jnp.einsum(spec, x, y, precision=precision.lax_precision, preferred_element_type=wide)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _rounded(spec: str, precision: Precision, x: jax.Array, y: jax.Array) -> jax.Array:
    """`_plain`, whose gradients are products in the compute type too, as those of torch's autocast: JAX would multiply
    the result's float32 gradient with the operands, in float32. Every axis of an operand is one of the other's or the
    result's."""
    return _plain(spec, precision, x, y)


def _rounded_forward(
    spec: str, precision: Precision, x: jax.Array, y: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _plain(spec, precision, x, y), (x, y)


def _rounded_backward(
    spec: str, precision: Precision, kept: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, y = kept
    gradient = gradient.astype(precision.compute)
    operands, result = spec.split("->")
    one, other = operands.split(",")
    to_x = _plain(f"{result},{other}->{one}", precision, gradient, y)
    if spec == _LINEAR and len(x) % 2 == 0:
        to_y = _kernel_gradient(gradient, x, precision=precision)
    else:
        to_y = _plain(f"{result},{one}->{other}", precision, gradient, x)
    return to_x.astype(x.dtype), to_y.astype(y.dtype)


_rounded.defvjp(_rounded_forward, _rounded_backward)


@functools.partial(jax.jit, static_argnames=("precision",))
def _kernel_gradient(gradient: jax.Array, rows: jax.Array, *, precision: Precision) -> jax.Array:
    """Gradient (R, O) and rows (R, I), R even -> (O, I). XLA's CPU product of bfloat16 over the first axis of both is
    four times slower than over the last, and a plain transpose would become that product again."""

    def turned(x: jax.Array) -> jax.Array:
        return x.reshape(2, len(x) // 2, -1).transpose(2, 0, 1).reshape(-1, len(x))

    def over_last(gradient: jax.Array, rows: jax.Array) -> jax.Array:
        return _plain("or,ir->oi", precision, turned(gradient), turned(rows))

    def over_first(gradient: jax.Array, rows: jax.Array) -> jax.Array:
        return _plain("ro,ri->oi", precision, gradient, rows)

    return backend.by_platform(gradient, rows, cpu=over_last, other=over_first)


@functools.partial(jax.jit, static_argnames=("precision",))
def _one_row(row: jax.Array, kernel: jax.Array, precision: Precision) -> jax.Array:
    """Row (1, I) times kernel (O, I) -> (1, O); in bfloat16, XLA's CPU backend takes two rows in a tenth of the time.

    jit, so that the many equal layers of a stack are traced once.
    """

    def padded(row: jax.Array, kernel: jax.Array) -> jax.Array:
        return precision.einsum("ri,oi->ro", jnp.pad(row, ((0, 1), (0, 0))), kernel)[:1]

    def alone(row: jax.Array, kernel: jax.Array) -> jax.Array:
        return precision.einsum("ri,oi->ro", row, kernel)

    return backend.by_platform(row, kernel, cpu=padded, other=alone)


FLOAT32 = Precision("float32", jnp.dtype(jnp.float32), lax.Precision.HIGHEST)
BFLOAT16 = Precision("bfloat16", jnp.dtype(jnp.bfloat16), lax.Precision.DEFAULT)
INT8 = Precision("int8", jnp.dtype(jnp.bfloat16), lax.Precision.DEFAULT, int8_llm=True)
# Of the encoders on a TPU, whose compiler takes 0.6 of the time for it: no id changes, embeddings by 2e-5 (TPU.md).
THREE_PASSES = Precision("float32 in three passes", jnp.dtype(jnp.float32), lax.Precision.HIGH)
# Under `jax.enable_x64` only: F0, whose error becomes phase, and runs that judge the others.
FLOAT64 = Precision("float64", jnp.dtype(jnp.float64), lax.Precision.HIGHEST)
POLICIES = {policy.name: policy for policy in (FLOAT32, BFLOAT16, INT8)}


def get_precision(name: str) -> Precision:
    """The policy of that name; CosyError for an unknown one."""
    if name not in POLICIES:
        raise CosyError(f"Unknown dtype '{name}': choose one of {', '.join(POLICIES)}.")
    return POLICIES[name]
