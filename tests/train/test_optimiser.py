"""Which parameters Muon moves, and how far; all others are Adam's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cosy_jax.errors import CosyError
from cosy_jax.train.optimiser import make_optimiser
from cosy_jax.train.settings import TrainSettings

RATE = 1e-3


@pytest.fixture
def params():
    draw = np.random.default_rng(0).standard_normal
    return {
        "token_embedding": {"embedding": draw((20, 8))},
        "blocks_0": {"linear": {"kernel": draw((8, 16)), "bias": draw(8)}, "conv": {"kernel": draw((8, 8, 3))}},
        "head": {"kernel": draw((20, 8))},
    }


MUON = make_optimiser(TrainSettings(optimiser="muon", learning_rate=RATE, clip=1e9))


def first_change(optimiser: optax.GradientTransformation, params):
    """Of one step, with gradients that are the parameters themselves."""
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    return jax.device_get(optimiser.update(params, optimiser.init(params), params)[0])


def test_muon_moves_matrices_of_layers_by_one_size_in_every_direction(params):
    change = first_change(MUON, params)["blocks_0"]["linear"]["kernel"]
    sizes = np.linalg.svd(change, compute_uv=False)
    gradient = np.linalg.svd(params["blocks_0"]["linear"]["kernel"], compute_uv=False)
    assert sizes.max() / sizes.min() < 2 < gradient.max() / gradient.min()


def test_muons_changes_are_as_large_as_adams(params):
    """So that a learning rate serves both."""
    change = first_change(MUON, params)["blocks_0"]["linear"]["kernel"]
    assert 0.1 * RATE < np.sqrt(np.mean(change**2)) < RATE


def test_all_else_is_adams(params):
    """With Nesterov's momentum, which optax gives both."""
    muon, adam = first_change(MUON, params), first_change(optax.nadam(RATE), params)
    del muon["blocks_0"]["linear"]["kernel"], adam["blocks_0"]["linear"]["kernel"]
    for one, other in zip(jax.tree.leaves(muon), jax.tree.leaves(adam), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_an_unknown_optimiser_is_named():
    with pytest.raises(CosyError, match="The setting optimiser is 'sgd': it must be one of adam, muon"):
        TrainSettings(optimiser="sgd")
