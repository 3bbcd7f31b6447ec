"""The reference itself under the capture: what it records holds in parity. Skipped without its checkout."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from cosy_jax.compare.snr import snr_db
from cosy_jax.parity.report import tokens as token_report
from cosy_jax.parity.run import not_covered, run_parity
from tests.reference import REPOSITORY, reference_dir

SCRIPT = REPOSITORY / "conversions" / "capture_reference.py"
FOLDERS = ["--reference", "checkout", "--model", "model", "--out", "dumps"]


@pytest.fixture(scope="module")
def reference(request):
    """Runs code in the reference's interpreter: (code, arguments of the capture) -> None."""
    given = request.config.getoption("--reference")
    if given is None:
        pytest.skip(
            "no checkout of the reference: give --reference DIR, and if need be --matcha and --reference-python"
        )
    if reference_dir() is None:
        pytest.skip(
            "no model in the reference's layout: set COSY_JAX_REFERENCE to the folder that holds model/ and dumps/"
        )
    python = request.config.getoption("--reference-python") or sys.executable
    matcha = request.config.getoption("--matcha")
    folders = ["--reference", given, "--model", reference_dir() / "model", *(["--matcha", matcha] if matcha else [])]

    def run(code, *arguments):
        command = [python, "-c", code, *map(str, [*folders, *arguments])]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


CAPTURE = """
import json, sys
from conversions.capture_reference import main
code = main(sys.argv[1:])
print(json.dumps(sorted(sys.modules)))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def captured(reference, tmp_path_factory):
    """A capture of everything, and the names of the modules that were imported for it."""
    out = tmp_path_factory.mktemp("captured") / "dumps"
    return out, reference(CAPTURE, "--out", out, "--float64", "--seed", 1)


def test_capture_imports_nothing_of_ours(captured):
    _, modules = captured
    assert "torch" in modules and "cosyvoice.llm.llm" in modules
    packages = {name.partition(".")[0] for name in modules}
    assert not packages & {"jax", "jaxlib", "flax", "cosy_jax"}
    assert all(name.startswith("conversions.capture") for name in modules if name.startswith("conversions."))


def test_capture_holds_in_parity(captured, synthesizer):
    out, _ = captured
    results = dict(run_parity(synthesizer, out))
    assert not [f"{dump}: {row.name} {row.max_abs}" for dump, rows in results.items() for row in rows if not row.ok]
    assert not not_covered(out)
    written = {path.name.partition(".")[0] for path in (reference_dir() / "dumps").iterdir()}
    assert written - {path.name.partition(".")[0] for path in out.iterdir()} == {"features_1", "noise_released_size"}


def test_training_holds_in_parity(reference, synthesizer, tmp_path):
    out = tmp_path / "dumps"
    reference(CAPTURE, "--out", out, "--training")
    if not list(out.iterdir()):
        pytest.skip("the reference's environment lacks librosa")
    ((name, rows),) = run_parity(synthesizer, out)
    assert name == "training_vocoder" and not [f"{row.name} {row.max_abs}" for row in rows if not row.ok]


def test_token_report_is_ours(captured, synthesizer):
    out, _ = captured
    assert (out / "tokens.txt").read_text().splitlines() == list(token_report.report_dumps(synthesizer, out))


def test_metadata_and_traces(captured):
    out, _ = captured
    for path in out.glob("*.safetensors"):
        with safe_open(path, "numpy") as file:
            about = file.metadata()
        assert {"note", "reference_commit", "torch", "transformers", "python", "device", "dtype"} <= about.keys()
        assert ("streaming" in about) == path.name.startswith("flow_")
        assert ("inputs" in about) == path.name.startswith("trace_")
    for path, last in (("trace_llm", "llm_decoder"), ("trace_flow", "proj_out"), ("trace_hift", "conv_post")):
        trace = load_file(out / f"{path}.safetensors")
        positions = trace[f"{last}.positions"]
        assert trace[last].shape[1] == len(positions) == 96 and (np.diff(positions) > 0).all() and positions[0] == 0
        assert trace[last].dtype == np.float32 and trace[f"{last}_f64"].dtype == np.float64
    velocity = load_file(out / "flow_offline.safetensors")["step_v_cond"][0]
    trace = load_file(out / "trace_flow.safetensors")
    np.testing.assert_array_equal(trace["proj_out"][0].T, velocity[:, trace["proj_out.positions"]])


SHARED = """
import dataclasses, sys
import safetensors.torch, torch
from conversions.capture import flow, llm, loading, noise, options, streaming, vocoder
from conversions.capture.folders import check_folders
from conversions.capture.inputs import Inputs, Prompt
from conversions.capture.writing import Writer

