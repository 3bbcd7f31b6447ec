"""The counts of the benchmarks against what XLA counts in the compiled programs."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from benchmarks import counts
from cosy_jax.checkpoint.stages import expected_shapes
from cosy_jax.config import FlowConfig, LLMConfig, ModelConfig, VocoderConfig
from cosy_jax.flow.cfm import Condition, Flow
from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.llm.speech_lm import SpeechLM
from cosy_jax.nn.precision import FLOAT32
from cosy_jax.vocoder.hift import HiFT

# Wide and shallow: narrow layers spend more than a tenth on norms and activations, which are not counted.
CONFIG = replace(
    ModelConfig(),
    llm=LLMConfig(text_vocab_size=64, hidden_size=448, num_layers=2, num_heads=7, num_kv_heads=1),
    flow=FlowConfig(dim=512, depth=2, heads=8, lookahead_channels=128),
    vocoder=VocoderConfig(base_channels=256, f0_channels=128),
)


def shaped(*shape, kind=jnp.float32):
    return jax.ShapeDtypeStruct(shape, kind)


def xla_flops(model, method, stage, *args):
    """FLOPs of one method of a module, by XLA's own analysis of the compiled program; nothing is computed."""

    def run(params, *args):
        return model.apply({"params": params}, *args, method=method)

    compiled = jax.jit(run).lower(expected_shapes(stage, CONFIG), *args).compile()
    return compiled.cost_analysis()["flops"]


@pytest.mark.parametrize("batch", [1, 3])
def test_language_model(batch):
    config, positions = CONFIG.llm, 96
    cache = jax.eval_shape(lambda: init_cache(config, batch, positions, FLOAT32))
    ids, lengths = shaped(batch, positions, kind=jnp.int32), shaped(batch, kind=jnp.int32)
    flags = shaped(batch, positions, kind=bool)
    prefill = xla_flops(SpeechLM(config), "prefill", "llm", ids, flags, lengths, cache)
    assert counts.llm_prefill(config, batch, positions).flops == pytest.approx(prefill, rel=0.1)
    step = xla_flops(SpeechLM(config), "step", "llm", lengths, lengths, cache)
    assert counts.llm_step(config, batch, positions).flops == pytest.approx(step, rel=0.1)


def test_flow():
    config, rows, frames = CONFIG.flow, 1, 300
    mel, mask = shaped(rows, frames, config.mel_bands), shaped(rows, 1, frames, kind=bool)
    condition = Condition(mel, mel, shaped(rows, config.mel_bands), shaped(rows, kind=jnp.int32))
    modulation = (shaped(1, config.depth, 6, config.dim), shaped(1, 2, config.dim))
    found = xla_flops(Flow(config), "velocity", "flow", mel, condition, modulation, mask)
    assert counts.dit_pass(config, 2 * rows, frames).flops == pytest.approx(found, rel=0.1)


def test_flow_is_its_passes_and_what_comes_before():
    config, tokens = FlowConfig(), 250
    passes = counts.dit_pass(config, 2, 500) * config.num_steps
    whole = counts.flow(config, 1, tokens)
    assert passes.flops < whole.flops < 1.01 * passes.flops
    assert whole.weights > passes.weights


def test_vocoder():
    config, rows, frames = CONFIG.vocoder, 2, 60
    mel, lengths = shaped(rows, frames, config.mel_bands), shaped(rows, kind=jnp.int32)
    source = shaped(rows, frames * config.samples_per_frame)
    found = xla_flops(HiFT(config), "decode", "vocoder", mel, lengths, source, lengths)
    assert counts.vocoder(config, rows, frames).flops == pytest.approx(found, rel=0.1)


def test_f0_predictor():
    config, rows, frames = CONFIG.vocoder, 2, 60
    with jax.enable_x64(True):
        found = xla_flops(HiFT(config), "excite", "vocoder", shaped(rows, frames, config.mel_bands, kind=jnp.float64))
    assert counts.f0(config, rows, frames).flops == pytest.approx(found, rel=0.1)


def test_released_sizes():
    config = ModelConfig()
    step, a_pass = counts.llm_step(config.llm, 1, 1), counts.dit_pass(config.flow, 1, 500)
    assert step.weights == 24 * (2 * 896 * 896 + 2 * 896 * 128 + 3 * 896 * 4864) + 896 * 6761
    assert step.bytes(4, 4) == pytest.approx(1.46e9, rel=0.01)
    assert a_pass.flops / 500 == pytest.approx(0.45e9, rel=0.1)
