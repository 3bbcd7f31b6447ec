"""flow.pt: token embedding, lookahead convolutions, speaker projection and the DiT."""

from collections.abc import Mapping

import numpy as np

from cosy_jax.config import ModelConfig
from cosy_jax.flow.dit import ROTARY_BASE
from cosy_jax.nn.rotary import frequencies

from ..mapping import Ignore, Rule
from ..source import LazyTensor
from ..transforms import CONV1D, IDENTITY, Transform

_DIT = "decoder.estimator"
_BLOCK = f"{_DIT}.transformer_blocks.{{n}}"


def _layer(source: str, target: str, transform: Transform = IDENTITY) -> tuple[Rule, Rule]:
    return Rule(f"{source}.weight", f"{target}/kernel", transform), Rule(f"{source}.bias", f"{target}/bias")


def _restore_frequencies(config: ModelConfig, _: Mapping[str, LazyTensor]) -> LazyTensor:
    values = frequencies(config.flow.head_dim, ROTARY_BASE)
    return LazyTensor(values.shape, values.dtype, lambda: values)


def _check_frequencies(values: np.ndarray) -> str | None:
    same = np.allclose(values.astype(np.float64), frequencies(2 * values.size, ROTARY_BASE), rtol=1e-6, atol=0)
    return None if same else f"are not the rotary frequencies of base {ROTARY_BASE:.0f}"


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
