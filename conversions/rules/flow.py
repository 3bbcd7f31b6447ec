"""flow.pt: token embedding, lookahead convolutions, speaker projection and the DiT."""

from collections.abc import Mapping

import numpy as np

from cosy_jax.config import ModelConfig

from ..mapping import Ignore, Rule
from ..source import LazyTensor
from ..transforms import CONV1D, IDENTITY, Transform

_ROPE_THETA = 10000.0

_DIT = "decoder.estimator"
_BLOCK = f"{_DIT}.transformer_blocks.{{n}}"


def _layer(source: str, target: str, transform: Transform = IDENTITY) -> tuple[Rule, Rule]:
    return Rule(f"{source}.weight", f"{target}/kernel", transform), Rule(f"{source}.bias", f"{target}/bias")


def _rotary_frequencies(count: int) -> np.ndarray:
    """float32 (count,), rounded where torch rounds: the exponent, its power and the inverse of that."""
    exponents = np.arange(count, dtype=np.float32) / np.float32(count)
    return 1 / (_ROPE_THETA ** exponents.astype(np.float64)).astype(np.float32)


def _restore_frequencies(config: ModelConfig, _: Mapping[str, LazyTensor]) -> LazyTensor:
    values = _rotary_frequencies(config.flow.head_dim // 2)
    return LazyTensor(values.shape, values.dtype, lambda: values)


def _check_frequencies(values: np.ndarray) -> str | None:
    same = np.allclose(values.astype(np.float64), _rotary_frequencies(values.size), rtol=1e-6, atol=0)
    return None if same else f"are not the rotary frequencies of base {_ROPE_THETA:.0f}"


RULES: tuple[Rule | Ignore, ...] = (
    Rule("input_embedding.weight", "token_embedding/embedding"),
    *_layer("spk_embed_affine_layer", "speaker_projection"),
    *_layer("pre_lookahead_layer.conv1", "lookahead/conv1", CONV1D),
    *_layer("pre_lookahead_layer.conv2", "lookahead/conv2", CONV1D),
    *_layer(f"{_DIT}.time_embed.time_mlp.0", "dit/time_embedding/linear1"),
    *_layer(f"{_DIT}.time_embed.time_mlp.2", "dit/time_embedding/linear2"),
    *_layer(f"{_DIT}.input_embed.proj", "dit/input_embedding/projection"),
    *_layer(f"{_DIT}.input_embed.conv_pos_embed.conv1.0", "dit/input_embedding/conv1", CONV1D),
    *_layer(f"{_DIT}.input_embed.conv_pos_embed.conv2.0", "dit/input_embedding/conv2", CONV1D),
    *_layer(f"{_BLOCK}.attn_norm.linear", "dit/blocks_{n}/modulation"),
    *_layer(f"{_BLOCK}.attn.to_q", "dit/blocks_{n}/attention/query"),
    *_layer(f"{_BLOCK}.attn.to_k", "dit/blocks_{n}/attention/key"),
    *_layer(f"{_BLOCK}.attn.to_v", "dit/blocks_{n}/attention/value"),
    *_layer(f"{_BLOCK}.attn.to_out.0", "dit/blocks_{n}/attention/output"),
    *_layer(f"{_BLOCK}.ff.ff.0.0", "dit/blocks_{n}/feed_forward/linear1"),
    *_layer(f"{_BLOCK}.ff.ff.2", "dit/blocks_{n}/feed_forward/linear2"),
    *_layer(f"{_DIT}.norm_out.linear", "dit/final_modulation"),
    *_layer(f"{_DIT}.proj_out", "dit/output_projection"),
    Ignore(f"{_DIT}.rotary_embed.inv_freq", "computed from the head width", _restore_frequencies, _check_frequencies),
)
