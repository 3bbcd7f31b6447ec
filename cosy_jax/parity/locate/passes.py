"""What our layers compute from a dump's inputs, a compiled pass a stage; the network's code knows nothing of it.

B batch, T positions or frames, P kept positions, C channels.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.config import FlowConfig, LLMConfig, ModelConfig, VocoderConfig
from cosy_jax.errors import CosyError
from cosy_jax.flow.cfm import Condition, Flow, FlowInputs, attention_mask, time_steps
from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.llm.speech_lm import SpeechLM
from cosy_jax.nn import backend
from cosy_jax.nn.noise import vocoder_noise
from cosy_jax.nn.precision import Precision
from cosy_jax.parity.checks.flow import flow_inputs
from cosy_jax.parity.checks.llm import recorded_row
from cosy_jax.parity.locate.taps import Taps, decode_taps, excite_taps, flow_taps, llm_taps, tapped
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.vocoder.hift import HiFT

Dump = dict[str, np.ndarray]
Positions = dict[str, np.ndarray]
Layers = dict[str, np.ndarray]  # (B, P, C) by the reference's module path


class Stage(NamedTuple):
    """A part of the model whose layers are traced: how people call it, which parameters it has, where its layers are,
    and what computes them at some positions from the tensors of a dump."""

    name: str
    params: str
    taps: Callable[[ModelConfig], Taps]
    run: Callable[[dict, Synthesizer, Dump, Positions], Layers]


def _run_llm(params: dict, synthesizer: Synthesizer, dump: Dump, positions: Positions) -> Layers:
    config = synthesizer.config.llm
    row, greedy = recorded_row(dump, config), dump["greedy_tokens"]
    ids = np.concatenate([row.ids, greedy]).astype(np.int32)[None]
    is_text = np.concatenate([row.is_text, np.zeros(len(greedy), bool)])[None]
    found = _llm_pass(params, ids, is_text, positions, config=config, precision=synthesizer.precision)
    return jax.tree.map(np.asarray, found)


@functools.partial(jax.jit, static_argnames=("config", "precision"))
def _llm_pass(
    params: dict, ids: jax.Array, is_text: jax.Array, positions: Positions, *, config: LLMConfig, precision: Precision
) -> dict[str, jax.Array]:
    cache = init_cache(config, ids.shape[0], ids.shape[1], precision)
    with tapped(llm_taps(config), positions) as found:
        SpeechLM(config, precision).apply({"params": params}, ids, is_text, cache)
    return found


def _run_flow(params: dict, synthesizer: Synthesizer, dump: Dump, positions: Positions) -> Layers:
    config = synthesizer.config.flow
    inputs = flow_inputs(dump, config)
    # The reference's own x(0), so that another noise does not look like a wrong layer.
    steps = dump.get("step_x_f64", dump.get("step_x"))
    x = inputs.noise[None] if steps is None else jnp.asarray(steps[:1].transpose(0, 2, 1), jnp.float32)
    found = _flow_pass(params, inputs, x, positions, config=config, precision=synthesizer.precision)
    return jax.tree.map(np.asarray, found)


@functools.partial(jax.jit, static_argnames=("config", "precision"))
def _flow_pass(
    params: dict, inputs: FlowInputs, x: jax.Array, positions: Positions, *, config: FlowConfig, precision: Precision
) -> dict[str, jax.Array]:
    """The condition and the velocity of the first Euler step."""
    model = Flow(config, precision)

    def call(method: str, *args: object) -> tuple:
        return model.apply({"params": params}, *args, method=method)

    with tapped(flow_taps(config), positions) as found:
        condition = Condition(*call("condition", inputs, True))
        modulation = call("modulations", jnp.asarray(time_steps(config.num_steps)[0][:1]))
        mask = attention_mask(condition.frames, x.shape[1], None)
        call("velocity", x, condition, modulation, mask)
    return found


def _run_vocoder(params: dict, synthesizer: Synthesizer, dump: Dump, positions: Positions) -> Layers:
    config, mel = synthesizer.config.vocoder, dump["mel"].transpose(0, 2, 1)
    noise = vocoder_noise(synthesizer.config, mel.shape[1] * config.samples_per_frame)
    first = {key: value for key, value in positions.items() if key in excite_taps()}
    predictor = {"f0_predictor": params["f0_predictor"]}
    f0, sines, found = backend.in_float64(_excite_pass, predictor, mel.astype(np.float64), first, config=config)
    excitation = (np.asarray(f0, np.float32), np.asarray(sines), noise)
    # The reference's own source, whose phase is a sum of many roundings: they would hide those of the layers behind it.
    source = recorded_source(dump).astype(np.float32)
    if source.shape[1] != mel.shape[1] * config.samples_per_frame:
        raise CosyError("The source that the vocoder was traced from is not as long as its mel: capture both again.")
    rest = {key: value for key, value in positions.items() if key not in first}
    found |= _decode_pass(params, mel, excitation, source, rest, config=config)
    return jax.tree.map(np.asarray, found)


def recorded_source(dump: Dump) -> np.ndarray:
    """The source (B, S) of a vocoder's dump, in float64 where it has that."""
    return dump["source_f64" if "source_f64" in dump else "source"][:, 0]


@functools.partial(jax.jit, static_argnames=("config",))
def _excite_pass(
    params: dict, mel: jax.Array, positions: Positions, *, config: VocoderConfig
) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
    with tapped(excite_taps(), positions) as found:
        f0, cycles = HiFT(config).apply({"params": params}, mel, method="excite")
    return f0, jnp.sin(2 * jnp.pi * cycles).astype(jnp.float32), found


@functools.partial(jax.jit, static_argnames=("config",))
def _decode_pass(
    params: dict,
    mel: jax.Array,
    excitation: tuple[jax.Array, jax.Array, jax.Array],
    source: jax.Array,
    positions: Positions,
    *,
    config: VocoderConfig,
) -> dict[str, jax.Array]:
    """The source from F0, sines and noise, and the network on a given `source`."""
    model, frames = HiFT(config), jnp.asarray([mel.shape[1]])
    with tapped(decode_taps(config), positions) as found:
        model.apply({"params": params}, *excitation, method="excitation")
        model.apply({"params": params}, mel, frames, source, frames, method="decode")
    return found


# By the first part of a trace's name, in the order of the data's way through the model.
STAGES = {
    "trace_llm": Stage("language model", "llm", lambda config: llm_taps(config.llm), _run_llm),
    "trace_flow": Stage("flow", "flow", lambda config: flow_taps(config.flow), _run_flow),
    "trace_hift": Stage("vocoder", "vocoder", lambda config: excite_taps() | decode_taps(config.vocoder), _run_vocoder),
}
