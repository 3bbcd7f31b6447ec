"""Training on four devices, rows or weights split, is training on one to rounding."""

import json
import os
import socket
import subprocess
import sys

import pytest

from cosy_jax.train import run as run_module
from cosy_jax.train.run import train
from tests.reference import REPOSITORY
from tests.train.dataset import Utterances
from tests.train.test_run import plan

SCRIPT = """
import json, sys
from pathlib import Path
from cosy_jax.nn.devices import local_devices
from cosy_jax.train import run
from tests.train import test_run
stage, out, model, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
run.open_dataset = lambda folder: test_run.Utterances(9)
plan = test_run.plan(out, stage, batch_seconds=seconds, steps=3, held_out=0, ema=0.5)
run.train(run.Plan(**{**vars(plan), "devices": local_devices(model)}))
"""


def figures(tmp_path, stage, devices, model, seconds):
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "XLA_FLAGS": flags}
    out = tmp_path / f"{stage}{devices}{model}"
    words = [sys.executable, "-c", SCRIPT, stage, str(out), str(model), str(seconds)]
    subprocess.run(words, check=True, env=environment, timeout=300)
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [(line["loss"], line["gradient_norm"], line["weight"]) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["llm", "flow"])
def test_many_devices_are_one(tmp_path, stage):
    alone = figures(tmp_path, stage, 1, 1, 32)
    for model in (1, 2):
        many = figures(tmp_path, stage, 4, model, 32 * model / 4)
        assert len(many) == len(alone) == 3
        for one, other in zip(alone, many, strict=True):
            assert other == pytest.approx(one, rel=2e-4), model


PROCESS = """
import sys
from pathlib import Path
import jax
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from cosy_jax.nn.devices import all_devices
from cosy_jax.train import run
from tests.train import test_run
run.open_dataset = lambda folder: test_run.Utterances(9)
plan = test_run.plan(Path(sys.argv[3]), "llm", batch_seconds=16, steps=4, held_out=2, save_every=2)
run.train(run.Plan(**{**vars(plan), "devices": all_devices()}))
"""


@pytest.mark.slow
def test_two_processes_are_one(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "open_dataset", lambda folder: Utterances(9))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo"}
    words = [sys.executable, "-c", PROCESS, address]
    both = [subprocess.Popen([*words, str(index), str(tmp_path / "two")], env=environment) for index in (0, 1)]
    assert [process.wait(300) for process in both] == [0, 0]
    train(plan(tmp_path / "one", "llm", batch_seconds=32, steps=4, held_out=2, save_every=2))
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("one", "two")]
    one, two = ([json.loads(line) for line in each] for each in lines)
    assert len(one) == len(two) == 6
    for ours, theirs in zip(one, two, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() & {"loss", "held_out_loss", "weight"}:
            assert theirs[name] == pytest.approx(ours[name], rel=2e-4)
    assert (tmp_path / "two" / "export" / "llm.safetensors").is_file()
