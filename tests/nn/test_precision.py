"""Products of bfloat16 have gradients that are such products, too, and right ones."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.nn.precision import BFLOAT16, FLOAT32

SPECS = [
    ("ri,oi->ro", (6, 8), (5, 8)),
    ("ri,oi->ro", (7, 8), (5, 8)),
    ("hbte,hbse->hbts", (2, 3, 4, 8), (2, 3, 5, 8)),
    ("hbts,hbse->hbte", (2, 3, 4, 5), (2, 3, 5, 8)),
    ("bkgte,bkse->bkgts", (2, 1, 3, 4, 8), (2, 1, 5, 8)),
]


def gradients(precision, spec):
    def loss(x, y):
        return jnp.sum(jnp.sin(precision.einsum(spec, x, y)))

    return jax.jit(jax.grad(loss, argnums=(0, 1)))


@pytest.mark.parametrize(("spec", "one", "other"), SPECS)
def test_gradients_of_bfloat16_products(spec, one, other):
    random = np.random.default_rng(0)
    x, y = (random.standard_normal(shape, np.float32) for shape in (one, other))
    program = gradients(BFLOAT16, spec)
    products = re.findall(r"dot_general.* : \((.*)\) -> (.*)", program.lower(x, y).as_text())
    assert len(products) >= 3
    for operands, result in products:
        assert operands.count("bf16>") == 2 and "f32>" in result
    for found, exact in zip(program(x, y), gradients(FLOAT32, spec)(x, y), strict=True):
        assert found.dtype == jnp.float32
        assert np.linalg.norm(found - exact) < 0.03 * np.linalg.norm(exact)
