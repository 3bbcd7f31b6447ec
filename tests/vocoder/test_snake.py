"""The sine of the Snake activation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.vocoder.snake import Snake, sine_squared


@pytest.mark.parametrize("largest", [1e-4, 1.0, 2.0, 30.0, 1e3, 1e4])
def test_it_is_the_squared_sine(largest):
    x = np.random.default_rng(0).uniform(-largest, largest, 200_000).astype(np.float32)
    x = np.concatenate([x, np.float32([0, largest, -largest]), (np.arange(-8, 9) * np.pi / 2).astype(np.float32)])
    exact = np.sin(x.astype(np.float64)) ** 2
    ours = np.asarray(jax.jit(sine_squared)(x))
    assert np.max(np.abs(ours - exact)) < 3e-7
    small = np.abs(x) < 0.01
    np.testing.assert_allclose(ours[small], exact[small], rtol=1e-6)


def test_float64_is_exact():
    with jax.enable_x64(True):
        x = jnp.linspace(-5, 5, 1001, dtype=jnp.float64)
        np.testing.assert_allclose(sine_squared(x), np.sin(np.asarray(x)) ** 2, atol=1e-15)


@pytest.mark.parametrize("largest", [1.0, 30.0, 1e3])
def test_gradient_is_the_sine_of_twice_the_angle(largest):
    x = np.random.default_rng(0).uniform(-largest, largest, 20_000).astype(np.float32)
    slope = np.asarray(jax.jit(jax.vmap(jax.grad(sine_squared)))(x))
    assert np.max(np.abs(slope - np.sin(2 * x.astype(np.float64)))) < 3e-7
    with jax.enable_x64(True):
        exact = jax.vmap(jax.grad(sine_squared))(jnp.asarray(x, jnp.float64))
        np.testing.assert_allclose(exact, np.sin(2 * x.astype(np.float64)), atol=1e-12)


def test_snake_divides_by_alpha():
    x, alpha = jnp.asarray([[0.5, -2.0]]), jnp.asarray([1.0, 3.0])
    ours = Snake().apply({"params": {"alpha": alpha}}, x)
    np.testing.assert_allclose(ours, x + jnp.sin(x * alpha) ** 2 / alpha, atol=1e-6)
