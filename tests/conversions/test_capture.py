"""Capturing the reference: what needs no torch here, and the real reference where `--reference DIR` names it."""

import json
import logging
import shutil
import subprocess
import sys
import weakref
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from cosy_jax.compare.snr import snr_db
from cosy_jax.conversions.capture import options, packages, stage
from cosy_jax.conversions.capture.errors import CaptureError
from cosy_jax.conversions.capture.folders import check_folders, commit_of, find_weights
from cosy_jax.conversions.capture.recipe import prune
from cosy_jax.conversions.capture.report import Segment, token_lines
from cosy_jax.conversions.capture_reference import main
from cosy_jax.parity.report import tokens as token_report
from cosy_jax.parity.run import not_covered, run_parity
from tests.reference import REPOSITORY, reference_dir

SCRIPT = REPOSITORY / "conversions" / "capture_reference.py"
FOLDERS = ["--reference", "checkout", "--model", "model", "--out", "dumps"]


@pytest.mark.parametrize("how", ["path", "module"])
def test_help_needs_no_torch(how):
    run = f"run_path({str(SCRIPT)!r}" if how == "path" else "run_module('conversions.capture_reference'"
    code = f"import sys, runpy; sys.modules['torch'] = sys.modules['numpy'] = None; runpy.{run}, run_name='__main__')"
    command = [sys.executable, "-c", code, "--help"]
    shown = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert "example:" in shown and "--prompt-wav" in shown


def release(folder, *names):
    for name in ("CosyVoice-BlankEN/config.json", "cosyvoice3.yaml", *names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


def test_copy_of_any_name_runs(tmp_path):
    folder = tmp_path / "some-tools"
    shutil.copytree(SCRIPT.parent / "capture", folder / "capture")
    shutil.copy(SCRIPT, folder)
    command = [sys.executable, "-S", SCRIPT.name, "--help"]  # without site-packages
    shown = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert "example:" in shown and "--prompt-wav" in shown


def test_one_sentence_for_what_is_missing(tmp_path, capsys):
    checkout, matcha, model = tmp_path / "checkout", tmp_path / "matcha", tmp_path / "model"
    arguments = ["--reference", str(checkout), "--model", str(model), "--out", str(tmp_path / "dumps")]
    for text, mend in (
        ("no package 'cosyvoice'", lambda: (checkout / "cosyvoice").mkdir(parents=True)),
        ("Matcha-TTS holds no package 'matcha'", lambda: (matcha / "matcha").mkdir(parents=True)),
        ("holds no cosyvoice3.yaml", lambda: release(model)),
        ("holds neither flow.pt nor flow.safetensors", lambda: release(model, "flow.safetensors")),
        ("holds neither hift.pt", lambda: release(model, "hift.pt")),
        ("holds neither llm.pt", lambda: release(model, "llm.pt")),
    ):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert text in line and line.endswith(".")
        mend()
        arguments += ["--matcha", str(matcha)] if text.endswith("'matcha'") else []
    assert check_folders(checkout, matcha, model, ["llm", "flow"]).model == model.resolve()
    assert not (tmp_path / "dumps").exists()


def test_one_sentence_for_packages(tmp_path, capsys, monkeypatch):
    (tmp_path / "cosyvoice").mkdir()
    (tmp_path / "matcha").mkdir()
    release(tmp_path, "llm.pt", "flow.pt", "hift.pt")
    monkeypatch.setattr("cosy_jax.conversions.capture.command.NEEDED", ("json", "surely_absent"))
    folder = str(tmp_path)
    assert main(["--reference", folder, "--matcha", folder, "--model", folder, "--out", str(tmp_path / "o")]) == 2
    assert "lacks surely_absent: run this in the reference's environment." in capsys.readouterr().err


def test_weights_as_released_come_first(tmp_path):
    release(tmp_path, "llm.safetensors")
    assert find_weights(tmp_path, "llm").suffix == ".safetensors"
    release(tmp_path, "llm.pt")
    assert find_weights(tmp_path, "llm").suffix == ".pt"


def test_commit(tmp_path):
    assert len(commit_of(REPOSITORY)) == 40
    assert commit_of(tmp_path) == "unknown"


RECIPE = """\
# a comment
__set_seed1: !apply:torch.manual_seed [1986]
sample_rate: 24000
qwen_pretrain_path: ''
llm: !new:cosyvoice.llm.llm.CosyVoice3LM
    llm_input_size: 896

    sampling: !name:cosyvoice.utils.common.ras_sampling
        top_p: 0.8
hifigan: !new:cosyvoice.hifigan.hifigan.HiFiGan
    generator: !ref <hift>
data_pipeline: [
    !ref <parquet_opener>,
]
train_conf:
    optim: adam
allowed_special: 'all'
"""


def test_recipe_keeps_what_is_wanted():
    assert prune(RECIPE, ["llm"]) == RECIPE[: RECIPE.index("hifigan")] + "allowed_special: 'all'\n"
    assert prune(RECIPE, []).split() == [*RECIPE[: RECIPE.index("llm:")].split(), "allowed_special:", "'all'"]
    assert "generator" in prune(RECIPE, ["hifigan"])


def test_options():
    given = options.parse(FOLDERS)
    assert given.trace and given.llm_stem == "llm" and given.weights == ["flow", "hift", "llm"]
    assert given.prompt_wav.name == "prompt_0.flac" and given.prompt_text.startswith("You are a helpful assistant.<|")
    assert given.bounds(14) == (28, 280)
    given = options.parse(
        [*FOLDERS, "--stages", "llm", "noise", "--steps", "20", "--llm", "rl", "--prompt-text", "Hm."]
    )
    assert not given.trace and given.weights == ["llm.rl"] and given.bounds(14) == (20, 20)
    assert given.prompt_text == "You are a helpful assistant.<|endofprompt|>Hm."
    for wrong in (["--stages", "trace"], ["--steps", "0"], ["--prompt-wav", "absent.wav"]):
        with pytest.raises(CaptureError, match=r"\.$"):
            options.parse([*FOLDERS, *wrong])


def test_recording_of_ones_own_has_no_transcript_but_the_one_given():
    given = options.parse([*FOLDERS, "--prompt-wav", str(SCRIPT)])
    assert given.prompt_wav == SCRIPT and given.prompt_text == "You are a helpful assistant.<|endofprompt|>"


SEGMENTS = [
    Segment(14, [5100, 3410, 4100, 6562], (28, 280), [1, 2]),
    Segment(9, [7, 8], (2, 2), []),
]


def test_token_lines():
    assert token_lines(39, 106, 212, SEGMENTS) == [
        "prompt: 39 text tokens, 106 speech tokens, 212 mel frames",
        "segment 1: 14 text tokens, 3 speech tokens, bounds 28 to 280, stopped by 6562 at step 3, "
        "repetition fallbacks 2 at steps 1 2",
        "segment 1 ids: 5100 3410 4100",
        "segment 2: 9 text tokens, 2 speech tokens, bounds 2 to 2, stopped by the bound at step 2, "
        "repetition fallbacks 0",
        "segment 2 ids: 7 8",
        "all: 2 segments, 23 text tokens, 5 speech tokens, 2 repetition fallbacks",
    ]


def test_token_lines_are_those_of_our_own_report():
    ours = [
        token_report.Segment(14, [5100, 3410, 4100], 6562, [1, 2], (28, 280)),
        token_report.Segment(9, [7, 8], None, [], (2, 2)),
    ]
    assert token_lines(39, 106, 212, SEGMENTS) == list(
        token_report.report_lines(token_report.PromptSize(39, 106, 212), ours)
    )


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.fixture
def gpu(monkeypatch):
    calls = []
    fake = SimpleNamespace(
        reset_peak_memory_stats=lambda: None, max_memory_allocated=lambda: 2**31, is_available=lambda: True,
        empty_cache=lambda: calls.append("emptied"),
    )  # fmt: skip
    monkeypatch.setattr(stage, "_cuda", lambda: fake)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    return calls


class Held:
    """Stands for the tensors of a stage."""


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OutOfMemoryError, "full"),
        (RuntimeError, "CUDA error: out of memory"),
        (RuntimeError, "CUBLAS_STATUS_ALLOC_FAILED"),
    ],
)
def test_stage_without_room_on_the_gpu_is_repeated_on_the_cpu(gpu, caplog, error, text):
    held, devices = [], []

    def work(device):
        devices.append(device)
        tensors = Held()
        if device != "cpu":
            held.append(weakref.ref(tensors))
            raise error(text)
        assert held[0]() is None and gpu, "what the first run held is not freed before the second"
        return "done"

    with caplog.at_level(logging.INFO, "capture"):
        assert stage.run_stage("flow", work, "cuda") == "done"
    assert devices == ["cuda", "cpu"]
    assert "flow: out of memory on cuda, repeated on the CPU" in caplog.messages
    assert "peak memory of the process" in caplog.messages[-1]


