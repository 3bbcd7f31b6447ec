"""The rules of a diagnosis, one by one."""

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from cosy_jax.checkpoint.reader import read_header
from cosy_jax.errors import CosyError
from cosy_jax.nn import noise
from cosy_jax.nn.precision import FLOAT32 as IN_FLOAT32
from cosy_jax.nn.precision import INT8
from cosy_jax.parity.checks.flow import FlowRun
from cosy_jax.parity.checks.vocoder import vocode_dump
from cosy_jax.parity.locate import flow_faults
from cosy_jax.parity.locate.causes import Suspect, reduced_precision
from cosy_jax.parity.locate.diagnosis import diagnose
from cosy_jax.parity.locate.finding import Finding
from cosy_jax.parity.locate.growth import BFLOAT16, FLOAT32, Growth, describe, recorded_rounding, rounding_of
from cosy_jax.parity.locate.passes import STAGES
from cosy_jax.parity.locate.steps import euler_steps
from cosy_jax.parity.locate.trace import LayerError, relative_rms, trace_layers
from tests.parity.ports import TRACES, findings, perturbed, port, with_params

EXACT = Growth(FLOAT32, FLOAT32)


def layers(*errors, name="layers.{}"):
    """A chain from pairs (ours, the reference's)."""
    return [LayerError("flow", name.format(i), ours, reference) for i, (ours, reference) in enumerate(errors)]


def copied(name, folder, change):
    """A dump in another folder, its tensors changed."""
    with safe_open(TRACES / name, "numpy") as file:
        save_file(change(load_file(TRACES / name)), folder / name, file.metadata())
    return folder / name


@pytest.mark.parametrize("trace", ["trace_llm", "trace_flow", "trace_hift"])
def test_every_layer_is_compared_and_errs_as_the_reference_does(trace, synthesizer):
    path = TRACES / f"{trace}.safetensors"
    found = trace_layers(synthesizer, path)
    kept = {key.removesuffix(".positions") for key in read_header(path) if key.endswith(".positions")}
    assert {layer.name for layer in found} == kept
    order = list(STAGES[trace].taps(synthesizer.config))
    assert [order.index(layer.name) for layer in found] == sorted(order.index(name) for name in kept)
    assert all(layer.ours < 2.5 * layer.reference + 1e-7 for layer in found)


def test_branches_come_before_their_layer(synthesizer):
    names = [layer.name for layer in trace_layers(synthesizer, TRACES / "trace_llm.safetensors")]
    assert names[1:4] == ["layers.0.self_attn", "layers.0.mlp", "layers.0"]


def test_trace_without_its_inputs(synthesizer, tmp_path):
    (tmp_path / "trace_llm.safetensors").symlink_to(TRACES / "trace_llm.safetensors")
    with pytest.raises(CosyError, match="traced from llm.safetensors, which is not beside it"):
        diagnose(synthesizer, tmp_path)


def test_trace_of_a_deeper_model(synthesizer, tmp_path):
    def deeper(dump):
        return dump | {"layers.2": dump["norm"], "layers.2.positions": dump["norm.positions"]}

    (tmp_path / "llm.safetensors").symlink_to(TRACES / "llm.safetensors")
    path = copied("trace_llm.safetensors", tmp_path, deeper)
    with pytest.raises(CosyError, match=r"layers that this model lacks \(layers.2\)"):
        trace_layers(synthesizer, path)


def test_limit_follows_the_reference_s_own_error():
    assert EXACT.first_beyond(layers((2e-7, 1e-7), (9e-7, 1e-7), (2e-6, 3e-7))) is None
    assert EXACT.first_beyond(layers((2e-7, 1e-7), (2e-6, 1e-7), (2e-6, 3e-7))) == 1
    assert EXACT.first_beyond(layers((2e-7, 1e-7), (float("nan"), 1e-7))) == 1


def test_jump_is_a_fault_even_where_the_reference_errs_much():
    assert EXACT.first_beyond(layers((1e-6, 1e-6), (2e-3, 1e-3))) is None
    assert EXACT.first_beyond(layers((1e-6, 1e-6), (3e-3, 1e-3))) == 1
    assert EXACT.first_beyond(layers((1e-3, 1e-3), (3e-3, 1e-3))) is None


