"""The counters of a batch run and its picture."""

import json

import pytest

from cosy_jax.batch.plot import plot_report
from cosy_jax.batch.stats import STAGES, Stats
from cosy_jax.cli.batch_report import progress_line


def test_shares_of_nothing_are_zero():
    stats = Stats()
    assert (stats.utilisation, stats.flow_waste, stats.vocoder_waste, stats.timeline) == (0, 0, 0, [])
    assert list(stats.busy) == list(STAGES) and not any(stats.busy.values())


def test_progress_of_long_texts_is_told_by_segment():
    assert progress_line(Stats(), 3) == "0/3 lines, 0 s of audio"
    assert progress_line(Stats(segments=40, segments_done=7), 3).startswith(
        "0/3 lines, 7/40 segments of long texts, 0 s"
    )


def test_shares():
    stats = Stats(flow_frames=75, flow_padded=100, vocoder_frames=9, vocoder_padded=10)
    stats.add_block(100, 50)
    stats.add_block(300, 250)
    assert stats.utilisation == 0.75
    assert (stats.flow_waste, stats.vocoder_waste) == (0.25, pytest.approx(0.1))
    assert [share for _, share in stats.timeline] == [0.5, pytest.approx(5 / 6)]


def test_timeline_is_bounded_and_keeps_the_mean():
    stats = Stats()
    for index in range(10_001):
        stats.add_block(10, index % 11)
        assert len(stats.timeline) <= 2000
    times, shares = zip(*stats.timeline, strict=True)
    assert list(times) == sorted(times) and times[-1] <= stats.elapsed
    assert all(0 <= share <= 1 for share in shares)
    assert sum(shares[:500]) / 500 == pytest.approx(0.5, abs=0.02)
    assert stats.utilisation == pytest.approx(0.5, abs=0.001)


def test_picture_of_a_run_and_of_an_empty_one(tmp_path):
    results = tmp_path / "results.jsonl"
    entries = [{"key": f"{i}", "line": 1, "wav": f"{i}.wav", "tokens": 25 * i, "seconds": i} for i in range(9)]
    results.write_text(
        "".join(json.dumps(entry) + "\n" for entry in [*entries, {"key": "b", "line": 1, "error": "No."}])
    )
    stats = Stats()
    plot_report(tmp_path / "empty.png", results, stats)
    stats.add_block(4, 3)
    plot_report(tmp_path / "a.png", results, stats)
    for name in ("empty.png", "a.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
