"""Weight norm as a reparametrisation."""

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.train.vocoder.weight_norm import fold, unfold


def test_unfolded_parameters_fold_back(synthesizer):
    params = synthesizer.params("vocoder")
    trained = unfold(params)
    assert trained["source_downs_0"].keys() == {"kernel", "bias"} == trained["source"]["linear"].keys()
    assert trained["conv_pre"].keys() == trained["f0_predictor"]["conv_3"].keys() == {"g", "v", "bias"}
    folded = jax.jit(fold)(trained)
    assert jax.tree.structure(folded) == jax.tree.structure(params)
    jax.tree.map(lambda ours, wanted: np.testing.assert_allclose(ours, wanted, rtol=1e-6), folded, params)


def test_gradient_of_the_direction_is_across_it():
    random = np.random.default_rng(0)
    v = jnp.asarray(random.standard_normal((3, 4, 5)), jnp.float32)
    params = {"conv": {"g": jnp.arange(1.0, 6.0), "v": v, "bias": jnp.zeros(5)}}
    weights = jnp.asarray(random.standard_normal(v.shape), jnp.float32)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(fold(p)["conv"]["kernel"] * weights)))(params)["conv"]
    norm = np.sqrt(np.sum(np.square(v), axis=(0, 1)))
    np.testing.assert_allclose(gradient["g"], np.sum(weights * v, axis=(0, 1)) / norm, rtol=1e-5)
    np.testing.assert_allclose(np.sum(gradient["v"] * v, axis=(0, 1)), 0, atol=1e-5)
