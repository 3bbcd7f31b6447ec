"""What a micro-batch costs, and how much smaller one would have to be."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.nn.product_rate import KINDS, product_rate
from cosy_jax.train import cost

PROGRAM = jax.jit(lambda x, y: x @ y)
HELD = {"weights": jnp.zeros(1000)}  # 4000 bytes


def program(temp, output, flops=1.0):
    analysis = SimpleNamespace(temp_size_in_bytes=temp, output_size_in_bytes=output)
    compiled = SimpleNamespace(memory_analysis=lambda: analysis)
    return SimpleNamespace(compile=lambda: compiled, cost_analysis=lambda: {"flops": flops})


def device(monkeypatch, stats):
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(memory_stats=lambda: stats)])


def test_flops_are_those_of_the_products():
    lowered = PROGRAM.lower(np.ones((8, 16), np.float32), np.ones((16, 32), np.float32))
    assert cost.flops([lowered]) == 2 * 8 * 16 * 32
    assert cost.flops([lowered, lowered]) == 4 * 8 * 16 * 32


@pytest.mark.parametrize("found", [None, {}, [{"flops": 1.0}]])
def test_flops_that_nobody_tells_are_none(found):
    assert cost.flops([SimpleNamespace(cost_analysis=lambda: found)]) is None
    assert cost.flops([]) is None


def test_shapes_are_told_apart():
    batch = {"ids": np.zeros((2, 3), np.int32)}
    assert cost.shape_of(batch) == cost.shape_of({"ids": np.ones((2, 3), np.int32)})
    assert cost.shape_of(batch) != cost.shape_of({"ids": np.zeros((3, 3), np.int32)})


def test_what_fits_beside_weights_and_gradients(monkeypatch):
    device(monkeypatch, {"bytes_limit": 10_000})
    assert cost.fitting_share([program(6_000, 3_000)], HELD, 1) == pytest.approx(0.9 * 3_000 / 6_000)
    assert cost.fitting_share([program(6_000, 1_000)], HELD, 2) == pytest.approx(0.9 * 4_000 / 6_000)


@pytest.mark.parametrize(
    ("stats", "temp", "output"),
    [(None, 6_000, 1_000), ({}, 6_000, 1_000), ({"bytes_limit": 10_000}, 6_000, 8_000), ({"bytes_limit": 10**6}, 1, 1)],
)
def test_half_where_nothing_better_is_known(monkeypatch, stats, temp, output):
    device(monkeypatch, stats)
    assert cost.fitting_share([program(temp, output)], HELD, 1) == 0.5


def test_a_product_takes_its_time():
    assert 1e8 < product_rate(KINDS["float32"], 1, 0.0) < 1e16
