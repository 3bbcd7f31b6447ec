"""The language model's logits without any saving."""

from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.llm.speech_lm import SpeechLM
from cosy_jax.nn.precision import FLOAT32


def whole_logits(params, rows, config):
    """Logits (B, T, V) after every id of rows (B, T)."""
    cache = init_cache(config, *rows.ids.shape, FLOAT32)
    return SpeechLM(config).apply({"params": params}, rows.ids, rows.is_text, cache)[0]
