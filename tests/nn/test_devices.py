"""Rows over several devices, and weights split over them, give what one device gives."""

import json
import os
import subprocess
import sys

import pytest

from cosy_jax.errors import CosyError
from cosy_jax.nn.devices import ONE_DEVICE, local_devices
from tests.reference import REPOSITORY


def run_on(devices: int, model: int) -> dict:
    flags = f"--xla_force_host_platform_device_count={devices}"
    env = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.nn.on_devices", str(model)]
    result = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "model"), [(4, 1), (8, 2)])
def test_several_devices_give_what_one_gives(devices, model):
    report = run_on(devices, model)
    assert (report["devices"], report["data"]) == (devices, devices // model)
    assert report["ids"] and report["voice"]
    assert (report["split"] > 0) == (model > 1)
    assert (report["split pages"] > 0) == (model > 1) and report["compiled again"] == 0
    # Of another order of float32 sums; mels are of the order of 10, audio of 1.
    assert report["mel"] < 1e-3 and report["pieces"] < 1e-3 and report["audio"] < 1e-3


def test_one_device_needs_no_mesh():
    assert local_devices() is ONE_DEVICE
    assert ONE_DEVICE.padded(5) == 5


def test_devices_that_do_not_divide_are_refused():
    with pytest.raises(CosyError, match="divisor"):
        local_devices(model=3)
