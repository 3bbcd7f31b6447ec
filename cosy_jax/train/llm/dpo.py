"""Direct preference optimisation of the language model (https://arxiv.org/abs/2305.18290; reference: DPOLoss and
Qwen2LM.forward_dpo).

B pairs of rows, T positions. The reference averages the log-probability of id 0 over the ignored positions (its issue
1449), and cannot be run on this model; here the mean is over each row's targets.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cosy_jax.config import LLMConfig
from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.train.llm.layout import IGNORED, TrainingRow
from cosy_jax.train.llm.loss import cross_entropy, target_log_probabilities
from cosy_jax.train.totals import Totals

BETA = 0.01


class Pairs(NamedTuple):
    """Rows (B, T) with the speech that is preferred and, in the same layout, with the other one."""

    chosen: TrainingRow
    rejected: TrainingRow


def dpo_loss(
    params: Any,
    reference: Any,
    pairs: Pairs,
    *,
    config: LLMConfig,
    beta: float = BETA,
    precision: Precision = FLOAT32,
    remat: bool = False,
) -> Totals:
    """-log sigmoid(beta ((chosen - rejected) - the same of the frozen `reference` parameters)), plus the chosen rows'
    cross-entropy. The weight is the number of pairs, the mean cross-entropy enters as often.

    Sums: `preferred` pairs whose margin over the reference is positive, their `margin`, `cross_entropy`, `accuracy`.
    """
    both = jax.tree.map(lambda *rows: jnp.concatenate(rows), *pairs)
    chosen = jnp.asarray(pairs.chosen.targets)
    real = jnp.any(chosen != IGNORED, axis=-1)
    probability, right = target_log_probabilities(params, both, config, precision, remat)
    frozen = jax.lax.stop_gradient(target_log_probabilities(reference, both, config, precision)[0])
    margin = _margin(probability, both.targets) - _margin(frozen, both.targets)
    count, pairs_count = jnp.sum(real), len(chosen)
    spoken = cross_entropy((probability[:pairs_count], right[:pairs_count]), chosen).means()
    preference = -jnp.sum(jnp.where(real, jax.nn.log_sigmoid(beta * margin), 0.0))
    sums = {
        "preferred": jnp.sum(real & (margin > 0)),
        "margin": jnp.sum(jnp.where(real, margin, 0.0)),
        "cross_entropy": count * spoken["loss"],
        "accuracy": count * spoken["accuracy"],
    }
    return Totals(preference + count * spoken["loss"], count, sums)


def _margin(probability: jax.Array, targets: jax.Array) -> jax.Array:
    """Of log-probabilities (2 B, T) of targets, the chosen rows before the rejected: how much likelier the
    chosen are in the mean over their targets, (B,). A row without any counts as 0."""
    kept = jnp.maximum(jnp.sum(targets != IGNORED, axis=-1), 1)
    chosen, rejected = jnp.split(jnp.sum(probability, axis=-1) / kept, 2)
    return chosen - rejected