def test_other_errors_are_not_repeated(gpu):
    for device, error in (("cuda", ValueError("out of memory")), ("cpu", OutOfMemoryError()), ("cuda", RuntimeError())):
        devices = []

        def work(device, devices=devices, error=error):
            devices.append(device)
            raise error

        with pytest.raises(type(error)):
            stage.run_stage("llm", work, device)
        assert devices == [device]


def test_peak_memory_is_told(gpu, caplog):
    with caplog.at_level(logging.INFO, "capture"):
        stage.run_stage("llm", lambda device: None, "cuda")
    assert "peak GPU memory 2.00 GiB" in caplog.messages[-1]


def test_stand_ins(monkeypatch):
    finder = packages._Finder()
    assert isinstance(finder.find_spec("conformer", None), ModuleSpec)
    for name in ("numpy", "cosyvoice.llm", "conformer.inner", "omegaconf.DictConfig"):
        assert finder.find_spec(name, None) is None
    module = finder.create_module(ModuleSpec("conformer", finder))
    assert callable(module.Conformer)
    monkeypatch.setitem(sys.modules, "conformer", module)
    assert finder.find_spec("conformer.inner", None) is not None
    assert module.DictConfig(content={"solver": "euler"}).solver == "euler"


def test_missing_packages_with_stand_ins(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(packages, "_UNUSED", frozenset({"surely_absent"}))
    assert packages.missing(["json", "surely_absent"]) == ["surely_absent"]
    packages.install_stand_ins()
    assert packages.missing(["json", "surely_absent"]) == ["surely_absent"]
    monkeypatch.setitem(sys.modules, "surely_absent", None)
    del sys.modules["surely_absent"]
    import surely_absent  # noqa: F401

    assert packages.missing(["surely_absent"]) == ["surely_absent"]


# With the reference


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
