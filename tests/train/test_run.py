"""A run of training: it learns, goes on after any end with the same numbers, and leaves a model that speaks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from cosy_jax import Synthesizer
from cosy_jax.checkpoint.reader import load_params
from cosy_jax.errors import CosyError
from cosy_jax.train import run as run_module
from cosy_jax.train.learner import Learner
from cosy_jax.train.run import Plan, train
from cosy_jax.train.settings import TrainSettings
from tests.conftest import TINY
from tests.reference import REPOSITORY
from tests.train.dataset import Utterances

SETTINGS = TrainSettings(
    steps=6, batch_seconds=8, accumulate=2, learning_rate=1e-3, held_out=2, evaluate_every=2, save_every=2, log_every=1
)
TIMES = ("seconds_per_step", "ids_per_second", "frames_per_second", "product_share")


@pytest.fixture(autouse=True)
def utterances(monkeypatch):
    monkeypatch.setattr(run_module, "open_dataset", lambda folder: Utterances(9))


def plan(out, stage="llm", **changes):
    settings = TrainSettings(**{**SETTINGS.__dict__, **changes})
    return Plan(stage, TINY, Path("absent"), out, settings)


def figures(out):
    """Everything but times, by step and name."""
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return {(line["step"], name): value for line in lines for name, value in line.items() if name not in TIMES}


def same(one, other, stage="llm"):
    read = [(folder / "export" / f"{stage}.safetensors").read_bytes() for folder in (one, other)]
    return read[0] == read[1]


@pytest.mark.slow
def test_a_run_in_two_parts_is_the_run_whole(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(plan(whole))
    train(plan(parts, steps=4))
    train(plan(parts))
    found = figures(whole)
    assert found == figures(parts) and same(whole, parts)
    assert {(step, "held_out_loss") for step in (2, 4, 6)} <= found.keys()
    assert found[6, "loss"] < found[1, "loss"]
    assert Synthesizer(whole / "export").params("llm")
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < line["product_share"] < 1.5 for line in lines if "ids_per_second" in line)


@pytest.mark.slow
def test_low_rank_changes_are_an_adapter_and_a_model(tmp_path):
    train(plan(tmp_path, lora_rank=2, learning_rate=0.01, steps=2))
    adapted = Synthesizer(TINY, llm="base", adapter=tmp_path / "adapter").params("llm")
    merged = load_params(tmp_path / "export", "llm")
    before = load_params(TINY, "llm")
    layer = adapted["backbone"]["layers_1"]["attention"]["query"]["kernel"]
    np.testing.assert_allclose(layer, merged["backbone"]["layers_1"]["attention"]["query"]["kernel"], atol=1e-6)
    assert np.abs(layer - before["backbone"]["layers_1"]["attention"]["query"]["kernel"]).max() > 1e-3
    np.testing.assert_array_equal(
        adapted["backbone"]["layers_1"]["mlp"]["up"]["kernel"], before["backbone"]["layers_1"]["mlp"]["up"]["kernel"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["flow", "speech_tokenizer"])
def test_every_stage_learns(tmp_path, stage):
    changes = {"steps": 8, "held_out": 0, "dropout": 0.0, "batch_seconds": 16}
    train(plan(tmp_path, stage, **changes))
    losses = [value for (_, name), value in sorted(figures(tmp_path).items()) if name == "loss"]
    assert losses[-1] < losses[0]
    assert Synthesizer(tmp_path / "export").params(stage)


@pytest.mark.slow
def test_preference_is_learnt(tmp_path):
    train(plan(tmp_path, dpo=True, beta=0.5, held_out=0, steps=8))
    found = figures(tmp_path)
    assert found[8, "margin"] > 0 and found[8, "preferred"] == 1


@pytest.mark.slow
def test_another_run_is_not_gone_on_with(tmp_path):
    train(plan(tmp_path, steps=1))
    with pytest.raises(CosyError, match="is a run with other learning_rate"):
        train(plan(tmp_path, learning_rate=1e-4))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("Dear")
    with pytest.raises(CosyError, match="is no run of a training"):
        train(plan(tmp_path / "other"))
    assert (tmp_path / "other" / "letter.txt").read_text() == "Dear"


@pytest.mark.slow
def test_ten_steps_that_are_not_finite_end_the_run(tmp_path):
    with pytest.raises(
        CosyError, match="10 steps in a row, up to step 1[0-9], were not finite: lower the learning rate"
    ):
        train(plan(tmp_path, learning_rate=1e30, steps=40, held_out=0, clip=1e30))


@pytest.mark.parametrize(
    ("error", "batch_seconds", "sentence"),
    [
        (MemoryError("Unable to allocate"), 8, "128 ids a batch: use shorter recordings, or remat=true"),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory."),
            16,
            "384 ids a batch: set batch_seconds to 7.68, or remat=true",
        ),
    ],
)
def test_a_batch_that_is_too_large_is_one_sentence(tmp_path, monkeypatch, error, batch_seconds, sentence):
    monkeypatch.setattr(Learner, "step", failing(error))
    with pytest.raises(CosyError, match=f"^The memory does not suffice for {sentence}.$"):
        train(plan(tmp_path, batch_seconds=batch_seconds))
    assert not (tmp_path / "export").exists()


def test_other_errors_stay_what_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(Learner, "step", failing(jax.errors.JaxRuntimeError("INTERNAL: no.")))
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        train(plan(tmp_path))


def failing(error):
    def step(*args):
        raise error

    return step


SCRIPT = """
import sys
from pathlib import Path
from tests.train import test_run
from cosy_jax.train import run
run.open_dataset = lambda folder: test_run.Utterances(9)
run.train(test_run.plan(Path(sys.argv[1]), steps=12))
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_with_the_same_numbers(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for out in (whole, tmp_path / "warm"):  # the first may compile
        start = time.monotonic()
        subprocess.run([sys.executable, "-c", SCRIPT, out], check=True, env=environment, timeout=300)
    seconds, kills = time.monotonic() - start, 0
    random = np.random.default_rng(0)
    for _ in range(8):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, killed], env=environment)
        try:
            process.wait(random.uniform(0.3, 0.9) * seconds)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    subprocess.run([sys.executable, "-c", SCRIPT, killed], check=True, env=environment, timeout=300)
    assert kills and figures(whole) == figures(killed) and same(whole, killed)
