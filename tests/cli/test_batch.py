"""`cosy-jax batch` from end to end on the tiny model."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import soundfile

from cosy_jax.cli import main
from cosy_jax.compare.snr import snr_db
from tests.conftest import TINY
from tests.reference import REPOSITORY

MANIFEST = REPOSITORY / "tests" / "data" / "manifest.jsonl"
RUN = "import sys; from cosy_jax.cli import main; sys.exit(main())"


def entries(out):
    path = out / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def percent(text, label):
    return float(re.search(rf"{label} +([\d.]+)%", text).group(1))


@pytest.mark.slow
def test_the_manifest_of_200_lines(tmp_path, capsys, monkeypatch):
    out, plot = tmp_path / "speech", tmp_path / "report.png"
    arguments = ["batch", str(MANIFEST), "--weights", str(TINY), "--out", str(out), "--plot", str(plot)]
    assert main([*arguments, "--compile-cache", "off"]) == 0
    printed = capsys.readouterr().out
    assert percent(printed, "slots in use") >= 85
    assert percent(printed, "flow") <= 15 and percent(printed, "vocoder") <= 15
    results = entries(out)
    assert len({entry["key"] for entry in results}) == len(results) == 200
    for entry in results:
        info = soundfile.info(out / entry["wav"])
        assert info.samplerate == 24000 and info.duration == pytest.approx(entry["seconds"], abs=1e-4)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert main([*arguments, "--compile-cache", "off"]) == 0
    assert "0 spoken, 0 failed, 200 spoken earlier" in capsys.readouterr().out


def start(manifest, out, cache):
    command = [sys.executable, "-W", "ignore", "-c", RUN, "batch", manifest, "--weights", TINY, "--out", out]
    environment = {**os.environ, "COSY_JAX_CACHE": str(cache), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [*map(str, command), "--slots", "2", "--flow-rows", "1"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def wait_for_entries(out, count, process):
    while len(entries(out)) < count:
        assert process.poll() is None, "it ended before it was to be interrupted"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    """A manifest of 12 lines, the folder of a run that nobody disturbed, and its compilation cache."""
    folder = tmp_path_factory.mktemp("twelve")
    lines = [json.loads(line) for line in MANIFEST.read_text(encoding="utf-8").splitlines()[:12]]
    for line in lines:
        line["prompt_wav"] = str(MANIFEST.parent / line["prompt_wav"])
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(map(json.dumps, lines)))
    status, _, err = finish(start(manifest, folder / "whole", folder / "cache"))
    assert status == 0, err
    return manifest, folder / "whole", folder / "cache"


def check_complete(out, whole):
    good = Counter(entry["key"] for entry in entries(out) if "error" not in entry)
    assert good == Counter(entry["key"] for entry in entries(whole)) and set(good.values()) == {1}
    assert {path.name for path in out.iterdir()} == {path.name for path in whole.iterdir()}
    for path in whole.glob("*.wav"):
        expected, _ = soundfile.read(path)
        spoken, _ = soundfile.read(out / path.name)
        # 16-bit steps: -98 dB of full scale, and the noise that this model speaks is loud.
        assert len(spoken) == len(expected) and snr_db(spoken, expected) >= 60


@pytest.mark.slow
def test_a_second_run_compiles_nothing(twelve, tmp_path):
    manifest, whole, cache = twelve
    status, printed, err = finish(start(manifest, tmp_path / "again", cache))
    assert status == 0, err
    assert re.search(r"programs +0 compiled, \d+ from the cache", printed), printed
    check_complete(tmp_path / "again", whole)


@pytest.mark.slow
def test_killed_and_interrupted_it_goes_on_where_it_was(twelve, tmp_path):
    manifest, whole, cache = twelve
    out = tmp_path / "speech"
    killed = start(manifest, out, cache)
    wait_for_entries(out, 3, killed)
    killed.kill()
    killed.communicate()
    before = {entry["key"]: (out / entry["wav"]).stat().st_mtime_ns for entry in entries(out)[:3]}

    interrupted = start(manifest, out, cache)
    wait_for_entries(out, 5, interrupted)
    interrupted.send_signal(signal.SIGINT)
    status, _, err = finish(interrupted)
    assert status == 130 and "finishing the lines in flight" in err
    assert 5 <= len(entries(out)) < 12

    status, _, err = finish(start(manifest, out, cache))
    assert status == 0, err
    check_complete(out, whole)
    for entry in entries(out)[:3]:
        assert (out / entry["wav"]).stat().st_mtime_ns == before[entry["key"]]
