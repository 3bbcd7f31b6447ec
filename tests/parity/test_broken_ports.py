"""A port with one thing broken: the diagnosis names the place, and the cause where the figures tell it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.flow import dit
from cosy_jax.llm import qwen2
from cosy_jax.nn import noise
from cosy_jax.nn.precision import BFLOAT16, FLOAT32, INT8, Precision
from cosy_jax.parity.locate import growth
from cosy_jax.parity.locate.diagnosis import diagnose
from cosy_jax.parity.locate.growth import Growth
from cosy_jax.parity.locate.trace import trace_layers
from tests.parity.ports import TRACES, findings, perturbed, port, transposed, with_config, with_params

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("precision", [FLOAT32, BFLOAT16], ids=lambda policy: policy.name)
def test_whole_port_has_no_finding(precision):
    diagnosis = diagnose(port(precision), TRACES)
    assert diagnosis.findings == []
    assert set(diagnosis.layers) == {"trace_llm", "trace_flow", "trace_hift"}
    assert [step.step for step in diagnosis.steps["flow_offline"]] == [0, 1, 2]


def test_layers_of_a_whole_port_in_8_bits():
    layers = trace_layers(port(INT8), TRACES / "trace_llm.safetensors")
    assert Growth(growth.INT8, growth.FLOAT32).first_beyond(layers) is None


@pytest.mark.parametrize(
    ("stage", "path", "place"),
    [
        ("llm", "backbone/layers_1/mlp/up/kernel", "layers.1.mlp"),
        ("flow", "dit/blocks_2/attention/value/kernel", "transformer_blocks.2.attn"),
        ("flow", "dit/blocks_0/feed_forward/linear2/kernel", "transformer_blocks.0.ff"),
        ("flow", "lookahead/conv1/kernel", "pre_lookahead_layer"),
        ("vocoder", "resblocks_4/conv2_1/kernel", "resblocks.4"),
        ("vocoder", "f0_predictor/conv_2/kernel", "f0_predictor.condnet.5"),
    ],
)
def test_weights_off_by_one_percent(stage, path, place, tmp_path):
    found = findings(with_params(stage, path, perturbed), tmp_path, stage)
    assert [(finding.place, finding.likely) for finding in found] == [(place, "")]
    assert " before it agree" in found[0].what


@pytest.mark.parametrize(
    ("stage", "path", "place"),
    [
        ("llm", "backbone/layers_0/attention/query/kernel", "layers.0.self_attn"),
        ("flow", "dit/blocks_1/attention/key/kernel", "transformer_blocks.1.attn"),
        ("vocoder", "resblocks_1/conv1_2/kernel", "resblocks.1"),
    ],
)
def test_transposed_square_matrix(stage, path, place, tmp_path):
    (finding,) = findings(with_params(stage, path, transposed), tmp_path, stage)
    assert finding.place == place
    assert finding.likely.startswith(f"transposed: with {path} turned round the error is ")


def test_all_square_matrices_of_a_layer_transposed(tmp_path):
    names = ("query", "key", "value", "output")
    broken = port()
    attention = broken.params("flow")["dit"]["blocks_1"]["attention"]
    for name in names:
        attention[name]["kernel"] = transposed(attention[name]["kernel"])
    (finding,) = findings(broken, tmp_path, "flow")
    assert finding.place == "transformer_blocks.1.attn"
    assert all(f"attention/{name}/kernel" in finding.likely for name in names)


def test_rotary_on_all_heads(monkeypatch, tmp_path):
    def rotate_all(x, cos, sin):
        even, odd, cos, sin = x[..., 0::2], x[..., 1::2], cos[:, None], sin[:, None]
        return jnp.stack([even * cos - odd * sin, odd * cos + even * sin], axis=-1).reshape(x.shape)

    monkeypatch.setattr(dit, "rotate_first_head", rotate_all)
    # Another name: else a program compiled before the change is taken.
    (finding,) = findings(port(dataclasses.replace(FLOAT32, name="all heads")), tmp_path, "flow")
    assert finding.place == "transformer_blocks.0.attn"
    assert finding.likely == "rotary positions: our run rotates all heads, the reference the first head alone"


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_guidance_rate(rate, tmp_path):
    (finding,) = findings(with_config("flow", guidance_rate=rate), tmp_path, "flow_offline")
    assert (finding.stage, finding.place) == ("flow", "guidance")
    assert f"with rate {rate:.2f}, the reference with 0.70" in finding.what
    assert finding.likely == "guidance_rate: the reference's is 0.70"


def test_flow_noise_of_another_seed(monkeypatch, tmp_path):
    other = np.random.default_rng(1).normal(size=(noise.MAX_FRAMES, 80)).astype(np.float32)
    monkeypatch.setattr(noise, "_all_flow_noise", lambda bands: other)
    (finding,) = findings(port(), tmp_path, "flow")
    assert finding.place == "initial noise"
    assert finding.likely == "another seed: both are normal noise, and independent"


def test_flow_noise_of_another_spread(monkeypatch, tmp_path):
    own = noise.flow_noise(noise.MAX_FRAMES, 80) * np.float32(0.5)
    monkeypatch.setattr(noise, "_all_flow_noise", lambda bands: own)
    (finding,) = findings(port(), tmp_path, "flow")
    assert finding.place == "initial noise" and "correlation 1.00" in finding.what
    assert finding.likely == ""


def test_source_noise_drawn_from_another_place(monkeypatch, tmp_path):
    monkeypatch.setattr(noise, "_outputs_before_vocoder", lambda config: 1000)
    (finding,) = findings(port(), tmp_path, "vocoder")
    assert (finding.stage, finding.place) == ("vocoder", "m_source")
    assert finding.likely.startswith("another seed of the source's noise: the sines agree")


def test_source_with_wrong_sines_is_not_blamed_on_its_noise(tmp_path):
    (finding,) = findings(with_params("vocoder", "source/linear/kernel", perturbed), tmp_path, "vocoder")
    assert (finding.place, finding.likely) == ("m_source", "")


def to_tf32(x):
    return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=10)


class Tf32(Precision):
    """Operands of products rounded to 10 bits of mantissa, as a GPU does by default."""

    def einsum(self, spec, x, y):
        return super().einsum(spec, to_tf32(x), to_tf32(y))


TF32 = Tf32("float32", FLOAT32.compute, FLOAT32.lax_precision)


@pytest.fixture
def tf32_convolutions(monkeypatch):
    convolve = jax.lax.conv_general_dilated

    def rounded(x, kernel, **how):
        return convolve(to_tf32(x), to_tf32(kernel), **how)

    monkeypatch.setattr(jax.lax, "conv_general_dilated", rounded)


@pytest.mark.parametrize(("stage", "place"), [("llm", "layers.0.self_attn"), ("flow", "pre_lookahead_layer")])
def test_tf32_products(stage, place, tf32_convolutions, tmp_path):
    (finding,) = findings(port(TF32), tmp_path, stage)
    assert finding.place == place
    assert finding.likely.startswith("matrix products in reduced precision (TF32 or float16) in our run")


def test_cache_that_forgets(monkeypatch, tmp_path):
    write = qwen2.write_cache

    def forget(cache, key, value, start, prefill):
        return write(cache, key, value, start, prefill) if prefill else cache

    monkeypatch.setattr(qwen2, "write_cache", forget)
    (finding,) = findings(port(dataclasses.replace(FLOAT32, name="forgetful")), tmp_path, "llm")
    assert finding.place == "greedy_logits"
    assert finding.likely.startswith("the key/value cache or the positions")
