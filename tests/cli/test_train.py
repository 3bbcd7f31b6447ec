"""The command refuses in one sentence, before it writes anything."""

import pytest

from cosy_jax.cli import main
from cosy_jax.train import run as run_module
from tests.conftest import TINY
from tests.train.dataset import Utterances


def command(tmp_path, *more, stage="llm"):
    return main(
        ["train", stage, "--weights", str(TINY), "--data", str(tmp_path), "--out", str(tmp_path / "run"),
         "--compile-cache", "off", *more]
    )  # fmt: skip


@pytest.fixture(autouse=True)
def utterances(monkeypatch):
    monkeypatch.setattr(run_module, "open_dataset", lambda folder: Utterances(5))


@pytest.mark.parametrize(
    ("stage", "more", "words"),
    [
        ("llm", ["--set", "nothing=1"], "There is no setting 'nothing'"),
        ("llm", ["--set", "clip"], "'clip' is no setting: write NAME=VALUE"),
        ("llm", ["--set", "clip=often"], "The setting clip is 'often': it must be a number"),
        ("llm", ["--set", "steps=1.5"], "The setting steps is 1.5: it must be a whole number"),
        ("llm", ["--set", "ema=1.0"], "it must be from 0 up to, not including, 1"),
        ("llm", ["--set", "save_every=15"], "The setting save_every is 15: it must be a multiple of log_every"),
        ("llm", ["--set", "schedule=slow"], "it must be one of constant, inverse-sqrt, cosine"),
        ("llm", ["--config", "absent.toml"], "Cannot read absent.toml"),
        ("flow", ["--set", "dpo=true"], "dpo is for the language model"),
        ("llm", ["--lora-rank", "4", "--from-scratch"], "lora_rank changes weights that are there"),
        ("vocoder", ["--set", "accumulate=1", "--set", "optimiser=muon"], "The vocoder learns by Adam alone"),
        ("vocoder", ["--lora-rank", "4"], "lora_rank and freeze are for llm and flow"),
        ("llm", ["--set", 'freeze=["nobody"]'], "no parameter is called 'nobody'"),
        ("llm", ["--model-parallel", "3"], "divisor"),
        ("llm", ["--distributed", "here"], "write ADDRESS,N,I"),
        ("vocoder", ["--set", "accumulate=2"], "set accumulate=1"),
        ("speaker-encoder", ["--set", "sample_every=5"], "Only llm, flow and vocoder can be heard"),
    ],
)
def test_bad_settings(tmp_path, capsys, stage, more, words):
    assert command(tmp_path, *more, stage=stage) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in error
    assert not list((tmp_path / "run").glob("export"))


def test_settings_of_a_file(tmp_path, capsys):
    (tmp_path / "settings.toml").write_text("steps = 1\nfreeze = 3\n")
    assert command(tmp_path, "--config", str(tmp_path / "settings.toml")) == 2
    assert "The setting freeze is 3: it must be a list of texts" in capsys.readouterr().err


def test_data_of_other_encoders(tmp_path, capsys, monkeypatch):
    other = Utterances(5)
    other.encoders = "0" * 64
    monkeypatch.setattr(run_module, "open_dataset", lambda folder: other)
    assert command(tmp_path) == 2
    assert "were made with other prompt encoders" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
