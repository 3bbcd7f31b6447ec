"""Where the reference's layers are found in our modules, and how their values are read out of a run.

B batch, T positions, P kept positions, C channels.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.config import FlowConfig, LLMConfig, VocoderConfig

View = Callable[[jax.Array], jax.Array]


def unchanged(x: jax.Array) -> jax.Array:
    """(B, T, C) as it is."""
    return x


def one_position(x: jax.Array) -> jax.Array:
    """(B, C) -> (B, 1, C)."""
    return x[:, None]


def one_channel(x: jax.Array) -> jax.Array:
    """(B, T) -> (B, T, 1)."""
    return x[..., None]


class Tap(NamedTuple):
    """One value of a run: what a method of the module at `module` (its path, joined by '/') returns, the first part of
    a tuple, or what it is given; `view` makes it (B, T, C)."""

    module: str
    method: str = "__call__"
    given: bool = False
    view: View = unchanged


Taps = dict[str, Tap]  # by the reference's module path, in the order in which the values come about


def llm_taps(config: LLMConfig) -> Taps:
    """The language model's."""
    taps = {"embed": Tap("", method="embed")}
    for layer in range(config.num_layers):
        ours = f"backbone/layers_{layer}"
        taps[f"layers.{layer}.self_attn"] = Tap(f"{ours}/attention")
        taps[f"layers.{layer}.mlp"] = Tap(f"{ours}/mlp")
        taps[f"layers.{layer}"] = Tap(ours)
    return taps | {"norm": Tap("backbone/norm"), "llm_decoder": Tap("speech_head")}


def flow_taps(config: FlowConfig) -> Taps:
    """The flow's, up to the first velocity. The final norm is an expression of ours: it is what the last projection is
    given."""
    taps = {
        "input_embedding": Tap("token_embedding"),
        "pre_lookahead_layer": Tap("lookahead"),
        "spk_embed_affine_layer": Tap("speaker_projection", view=one_position),
        "time_embed": Tap("dit/time_embedding", view=one_position),
        "input_embed": Tap("dit/input_embedding"),
    }
    for block in range(config.depth):
        ours = f"dit/blocks_{block}"
        taps[f"transformer_blocks.{block}.attn_norm"] = Tap(f"{ours}/attention", given=True)
        taps[f"transformer_blocks.{block}.attn"] = Tap(f"{ours}/attention")
        taps[f"transformer_blocks.{block}.ff"] = Tap(f"{ours}/feed_forward")
        taps[f"transformer_blocks.{block}"] = Tap(ours)
    projection = "dit/output_projection"
    return taps | {"norm_out": Tap(projection, given=True), "proj_out": Tap(projection)}


def excite_taps() -> Taps:
    """The F0 predictor's."""
    convolutions = {f"f0_predictor.condnet.{2 * n + 1}": Tap(f"f0_predictor/conv_{n}", view=nn.elu) for n in range(5)}
    return convolutions | {"f0_predictor": Tap("f0_predictor", view=one_channel)}


def decode_taps(config: VocoderConfig) -> Taps:
    """The source's and the vocoder network's."""
    taps = {"m_source": Tap("source", view=one_channel), "conv_pre": Tap("conv_pre")}
    kernels = len(config.resblock_kernels)
    for stage in range(len(config.upsample_rates)):
        of_stage = [f"{name}.{stage}" for name in ("ups", "source_downs", "source_resblocks")]
        of_stage += [f"resblocks.{stage * kernels + kernel}" for kernel in range(kernels)]
        taps |= {name: Tap(name.replace(".", "_")) for name in of_stage}
    return taps | {"conv_post": Tap("conv_post")}


@contextmanager
def tapped(taps: Mapping[str, Tap], positions: Mapping[str, np.ndarray]) -> Iterator[dict[str, jax.Array]]:
    """While this lasts, what the modules compute at `positions` int (P,) lands in the dict it gives, each (B, P, C).

    Works on traced values too: use it inside the function that is compiled, and return the dict.
    """
    wanted = {key: taps[key] for key in positions}
    found: dict[str, jax.Array] = {}

    def read(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        result = call(*args, **kwargs)
        here = "/".join(context.module.path), context.method_name
        for key, tap in wanted.items():
            if (tap.module, tap.method) == here:
                value = args[0] if tap.given else jax.tree.leaves(result)[0]
                found[key] = jnp.take(tap.view(value), positions[key], axis=1)
        return result

    with nn.intercept_methods(read):
        yield found
