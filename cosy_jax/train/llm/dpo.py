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
from cosy_jax.train.llm.loss import cross_entropy, llm_logits, target_log_probabilities
from cosy_jax.train.totals import Totals

BETA = 0.01


class Pairs(NamedTuple):
    """Rows (B, T) with the speech that is preferred and, in the same layout, with the other one."""

    chosen: TrainingRow
    rejected: TrainingRow


def mean_log_probability(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Of each row's targets, (B,); 0 for a row without any."""
    kept = jnp.sum(targets != IGNORED, axis=-1)
    return jnp.sum(target_log_probabilities(logits, targets), axis=-1) / jnp.maximum(kept, 1)


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
    logits = llm_logits(params, both, config, precision, remat)
    frozen = jax.lax.stop_gradient(llm_logits(reference, both, config, precision))
    margin = _margin(logits, both.targets) - _margin(frozen, both.targets)
    count = jnp.sum(real)
    spoken = cross_entropy(logits[: len(logits) // 2], chosen).means()
    preference = -jnp.sum(jnp.where(real, jax.nn.log_sigmoid(beta * margin), 0.0))
    sums = {
        "preferred": jnp.sum(real & (margin > 0)),
        "margin": jnp.sum(jnp.where(real, margin, 0.0)),
        "cross_entropy": count * spoken["loss"],
        "accuracy": count * spoken["accuracy"],
    }
    return Totals(preference + count * spoken["loss"], count, sums)


def _margin(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Of logits (2 B, T, V), the chosen rows before the rejected: how much likelier the chosen are, (B,)."""
    chosen, rejected = jnp.split(mean_log_probability(logits, targets), 2)
    return chosen - rejected
