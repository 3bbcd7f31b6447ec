"""The comparison with the reference: its arithmetic, whose turn it is, and what it says when something is missing."""

import sys

import pytest

from benchmarks import reference
from benchmarks.compare_torch import Pair, rows_of
from benchmarks.reference import Reference
from benchmarks.table import Figure, print_table, read_figures, write_figures
from benchmarks.timing import Timing, measure_in_turn
from cosy_jax.config import LLMConfig
from cosy_jax.errors import CosyError

WORKER = """
import json, sys
print(json.dumps({"runs_on": "nothing", "cpu_seconds": 1.5, "peak_bytes": 7}), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    if job.get("dtype") == "unknown":
        sys.exit(3)
    answer = {"seconds": 2.5, "cpu_seconds": 4, "peak_bytes": 8} if "run" in job else {"error": "no such stage"}
    print(json.dumps(answer), flush=True)
"""


def timing(warm):
    return Timing(10.0, 5.0, warm, warm)


def test_sides_take_turns_and_first_runs_are_apart():
    calls = []

    def side(name):
        def run():
            calls.append(name)
            return float(len(calls))

        return run

    found = measure_in_turn({"ours": side("ours"), "reference": side("reference")}, 3)
    assert calls == ["ours", "reference"] * 4
    assert (found["ours"].first, found["ours"].warm, found["ours"].best) == (1, 5, 3)


def test_rows_hold_batches_against_one_utterance_at_a_time():
    pairs = [
        Pair("llm", "bfloat16", 1, timing(2.0), timing(4.0), 0),
        Pair("llm", "bfloat16", 16, timing(8.0), timing(4.0), 0),
        Pair("flow", "bfloat16", 1, timing(5.0), timing(10.0), 0),
        Pair("vocoder", "float32", 1, timing(0.5), timing(1.0), 0),
    ]
    rows = {(row.name, row.unit, row.batch): row for row in rows_of(pairs)}
    assert rows["language model", "s", 16].reference == 64
    assert rows["language model", "tokens/s", 16].ours == 250
    assert rows["language model", "tokens/s", 16].faster == 8
    assert rows["end to end", "real-time factor", 1].ours == pytest.approx(1.5)
    assert rows["end to end", "real-time factor", 16].ours == pytest.approx(1.2)
    assert rows["end to end", "real-time factor", 16].reference == pytest.approx(3)


def test_no_end_to_end_without_all_stages():
    rows = list(rows_of([Pair("llm", "float32", 1, timing(2.0), timing(4.0), 0)]))
    assert [row.unit for row in rows] == ["s", "tokens/s"]


@pytest.fixture
def checkouts(tmp_path, monkeypatch):
    for package in ("cosyvoice", "matcha"):
        (tmp_path / package).mkdir()
    monkeypatch.setattr(reference, "_WORKER", tmp_path / "worker.py")
    (tmp_path / "worker.py").write_text(WORKER)
    return tmp_path


def test_missing_things_are_named(checkouts):
    with pytest.raises(CosyError, match="no package 'matcha'"):
        Reference(sys.executable, checkouts, checkouts / "nowhere", "cpu")
    with pytest.raises(CosyError, match="no Python"):
        Reference(str(checkouts / "python"), checkouts, checkouts, "cpu")


def test_missing_packages_are_named(checkouts, monkeypatch):
    monkeypatch.setattr(reference, "_NEEDS", ("json", "no_such_package", "nor_this"))
    with pytest.raises(CosyError, match="lacks no_such_package, nor_this"):
        Reference(sys.executable, checkouts, checkouts, "cpu")


def test_worker_answers_and_fails_aloud(checkouts, monkeypatch):
    monkeypatch.setattr(reference, "_NEEDS", ("json",))
    with Reference(sys.executable, checkouts, checkouts, "cpu") as worker:
        assert (worker.runs_on, worker.cpu_seconds, worker.peak_bytes) == ("nothing", 1.5, 7)
        assert (worker.run(), worker.cpu_seconds, worker.peak_bytes) == (2.5, 4, 8)
        with pytest.raises(CosyError, match="no such stage"):
            worker.load("llm", "float32", LLMConfig())
        with pytest.raises(CosyError, match="status 3"):
            worker.load("llm", "unknown", LLMConfig())


def test_figures_are_kept(tmp_path, capsys):
    figures = [Figure("flow, batch 1", 0.12345, "s"), Figure("limit", 1234.5, "GB/s")]
    write_figures(str(tmp_path / "figures.json"), figures)
    assert read_figures(str(tmp_path / "figures.json")) == figures
    print_table(("figure", "value"), [(figure.name, figure.value) for figure in figures])
    assert [line.split("|")[2].strip() for line in capsys.readouterr().out.splitlines()] == [
        "value", "-----", "0.123", "1,234",
    ]  # fmt: skip
