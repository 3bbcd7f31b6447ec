"""Preference: against the formula, written down once more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.train.llm.dpo import Pairs, dpo_loss
from cosy_jax.train.llm.layout import IGNORED, stack_rows, training_row
from tests.train.llm.plain import whole_logits


@pytest.fixture(scope="module")
def learnt(synthesizer):
    config, params = synthesizer.config.llm, synthesizer.params("llm")
    other = jax.tree.map(lambda leaf: leaf * 1.05, params)

    def rows(lengths):
        return stack_rows([training_row([3, 4], [7, 8, 9], range(count), config) for count in lengths], 40, 4)

    pairs = Pairs(rows((20, 9, 30)), rows((12, 16, 31)))
    found = jax.jit(lambda one, two: dpo_loss(one, two, pairs, config=config, beta=0.3))(params, other)
    return pairs, [whole_logits(each, part, config) for each in (params, other) for part in pairs], found


def mean_log_probability(logits, targets):
    logits = np.asarray(logits, np.float64)
    table = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    means = []
    for row, wanted in zip(table, np.asarray(targets), strict=True):
        places = np.flatnonzero(wanted != IGNORED)
        means.append(table.dtype.type(np.mean([row[place, wanted[place]] for place in places])) if len(places) else 0.0)
    return np.asarray(means)


def test_the_loss_is_the_formula(learnt):
    pairs, logits, found = learnt
    both = (pairs.chosen, pairs.rejected) * 2
    policy, policy_rejected, frozen, frozen_rejected = (
        mean_log_probability(each, rows.targets) for each, rows in zip(logits, both, strict=True)
    )
    margin = ((policy - policy_rejected) - (frozen - frozen_rejected))[:3]
    counts = (pairs.chosen.targets != IGNORED).sum(axis=-1)[:3]
    spoken = -(policy[:3] * counts).sum() / counts.sum()
    wanted = np.log1p(np.exp(-0.3 * margin)).mean() + spoken
    assert float(found.weight) == 3
    assert float(found.means()["loss"]) == pytest.approx(wanted, rel=1e-5)
    assert float(found.means()["margin"]) == pytest.approx(margin.mean(), abs=1e-4)


def test_the_reference_is_frozen(learnt, synthesizer):
    pairs, config = learnt[0], synthesizer.config.llm
    params = synthesizer.params("llm")
    frozen = jax.jit(jax.grad(lambda other: dpo_loss(params, other, pairs, config=config).loss))(params)
    assert not any(jnp.any(leaf) for leaf in jax.tree.leaves(frozen))
