"""What is learnt: the weights but for frozen ones, or changes of low rank that begin as none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.errors import CosyError
from cosy_jax.train.llm.layout import stack_rows, training_row
from cosy_jax.train.llm.loss import llm_loss
from cosy_jax.train.parametrisation import LowRank, Whole

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def params(synthesizer):
    return synthesizer.params("llm")


def test_frozen_parameters_are_not_learnt(params):
    learnt, frozen = Whole(("text_embedding/*", "*/layers_0/*")).split(params, KEY)
    assert "text_embedding" not in learnt and set(learnt["backbone"]) == {"layers_1", "norm"}
    joined = Whole().join(learnt, frozen)
    assert jax.tree.structure(joined) == jax.tree.structure(params)


@pytest.mark.parametrize(("freeze", "words"), [(("nobody/*",), "no parameter is called"), (("*",), "nothing is left")])
def test_faulty_globs_are_one_sentence(params, freeze, words):
    with pytest.raises(CosyError, match=words):
        Whole(freeze).split(params, KEY)


@pytest.mark.slow
def test_changes_begin_as_none_and_merge_to_what_they_did(synthesizer, params):
    config = synthesizer.config.llm
    rows = stack_rows([training_row([3], [4, 5], range(9), config)], 16)
    ranks = LowRank(3, 6.0, ("query", "down"))
    learnt, frozen = ranks.split(params, KEY)
    assert all("query" in name or "down" in name for name in learnt) and len(learnt) == 4

    @jax.jit
    def loss(params):
        return llm_loss(params, rows, config=config).loss

    assert float(loss(ranks.join(learnt, frozen))) == float(loss(params))
    moved = jax.tree.map(
        lambda leaf: leaf + 0.01 * jnp.sin(jnp.arange(leaf.size, dtype=jnp.float32)).reshape(leaf.shape), learnt
    )
    joined, merged = float(loss(ranks.join(moved, frozen))), float(loss(ranks.merge(moved, frozen)))
    assert joined != float(loss(params)) and joined == pytest.approx(merged, rel=1e-6)


def test_layers_that_are_not_there(params):
    with pytest.raises(CosyError, match="no layer is called nobody"):
        LowRank(3, 6.0, ("nobody",)).split(params, KEY)


def test_gradients_reach_the_changes_alone(synthesizer, params):
    config = synthesizer.config.llm
    rows = stack_rows([training_row([3], [4, 5], range(9), config)], 16)
    ranks = LowRank(3, 6.0, ("value",))
    learnt, frozen = ranks.split(params, KEY)
    gradient = jax.jit(jax.grad(lambda learnt: llm_loss(ranks.join(learnt, frozen), rows, config=config).loss))(learnt)
    for pair in gradient.values():
        # B is zero at first, so that A has no gradient yet.
        assert np.abs(pair["lora_b"]).max() > 0 and np.abs(pair["lora_a"]).max() == 0
