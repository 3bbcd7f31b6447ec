"""Cross-entropy of the speech ids to come (reference: Qwen2LM.forward with LabelSmoothingLoss at smoothing 0).

B rows, T positions, D model, V speech vocabulary. The text vocabulary's head is never computed, and that of speech only
where a target is: text and padding are half of a row's positions and more, and the logits are by far its largest array.
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

_CHUNK = 64  # positions of every row whose logits are there at a time; the buckets are multiples of it


def target_log_probabilities(
    params: Any, rows: TrainingRow, config: LLMConfig, precision: Precision = FLOAT32, remat: bool = False
) -> tuple[jax.Array, jax.Array]:
    """Of rows (B, T): the log-probability (B, T) of each target, in the type of sums, and whether no other id has a
    larger one, bool (B, T). A row's targets come first, in their order; behind them stand zeros."""
    model = SpeechLM(config, precision, remat)
    count, size = rows.ids.shape
    hidden, _ = model.apply(
        {"params": params}, rows.ids, rows.is_text, init_cache(config, count, size, precision), method="hidden"
    )
    targets = jnp.asarray(rows.targets)
    order = jnp.argsort(targets == IGNORED, axis=1, stable=True)
    targets = jnp.take_along_axis(targets, order, axis=1)
    hidden = jnp.take_along_axis(hidden, order[..., None], axis=1)

    @jax.checkpoint  # else the logits of all chunks are kept for the backward pass
    def scored(hidden: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
        kept = targets != IGNORED
        logits = model.apply({"params": params}, hidden, method="score")
        picked = jnp.take_along_axis(logits, jnp.where(kept, targets, 0)[..., None], axis=-1)[..., 0]
        probability = jnp.where(kept, picked - jax.nn.logsumexp(logits, axis=-1), 0.0)
        return probability, kept & (picked >= jnp.max(logits, axis=-1))

    def nothing(_: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jnp.zeros(targets.shape, precision.accumulate), jnp.zeros(targets.shape, bool)

    def chunk(_: None, part: tuple[jax.Array, jax.Array]) -> tuple[None, tuple[jax.Array, jax.Array]]:
        return None, jax.lax.cond(jnp.any(part[1] != IGNORED), scored, nothing, *part)

    _, found = jax.lax.scan(chunk, None, (_chunks(hidden, 0), _chunks(targets, IGNORED)))
    probability, right = (jnp.moveaxis(each, 0, 1).reshape(count, -1)[:, :size] for each in found)
    return probability, right


def cross_entropy(found: tuple[jax.Array, jax.Array], targets: jax.Array) -> Totals:
    """Of what `target_log_probabilities` found for the targets (B, T); `accuracy` counts those whose logit is the
    largest."""
    probability, right = found
    return Totals(-jnp.sum(probability), jnp.sum(targets != IGNORED), {"accuracy": jnp.sum(right)})


def llm_loss(
    params: Any, rows: TrainingRow, *, config: LLMConfig, precision: Precision = FLOAT32, remat: bool = False
) -> Totals:
    """Loss and accuracy of rows (B, T); the weight is the number of targets."""
    found = target_log_probabilities(params, rows, config, precision, remat)
    return cross_entropy(found, jnp.asarray(rows.targets))


def drop_history(rows: TrainingRow, share: float, key: jax.Array, config: LLMConfig) -> TrainingRow:
    """The rows with this share of what the model is told of its own speech taken away (word dropout:
    https://arxiv.org/abs/1511.06349, section 3.1), so that it has to read the text. The id in its place is the last of
    the speech vocabulary, which nothing else uses."""
    ids = jnp.asarray(rows.ids)
    speech = ~jnp.asarray(rows.is_text) & (ids < config.speech_token_size)
    dropped = speech & jax.random.bernoulli(key, share, ids.shape)
    return rows._replace(ids=jnp.where(dropped, config.speech_vocab_size - 1, ids))


def _chunks(array: jax.Array, filler: int) -> jax.Array:
    """(B, T, ...) as (T / chunk, B, chunk, ...), T filled up to whole chunks."""
    count, size = array.shape[:2]
    padding = ((0, 0), (0, -size % _CHUNK), *[(0, 0)] * (array.ndim - 2))
    padded = jnp.pad(array, padding, constant_values=filler)
    return jnp.moveaxis(padded.reshape(count, -1, _CHUNK, *array.shape[2:]), 1, 0)