def test_without_truth_only_a_jump_is_a_fault():
    smooth = layers((1e-7, None), (9e-5, None), (8e-4, None), (7e-3, None))
    assert EXACT.first_beyond(smooth) is None
    assert EXACT.first_beyond(layers((1e-7, None), (1.1e-4, None))) == 1
    assert EXACT.first_beyond(layers((2e-3, None), name="m_source")) is None
    assert EXACT.first_beyond(layers((4e-3, None), name="m_source")) == 0


def test_formats():
    rounded = Growth(BFLOAT16, FLOAT32)
    assert rounded.first_beyond(layers((2e-3, 0.0), (5e-3, 3e-7))) is None
    assert rounded.first_beyond(layers((2e-3, 0.0), (1e-1, 3e-7))) == 1
    assert Growth(FLOAT32, BFLOAT16).first_beyond(layers((3e-7, 5e-3), (1e-4, 5e-3))) == 1
    assert Growth(FLOAT32, BFLOAT16).first_beyond(layers((3e-3, None), (5e-3, None))) is None
    assert rounding_of("vocoder", INT8) == rounding_of("flow", IN_FLOAT32) == FLOAT32
    assert rounding_of("flow", INT8) == BFLOAT16 != rounding_of("language model", INT8)
    assert recorded_rounding({"dtype": "bfloat16"}) == BFLOAT16 and recorded_rounding({}) == FLOAT32


def test_sentence():
    chain = layers((2e-7, 1e-7), (1e-7, 1e-7), (1e-2, 4e-7))
    assert describe(chain, 2) == (
        "off by 1.0e-02 of its size, the reference's own run by 4.0e-07; the 2 values before it agree to 2.0e-07"
    )
    assert describe(layers((1e-2, None)), 0) == "off by 1.0e-02 of its size"
    assert describe(layers((2e-7, None), (1e-2, None)), 1).endswith("; the value before it agrees to 2.0e-07")
    assert describe(layers((float("nan"), None)), 0) == "not finite, or not of the dump's shape"


def test_relative_rms():
    truth = np.asarray([3.0, 4.0])
    assert relative_rms(truth * 1.01, truth) == pytest.approx(0.01)
    assert relative_rms(np.full(2, 0.5), np.zeros(2)) == 0.5
    assert np.isnan(relative_rms(truth[:1], truth))


@pytest.mark.slow
def test_dumps_without_float64(monkeypatch, tmp_path):
    def without_truth(dump):
        source = {"source": dump["source_f64"].astype(np.float32)} if "source_f64" in dump else {}
        return source | {key: value for key, value in dump.items() if key == "f0_f64" or not key.endswith("_f64")}

    for path in TRACES.glob("*.safetensors"):
        copied(path.name, tmp_path, without_truth)
    assert diagnose(port(), tmp_path).findings == []
    (finding,) = diagnose(with_params("llm", "backbone/layers_1/mlp/up/kernel", perturbed), tmp_path).findings
    assert finding.place == "layers.1.mlp" and "the reference's own" not in finding.what
    monkeypatch.setattr(noise, "_outputs_before_vocoder", lambda config: 1000)
    (finding,) = diagnose(port(), tmp_path).findings
    assert finding.place == "m_source" and finding.likely.startswith("another seed")


def test_steps_against_float64_where_there_is_some(synthesizer, tmp_path):
    path = TRACES / "flow_offline.safetensors"
    steps = euler_steps(synthesizer, path)
    assert [step.t for step in steps] == pytest.approx([0.0, 0.012311, 0.048943], abs=1e-6)
    assert max(max(step[2:]) for step in steps) < 1e-5

    def shift(dump):
        return dump | {"step_v_cond_f64": dump["step_v_cond"].astype(np.float64) + 0.5}

    shifted = euler_steps(synthesizer, copied(path.name, tmp_path, shift))[1]
    assert shifted.v_cond_mean == pytest.approx(0.5, abs=1e-5) and shifted.v_uncond_max == steps[1].v_uncond_max


def euler_run(path, rate, steps=4):
    """A made-up run whose velocities are combined with a rate; theirs with 0.7."""
    draw = np.random.default_rng(0).normal
    times = np.linspace(0, 1, steps + 1, dtype=np.float32)[:-1]
    v_cond, v_uncond = draw(size=(2, steps, 80, 6)).astype(np.float32)

    def combined(rate):
        x = [draw(size=(80, 6))]
        for step in range(steps - 1):
            x.append(x[-1] + ((1 + rate) * v_cond[step] - rate * v_uncond[step]) / steps)
        return {"step_x": np.float32(x), "step_v_cond": v_cond, "step_v_uncond": v_uncond, "step_t": times}

    return FlowRun(path, combined(0.7), combined(rate) | {"sizes": np.full(steps, 1 / steps)})


