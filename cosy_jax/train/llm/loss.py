"""Cross-entropy of the speech ids to come (reference: Qwen2LM.forward with LabelSmoothingLoss at smoothing 0).

B rows, T positions, V speech vocabulary. The text vocabulary's head is never computed.
"""

from typing import Any

import jax
import jax.numpy as jnp

from cosy_jax.config import LLMConfig
from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.llm.speech_lm import SpeechLM
from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.train.llm.layout import IGNORED, TrainingRow
from cosy_jax.train.totals import Totals


def llm_logits(
    params: Any, rows: TrainingRow, config: LLMConfig, precision: Precision = FLOAT32, remat: bool = False
) -> jax.Array:
    """Logits float32 (B, T, V) after every id of rows (B, T)."""
    model = SpeechLM(config, precision, remat)
    count, size = rows.ids.shape
    cache = init_cache(config, count, size, precision)
    return model.apply({"params": params}, rows.ids, rows.is_text, cache)[0]


def target_log_probabilities(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Log-probability (B, T) of each target, zero where it is ignored."""
    kept = targets != IGNORED
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.where(kept, targets, 0)[..., None], axis=-1)[..., 0]
    return jnp.where(kept, picked, 0.0)


def cross_entropy(logits: jax.Array, targets: jax.Array) -> Totals:
    """Over the targets (B, T) that are not ignored; `accuracy` counts those whose logit is the largest."""
    kept = targets != IGNORED
    right = kept & (jnp.argmax(logits, axis=-1) == targets)
    return Totals(-jnp.sum(target_log_probabilities(logits, targets)), jnp.sum(kept), {"accuracy": jnp.sum(right)})


def llm_loss(
    params: Any, rows: TrainingRow, *, config: LLMConfig, precision: Precision = FLOAT32, remat: bool = False
) -> Totals:
    """Loss and accuracy of rows (B, T); the weight is the number of targets."""
    return cross_entropy(llm_logits(params, rows, config, precision, remat), jnp.asarray(rows.targets))
