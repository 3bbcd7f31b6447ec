"""The loss over the targets alone, against that over all logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.train.llm.layout import IGNORED, stack_rows, training_row
from cosy_jax.train.llm.loss import drop_history, llm_loss
from tests.train.llm.plain import whole_logits


@pytest.fixture(scope="module")
def rows(synthesizer):
    """One in turns, so that its targets are spread; one with many targets; an empty one; padded to no whole chunks."""
    config = synthesizer.config.llm
    spread = training_row([3, 4], range(10, 22), range(70), config, turns=True)
    return stack_rows([spread, training_row([3], [5], range(90), config)], 100, 3)


def plain_loss(params, rows, config):
    table = jax.nn.log_softmax(whole_logits(params, rows, config))
    kept = rows.targets != IGNORED
    picked = jnp.take_along_axis(table, jnp.where(kept, rows.targets, 0)[..., None], axis=-1)[..., 0]
    right = jnp.argmax(table, axis=-1) == rows.targets
    return -jnp.sum(picked * kept), jnp.sum(kept), jnp.sum(right & kept)


@pytest.mark.slow
def test_the_loss_is_that_over_all_logits(synthesizer, rows):
    params, config = synthesizer.params("llm"), synthesizer.config.llm
    wanted = plain_loss(params, rows, config)
    found = jax.jit(lambda params: llm_loss(params, rows, config=config))(params)
    assert float(found.loss) == pytest.approx(float(wanted[0]), rel=1e-6)
    assert int(found.weight) == wanted[1] == np.sum(rows.targets != IGNORED)
    assert int(found.sums["accuracy"]) == wanted[2]


@pytest.mark.slow
def test_so_is_its_gradient(synthesizer, rows):
    params, config = synthesizer.params("llm"), synthesizer.config.llm
    wanted = jax.jit(jax.grad(lambda params: plain_loss(params, rows, config)[0]))(params)
    found = jax.jit(jax.grad(lambda params: llm_loss(params, rows, config=config).loss))(params)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * float(jnp.max(jnp.abs(other))) + 1e-7)


def test_history_is_dropped_and_nothing_else(synthesizer, rows):
    config = synthesizer.config.llm
    dropped = drop_history(rows, 0.4, jax.random.key(0), config)
    speech = ~rows.is_text & (rows.ids < config.speech_token_size)
    changed = np.asarray(dropped.ids) != rows.ids
    assert not np.any(changed & ~speech)
    assert 0.3 < np.mean(changed[speech]) < 0.5
    assert set(np.asarray(dropped.ids)[changed]) == {config.speech_vocab_size - 1}
    assert np.array_equal(dropped.targets, rows.targets) and np.array_equal(dropped.is_text, rows.is_text)