def test_guidance_rate_is_recovered(tmp_path):
    assert flow_faults.guidance_fault(euler_run(tmp_path, 0.7)) is None
    fault = flow_faults.guidance_fault(euler_run(tmp_path, 0.3))
    assert fault is not None and "with rate 0.30, the reference with 0.70" in fault.what


def test_steps_that_no_rate_explains_are_not_blamed_on_guidance(tmp_path):
    run = euler_run(tmp_path, 0.3)
    run.ours["step_x"][1:] *= 1.1
    assert flow_faults.guidance_fault(run) is None
    for values in (run.dump, run.ours):
        values["mel"] = np.zeros(3)
    fault = flow_faults.later_fault(run, EXACT)
    assert isinstance(fault, Finding) and fault.place == "x of step 0"


def test_other_time_steps(tmp_path):
    run = euler_run(tmp_path, 0.7)
    assert flow_faults.time_fault(run, EXACT) is None
    run.ours["step_t"] = run.ours["step_t"] + np.float32([0, 0, 0.01, 0])
    fault = flow_faults.time_fault(run, EXACT)
    assert fault is not None and fault.what == "our step 2 begins at t = 0.510000, the reference's at 0.500000"
    run.ours["step_t"] = run.ours["step_t"][:3]
    fault = flow_faults.time_fault(run, EXACT)
    assert fault is not None and fault.what == "our run takes 3 Euler steps, the reference 4"


@pytest.mark.parametrize(
    ("error", "elsewhere", "cause"),
    [
        (3e-4, 2e-4, "matrix products in reduced precision (TF32 or float16) in our run"),
        (3e-3, 2e-3, "matrix products in reduced precision (bfloat16) in our run"),
        (3e-4, 2e-7, ""),
        (3e-1, 2e-1, ""),
    ],
)
def test_vocoder_in_reduced_precision(error, elsewhere, cause, synthesizer):
    chain = [LayerError("vocoder", name, 1e-3, 1e-7) for name in ("conv_pre", "source_downs.0", "conv_post")]
    chain[:2] = chain[0]._replace(ours=error), chain[1]._replace(ours=elsewhere)
    suspect = Suspect(synthesizer, TRACES / "trace_hift.safetensors", chain, chain[0], 1e-6)
    assert reduced_precision(suspect).partition(": ")[0] == cause
    assert reduced_precision(suspect._replace(layer=chain[0]._replace(reference=None))) == reduced_precision(
        suspect
    ).replace("our run", "one of the two runs")


def test_condition_of_a_dump_without_trace(tmp_path):
    (tmp_path / "flow_offline.safetensors").symlink_to(TRACES / "flow_offline.safetensors")
    found = diagnose(with_params("flow", "lookahead/conv1/kernel", perturbed), tmp_path).findings
    assert [finding.place for finding in found] == ["condition mu"]


def test_fault_that_only_later_steps_have(tmp_path):
    # The sines of t: all 0 in the step that is traced.
    broken = with_params("flow", "dit/time_embedding/linear1/kernel", lambda kernel: kernel.at[:, :128].multiply(1.1))
    (finding,) = findings(broken, tmp_path, "flow")
    assert finding.place == "v_cond of step 1" and finding.likely == ""


@pytest.mark.slow
def test_vocoder_outputs_behind_the_last_layer(tmp_path):
    name = "hift_offline.safetensors"
    audio = vocode_dump(port(), TRACES / name, load_file(TRACES / name))[0]
    copied(name, tmp_path, lambda dump: dump | {"audio": audio})
    (tmp_path / "trace_hift.safetensors").symlink_to(TRACES / "trace_hift.safetensors")
    assert diagnose(port(), tmp_path).findings == []
    copied(name, tmp_path, lambda dump: dump | {"audio": 1.05 * audio})
    (finding,) = diagnose(port(), tmp_path).findings
    assert finding.place == "audio" and finding.what.startswith("hift_offline: off by 4.8e-02")
