"""`cosy-jax batch` around a pipeline that only pretends to speak."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cosy_jax.batch.entries import Outcome
from cosy_jax.batch.messages import Failed, Spoken
from cosy_jax.cli import batch_report, main
from cosy_jax.errors import CosyError
from cosy_jax.text.normalise import FrontendOptions
from tests.conftest import TINY
from tests.reference import REPOSITORY


def pretend(synthesizer, lines, deliver, settings, stats, stop):
    """Speaks a tenth of a second for each line, and cannot speak keys that begin with "bad"."""
    stats.busy["language model"] += 0.5
    stats.add_block(4, 3)
    for line in lines:
        if line.key.startswith("bad"):
            deliver(Failed(Outcome(line, error=f"Cannot speak [{line.key}].")))
        else:
            deliver(Spoken(Outcome(line, seconds=0.1, tokens=5), np.full(2400, 0.1, np.float32)))
        if stop.is_set():
            return


@pytest.fixture(autouse=True)
def pipeline(monkeypatch):
    """Puts a function in the place of `run_batch`; at first `pretend`."""

    def replace(function):
        monkeypatch.setattr("cosy_jax.batch.pipeline.run_batch", function)

    replace(pretend)
    return replace


def write(folder: Path, *keys) -> Path:
    path = folder / "manifest.jsonl"
    lines = [json.dumps({"key": key, "text": "Good morning.", "voice": "ann"}) for key in keys]
    path.write_text("\n".join(lines) + "\n")
    return path


def arguments(folder: Path, *more):
    options = ["--weights", TINY, "--out", folder / "out", "--compile-cache", "off", *more]
    return ["batch", *map(str, [folder / "manifest.jsonl", *options])]


def spoken(folder: Path):
    return sorted(path.stem for path in (folder / "out").glob("*.wav"))


def test_speaks_each_line_once(tmp_path, capsys):
    write(tmp_path, "a", "b", "c")
    assert main(arguments(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "3 spoken, 0 failed, 0 spoken earlier" in printed and "real-time factor" in printed
    assert "15, 30.0 a second" in printed and "75.0%" in printed
    assert spoken(tmp_path) == ["a", "b", "c"]
    write(tmp_path, "a", "b", "c", "d")
    assert main(arguments(tmp_path)) == 0
    assert "1 spoken, 0 failed, 3 spoken earlier" in capsys.readouterr().out
    assert len((tmp_path / "out/results.jsonl").read_text().splitlines()) == 4


def test_failures_are_told_and_the_others_spoken(tmp_path, capsys):
    manifest = write(tmp_path, "a", *(f"bad{i}" for i in range(12)), "a", "z")
    manifest.write_bytes(b"{\n" + manifest.read_bytes())
    assert main(arguments(tmp_path, "--plot", tmp_path / "a.png")) == 1
    printed = capsys.readouterr()
    assert "2 spoken, 14 failed" in printed.out
    assert "line 1: The line is not JSON" in printed.err and "bad8: Cannot speak [bad8]." in printed.err
    assert "and 4 more" in printed.err and "bad9" not in printed.err
    assert spoken(tmp_path) == ["a", "z"]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_shards_share_a_folder(tmp_path):
    write(tmp_path, "a", "b", "c")
    for index in range(2):
        assert main(arguments(tmp_path, "--num-shards", 2, "--shard-index", index)) == 0
    assert spoken(tmp_path) == ["a", "b", "c"]
    names = [f"results-{index}-of-2.jsonl" for index in range(2)]
    assert [len((tmp_path / "out" / name).read_text().splitlines()) for name in names] == [2, 1]


def test_options_reach_the_pipeline(tmp_path, pipeline):
    def check(synthesizer, lines, deliver, settings, stats, stop):
        assert settings.batching.rows == 3 and settings.flow_rows == 2
        assert synthesizer.voices == (tmp_path / "voices",)
        assert synthesizer.llm == "llm" and synthesizer.precision.name == "bfloat16"
        [line] = lines
        assert line.request.normalisation == FrontendOptions(enabled=False, language="zh")

    pipeline(check)
    write(tmp_path, "a")
    options = ["--slots", 3, "--flow-rows", 2, "--voices", tmp_path / "voices", "--verbatim", "--language", "zh"]
    assert main(arguments(tmp_path, *options, "--llm", "base", "--dtype", "bfloat16")) == 0


BAD = {
    "no manifest": ([], "Cannot read the manifest"),
    "no such shard": (["--shard-index", "1"], "There is no shard 1 of 1"),
    "no slots": (["--slots", "0"], "--slots cannot be 0"),
    "no flow rows": (["--flow-rows", "-1"], "--flow-rows cannot be -1"),
    "plot into nowhere": (["--plot", "/absent/a.png"], "does not exist"),
    "no weights": (["--weights", "/absent"], "not a converted model"),
    "no RL weights": (["--llm", "rl"], "no 'rl' language model"),
    "output over a file": (["--out", "/dev/null"], "Cannot write"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_leaves_nothing(case, tmp_path, capsys):
    extra, message = BAD[case]
    if case != "no manifest":
        write(tmp_path, "a")
    assert main(arguments(tmp_path, *extra)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("cosy-jax: ") and message in error
    assert not (tmp_path / "out").exists()


def test_plot_without_matplotlib_is_refused_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    write(tmp_path, "a")
    assert main(arguments(tmp_path, "--plot", tmp_path / "a.png")) == 2
    assert "Plots need matplotlib" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_error_of_the_pipeline_is_raised(tmp_path, capsys, pipeline):
    def fail(*_):
        raise CosyError("The model does not fit.")

    pipeline(fail)
    write(tmp_path, "a")
    assert main(arguments(tmp_path)) == 2
    assert "The model does not fit." in capsys.readouterr().err


def test_progress_where_there_is_no_terminal(tmp_path, capsys, monkeypatch, pipeline):
    def slowly(synthesizer, lines, deliver, *rest):
        time.sleep(0.1)
        pretend(synthesizer, lines, deliver, *rest)
        time.sleep(0.1)

    pipeline(slowly)
    monkeypatch.setattr(batch_report, "_LINE_SECONDS", 0.01)
    write(tmp_path, "a", "b")
    assert main(arguments(tmp_path)) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "/2 lines" in line]
    assert lines[0] == "0/2 lines, 0 s of audio"
    assert lines[-1].startswith("2/2 lines, 0 s of audio, real-time factor ") and lines[-1].endswith("0:00:00 left")


def test_first_interrupt_finishes_what_is_in_flight(tmp_path, capsys, pipeline):
    def interrupted(synthesizer, lines, deliver, settings, stats, stop):
        begun = [next(lines), next(lines)]
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(60)  # seconds, of a machine that is busy
        pretend(synthesizer, begun[:1], deliver, settings, stats, stop)

    pipeline(interrupted)
    before = signal.getsignal(signal.SIGINT)
    write(tmp_path, "a", "b", "c")
    assert main(arguments(tmp_path)) == 130
    assert "finishing the lines in flight, at most 2; Ctrl-C again" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before and spoken(tmp_path) == ["a"]
    pipeline(pretend)
    assert main(arguments(tmp_path)) == 0
    assert "2 spoken, 0 failed, 1 spoken earlier" in capsys.readouterr().out


TWICE = """
import os, signal, sys, time
from cosy_jax.batch import pipeline
from cosy_jax.cli import main
from tests.cli.test_batch_options import pretend

def hang(synthesizer, lines, deliver, settings, stats, stop):
    pretend(synthesizer, [next(lines)], deliver, settings, stats, stop)
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        stop.wait()
        time.sleep(0.2)
    time.sleep(60)

pipeline.run_batch = hang
main(sys.argv[1:])
"""


def test_second_interrupt_stops_at_once(tmp_path):
    write(tmp_path, "a", "b")
    command = [sys.executable, "-c", TWICE, *arguments(tmp_path)]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=50)
    assert run.returncode == 130 and "nothing was left half written" in run.stderr
    assert spoken(tmp_path) == ["a"] and not list((tmp_path / "out").glob(".*"))