class Recorded(options.Options):
    def bounds(self, text_tokens):
        return 8, 60

given = Recorded(**dataclasses.asdict(options.parse(sys.argv[1:])))
loading.prepare(check_folders(given.reference, given.matcha, given.model, []))
given.out.mkdir()
writer, shared = Writer(given.out, ""), given.model.parent / "dumps"
read = lambda name: safetensors.torch.load_file(shared / f"{name}.safetensors")
text, mel, stream, hift = (read(name) for name in ("llm", "flow_offline", "streaming", "hift_offline"))
spoken = text["sampled_tokens"].tolist()
prompt = Prompt(text["prompt_text"][None], mel["prompt_token"], mel["prompt_feat"], mel["embedding"])
short = prompt._replace(speech=text["prompt_speech_token"][None])
llm.capture_llm(given, Inputs(short, [text["tts_text"][None]], 681), writer, "cpu")
inputs = Inputs(prompt, [], 681)
mels = flow.capture_flow(given, inputs, spoken, writer, "cpu")
recorded = Inputs(prompt._replace(mel=hift["mel"].transpose(1, 2)), [], 681)
vocoder.capture_vocoder(given, recorded, spoken, mels, writer, "cpu")
flow.capture_flow(given, inputs, mel["token"][0].tolist(), writer, "cpu")
streaming.capture_stream(given, inputs, stream["speech_token"][0].tolist(), writer, "cpu")
noise.capture_noise(given, stream["speech_token"][0].tolist(), writer)
print("{}")
"""


def test_shared_dumps_are_reproduced(reference, tmp_path):
    out, shared = tmp_path / "dumps", reference_dir() / "dumps"
    reference(SHARED, "--out", out, "--float64")

    def both(name):
        return load_file(out / f"{name}.safetensors"), load_file(shared / f"{name}.safetensors")

    ours, theirs = both("llm")
    assert ours.keys() - theirs.keys() == {"forced_logits_f64", "greedy_logits_f64"} and theirs.keys() <= ours.keys()
    assert (ours["greedy_tokens"] == theirs["greedy_tokens"]).all()
    for key in ("lm_input", "forced_logits", "greedy_logits"):
        np.testing.assert_allclose(ours[key], theirs[key], atol=5e-5, rtol=0)
    for name in ("flow_offline", "flow_stream_all"):
        ours, theirs = both(name)
        for key in theirs:
            np.testing.assert_allclose(ours[key], theirs[key], atol=1e-5, rtol=0, err_msg=f"{name} {key}")
    for name in ("hift_offline", "hift_chunk"):
        ours, theirs = both(name)
        for key in ("audio", "source", "audio_f64", "source_f64", "f0_f64"):
            assert snr_db(ours[key], theirs[key]) > 100, f"{name} {key}"
    ours, theirs = both("end_to_end")
    np.testing.assert_allclose(ours["mel"], theirs["mel"], atol=1e-5, rtol=0)
    # The phase is summed in float32: 1e-6 in the mel, from one CPU to another, grows along the audio.
    assert snr_db(ours["audio"], theirs["audio"]) > 60
    ours, theirs = both("streaming")
    assert ours.keys() == theirs.keys()
    for key in ("chunk_0", "chunk_1", "chunk_2", "chunk_3", "offline_audio"):
        assert snr_db(ours[key], theirs[key]) > 50, key
    ours, theirs = both("noise")
    for key in theirs:
        np.testing.assert_array_equal(ours[key], theirs[key])
    ours, theirs = both("hift_noise")
    length = min(ours["uniform_noise"].shape[1], theirs["uniform_noise"].shape[1])
    np.testing.assert_array_equal(ours["uniform_noise"][:, :length], theirs["uniform_noise"][:, :length])


def test_half_precision(reference, tmp_path):
    out = tmp_path / "dumps"
    reference(CAPTURE, "--out", out, "--dtype", "bfloat16", "--float64", "--stages", "llm", "flow", "--steps", 30)
    for name, key in (("llm", "forced_logits"), ("flow_offline", "mel"), ("flow_offline", "step_v_cond")):
        dump = load_file(out / f"{name}.safetensors")
        # Rounded, but no more than that.
        assert 30 < snr_db(dump[key], dump[f"{key}_f64"]) < 70
