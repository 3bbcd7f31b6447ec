"""Training on four devices, rows or weights split, is training on one to rounding."""

import json
import os
import subprocess
import sys

import pytest

from tests.reference import REPOSITORY

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
