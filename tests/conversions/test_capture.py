"""Capturing the reference: what needs no torch."""

import logging
import shutil
import subprocess
import sys
import weakref
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import pytest

from cosy_jax.conversions.capture import options, packages, stage
from cosy_jax.conversions.capture.errors import CaptureError
from cosy_jax.conversions.capture.folders import check_folders, commit_of, find_weights
from cosy_jax.conversions.capture.recipe import prune
from cosy_jax.conversions.capture.report import Segment, token_lines
from cosy_jax.conversions.capture_reference import main
from cosy_jax.parity.report import tokens as token_report
from tests.reference import REPOSITORY

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
    assert not given.training and options.parse([*FOLDERS, "--training"]).weights == ["flow", "hift", "llm"]
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
