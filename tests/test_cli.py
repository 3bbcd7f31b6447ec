"""The command as a stranger uses it: speech comes out, and bad input gets one sentence and status 2."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cosy_jax.cli import main
from tests.conftest import TINY
from tests.reference import REPOSITORY

RECORDING = REPOSITORY / "tests" / "data" / "prompt_1.flac"


def arguments(out, **changes):
    options = {
        "weights": TINY,
        "text": "Good morning.",
        "prompt-wav": RECORDING,
        "prompt-text": "Some words.",
        "out": out,
        "compile-cache": REPOSITORY / ".pytest_cache" / "xla",
    }
    options.update({name.replace("_", "-"): value for name, value in changes.items()})
    return ["synthesize", *(part for name, value in options.items() for part in (f"--{name}", str(value)))]


def test_synthesize_writes_the_same_wav_for_the_same_seed(tmp_path, capsys):
    outs = [tmp_path / name for name in ("a.wav", "b.wav", "c.flac")]
    for out, seed in zip(outs, (1, 1, 2), strict=True):
        assert main(arguments(out, seed=seed)) == 0
    printed = capsys.readouterr()
    assert "real-time factor" in printed.out and "flow" in printed.out
    assert "You are a helpful assistant.<|endofprompt|>" in printed.err
    assert outs[0].read_bytes() == outs[1].read_bytes()
    first, rate = soundfile.read(outs[0])
    assert rate == 24000 and len(first) % 960 == 0 and 0.001 < np.abs(first).max() <= 1
    assert not np.array_equal(first, soundfile.read(outs[2])[0])
    assert sorted(tmp_path.iterdir()) == sorted(outs)


def test_prefix_is_not_added_twice(tmp_path, capsys):
    prompt_text = "You are a helpful assistant.<|endofprompt|>Some words."
    assert main(arguments(tmp_path / "a.wav", prompt_text=prompt_text)) == 0
    assert "endofprompt" not in capsys.readouterr().err


def test_plot_is_a_picture(tmp_path):
    assert main(arguments(tmp_path / "a.wav", plot=tmp_path / "a.png")) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def write_wav(path: Path, seconds: float, rate: int = 16000) -> Path:
    soundfile.write(path, np.zeros(int(seconds * rate), np.float32), rate)
    return path


BAD = {
    "no such weights": (lambda p: {"weights": p / "absent"}, "not a converted model"),
    "empty text": (lambda p: {"text": "  "}, "empty"),
    "nothing to speak": (lambda p: {"text": "?! [laughter]"}, "no letter or digit"),
    "missing recording": (lambda p: {"prompt_wav": p / "absent.wav"}, "No recording"),
    "unreadable recording": (lambda p: {"prompt_wav": REPOSITORY / "Makefile"}, "Cannot read"),
    "empty recording": (lambda p: {"prompt_wav": write_wav(p / "in.wav", 0)}, "is empty"),
    "recording of 8 kHz": (lambda p: {"prompt_wav": write_wav(p / "in.wav", 1, 8000)}, "8000 Hz"),
    "recording of 31 s": (lambda p: {"prompt_wav": write_wav(p / "in.wav", 31)}, "31.0 s long"),
    "recording of 30 ms": (lambda p: {"prompt_wav": write_wav(p / "in.wav", 0.03)}, "too short"),
    "output into nowhere": (lambda p: {"out": p / "absent" / "a.wav"}, "does not exist"),
    "output over a folder": (lambda p: {"out": p}, "is a folder"),
    "output of unknown kind": (lambda p: {"out": p / "a.mp3"}, "suffix"),
    "no RL weights": (lambda p: {"llm": "rl"}, "no 'rl' language model"),
    "unknown dtype": (lambda p: {"dtype": "float16"}, "Unknown dtype"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_leaves_nothing(case, tmp_path, capsys):
    change, message = BAD[case]
    changes = change(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(arguments(changes.pop("out", tmp_path / "out.wav"), **changes)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("cosy-jax: ") and message in error
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write to")
def test_folder_that_cannot_be_written(capsys):
    assert main(arguments("/proc/a.wav")) == 2
    assert "Cannot write" in capsys.readouterr().err


def test_info_tells_stages_and_variants(capsys):
    assert main(["info", str(TINY)]) == 0
    printed = capsys.readouterr().out
    assert "speech_tokenizer" in printed and "llm" in printed and "float32" in printed


def test_convert_refuses_a_missing_folder(tmp_path, capsys):
    assert main(["convert", str(tmp_path / "absent"), str(tmp_path / "out")]) == 2
    assert "not a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_has_examples_and_starts_fast():
    run = subprocess.run(
        [sys.executable, "-c", "import sys; from cosy_jax.cli import main; main(['--help'])"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=True,
    )
    assert "examples:" in run.stdout
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, cosy_jax.cli; print('jax' in sys.modules)"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=True,
    )
    assert loaded.stdout.strip() == "False"
