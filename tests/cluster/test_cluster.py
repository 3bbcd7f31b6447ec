"""A manifest on three nodes, while an actor, a node and the driver are killed."""

import json
import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.cluster.lines import RECORDING
from tests.cluster.nodes import cluster, kill_an_actor
from tests.conftest import TINY
from tests.reference import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray warns of what is to come
LINES, BLOCK = 300, 10
KINDS = 5  # of speech: other lengths need programs of their own, in every process
_LONGEST = 3600  # seconds


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    path = tmp_path_factory.mktemp("manifest") / "lines.jsonl"
    given = {"text": "Good.", "prompt_wav": str(RECORDING), "prompt_text": "This."}
    lines = [{"key": f"k{n:03d}", "seed": n % KINDS} | given for n in range(LINES)]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def start(manifest, out, *options):
    """With one thread: the bits of a sum depend on how many share it."""
    environment = os.environ | {"NPROC": "1", "COSY_JAX_CACHE": str(REPOSITORY / ".pytest_cache" / "xla")}
    command = [sys.executable, "-m", "cosy_jax", "batch", manifest, "--weights", TINY, "--out", out, *options]
    return subprocess.Popen(
        list(map(str, command)), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process):
    printed, _ = process.communicate(timeout=_LONGEST)
    assert process.returncode == 0, printed
    return printed


def spoken(folder):
    return sorted(folder.glob("*.wav"))


def wait_for(out, count, process):
    end = time.monotonic() + _LONGEST
    while len(spoken(out)) < count:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.2)


def test_each_line_is_spoken_once_whoever_is_killed(manifest, tmp_path):
    out, alone = tmp_path / "out", tmp_path / "alone"
    finish(start(manifest, alone))
    with cluster(3) as (head, nodes):
        options = ("--ray", head.address, "--worker-cpus", "1", "--block-lines", str(BLOCK))
        driver = start(manifest, out, *options)
        wait_for(out, LINES // 6, driver)
        kill_an_actor()
        wait_for(out, LINES // 3, driver)
        head.remove_node(nodes[0], allow_graceful=False)
        wait_for(out, LINES // 2, driver)
        driver.kill()
        driver.communicate()
        printed = finish(start(manifest, out, *options))
        assert f"{LINES} spoken" not in printed  # what the first driver has in its ledger stays
        assert "0 spoken, 0 failed" in finish(start(manifest, out, *options))
    entries = [json.loads(line) for path in (out / "results").iterdir() for line in path.read_text().splitlines()]
    assert Counter(entry["key"] for entry in entries) == Counter(f"k{n:03d}" for n in range(LINES))
    assert len(spoken(out)) == len(spoken(alone)) == LINES
    for path in spoken(alone):
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name
    assert {path.name for path in out.iterdir() if path.suffix != ".wav"} == {"results", ".cosy_jax-lock"}
