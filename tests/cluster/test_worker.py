"""An actor of the pool, without Ray."""

import io
import json

import pytest
import soundfile

from cosy_jax.cluster.job import Block
from cosy_jax.cluster.monitor import MOST_ATTEMPTS, Monitor
from cosy_jax.cluster.record import read_entries, write_entries
from cosy_jax.cluster.storage import LocalFolder
from cosy_jax.cluster.worker import Speaker
from tests.cluster.lines import entry, job, line

NAME = "results/0001-00000000.jsonl"


def test_a_block_that_is_recorded_is_only_reported(tmp_path):
    storage = LocalFolder(tmp_path)
    failed = {"key": "k2", "line": 2, "error": "Bad."}
    write_entries(storage, "0001-00000000", "jsonl", [entry(1), failed])
    report = Speaker(job(storage), Monitor()).speak(Block(0, (line(1), line(2))))
    stats = report.stats
    assert (stats.lines, stats.failed, stats.audio_seconds, stats.tokens) == (2, 1, 1.5, 30)
    assert [failure.error for failure in report.failures] == ["Bad."]


def test_a_block_that_ends_every_worker_is_given_up(tmp_path):
    storage, monitor = LocalFolder(tmp_path), Monitor()
    for _ in range(MOST_ATTEMPTS):
        assert monitor.begin(0) == (True, False)
    report = Speaker(job(storage), monitor).speak(Block(0, (line(1),)))
    assert report.stats.failed == 1 and "lost" in report.failures[0].error
    assert [entry["key"] for entry in read_entries(storage, NAME)] == ["k1"]


def test_nothing_is_begun_once_all_is_to_stop(tmp_path):
    monitor = Monitor()
    monitor.stop()
    report = Speaker(job(LocalFolder(tmp_path)), monitor).speak(Block(0, (line(1),)))
    assert report.stats.lines == 0 and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_audio_is_there_before_its_entry(tmp_path, monkeypatch):
    storage, order = LocalFolder(tmp_path), []
    write = LocalFolder.write
    monkeypatch.setattr(
        LocalFolder, "write", lambda self, name, content: (order.append(name), write(self, name, content))
    )
    speaker, block = Speaker(job(storage), Monitor()), Block(0, (line(1), line(2, wav="a/b.flac")))
    report = speaker.speak(block)
    assert not report.error and report.stats.lines == 2 and not report.stats.failed
    assert sorted(order[:2]) == ["a/b.flac", "k1.wav"] and order[2:] == [NAME]
    found = [json.loads(each) for each in storage.read(NAME).splitlines()]
    for each in found:
        assert soundfile.info(io.BytesIO(storage.read(each["wav"]))).duration == pytest.approx(
            each["seconds"], abs=1e-4
        )
    audio = storage.read("k1.wav")
    (tmp_path / NAME).unlink()
    speaker.speak(block)
    assert storage.read("k1.wav") == audio


@pytest.mark.slow
def test_a_line_that_cannot_be_written_fails_alone(tmp_path):
    (tmp_path / "k1.wav").mkdir()
    report = Speaker(job(LocalFolder(tmp_path)), Monitor()).speak(Block(0, (line(1), line(2))))
    assert report.stats.lines == 2 and [failure.line.key for failure in report.failures] == ["k1"]
    assert (tmp_path / "k2.wav").is_file()
