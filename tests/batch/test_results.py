"""The output folder: whatever happens, no file is incomplete under its name and no line is spoken twice."""

import errno
import json
import os
import random
import resource
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile

from cosy_jax.batch import results as results_module
from cosy_jax.batch.delivery import Delivery
from cosy_jax.batch.entries import Outcome, read_entries
from cosy_jax.batch.manifest import BadLine, Line, read_manifest
from cosy_jax.batch.messages import Failed, Spoken
from cosy_jax.batch.origin import file_digest
from cosy_jax.batch.results import Results
from cosy_jax.batch.stats import Stats
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request
from tests.reference import REPOSITORY

RATE = 24000
SAMPLES = np.random.default_rng(0).uniform(-0.5, 0.5, 4800).astype(np.float32)


def line(key="a", number=1, wav=None):
    return Line(number, key, Request("Hi.", voice="ann"), wav or f"{key}.wav")


def outcome(key="a", wav=None, **changes):
    return Outcome(line(key, wav=wav), **{"seconds": 0.2, "tokens": 5, "stages": {"flow": 0.1}} | changes)


def deliver(results, key="a", wav=None, samples=SAMPLES):
    return results.deliver(outcome(key, wav), samples, RATE)


def done(results, key, wav=None):
    """Whether nothing is left to do for the line of this key that `deliver` writes."""
    return results.standing(line(key, wav=wav)).final


def entries(folder, name="results.jsonl"):
    return [json.loads(entry) for entry in (folder / name).read_text().splitlines()]


def check_whole(folder, keys):
    """Each key is recorded as spoken once, each file is complete, and nothing else lies about."""
    assert sorted(entry["key"] for entry in entries(folder) if "error" not in entry) == sorted(keys)
    assert sorted(path.name for path in folder.iterdir()) == sorted(["results.jsonl", *(f"{key}.wav" for key in keys)])
    for key in keys:
        assert soundfile.info(folder / f"{key}.wav").frames == len(SAMPLES)


def test_spoken_and_failed_lines_are_recorded(tmp_path):
    folder = tmp_path / "new" / "out"
    with Results(folder) as results:
        assert deliver(results, "a", "sub/a.flac").error == ""
        failed = results.deliver(outcome("b", error="No voice."), None, RATE)
        results.deliver(Outcome(BadLine(7, None, "Not JSON."), error="Not JSON."), None, RATE)
    assert failed.error == "No voice."
    assert soundfile.info(folder / "sub/a.flac").frames == len(SAMPLES)
    spoken, *rest = entries(folder)
    assert spoken == {
        "key": "a",
        "line": 1,
        "wav": "sub/a.flac",
        "text": "Hi.",
        "seed": 0,
        "seconds": 0.2,
        "tokens": 5,
        "text_tokens": 0,
        "fallbacks": 0,
        "stages": {"flow": 0.1},
        "run": 1,
        "digests": {"audio": file_digest(folder / "sub/a.flac")},
    }
    assert rest == [{"key": "b", "line": 1, "error": "No voice."}, {"key": None, "line": 7, "error": "Not JSON."}]
    with Results(folder) as results:
        assert done(results, "a", "sub/a.flac") and not done(results, "b") and not done(results, "None")


def test_failed_line_can_be_spoken_later(tmp_path):
    with Results(tmp_path) as results:
        results.deliver(outcome(error="No."), None, RATE)
    with Results(tmp_path) as results:
        assert not done(results, "a")
        deliver(results)
        results.deliver(Outcome(BadLine(2, "a", "Used before."), error="Used before."), None, RATE)
    with Results(tmp_path) as results:
        assert done(results, "a")
    check_whole(tmp_path, ["a"])


def test_truncated_last_entry_is_cut_off(tmp_path):
    with Results(tmp_path) as results:
        deliver(results, "a")
        deliver(results, "b")
    path = tmp_path / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    with Results(tmp_path) as results:
        assert done(results, "a") and not done(results, "b")
        deliver(results, "b")
    check_whole(tmp_path, ["a", "b"])


def test_damage_in_the_middle_costs_one_line(tmp_path):
    with Results(tmp_path) as results:
        deliver(results, "a")
    path = tmp_path / "results.jsonl"
    path.write_bytes(b"\0\0\0\n[1]\n" + path.read_bytes() + b'{"key"\n')
    with Results(tmp_path) as results:
        assert done(results, "a")


class Killed(BaseException):
    """What nothing catches, as nothing catches SIGKILL."""


@contextmanager
def killed_in(monkeypatch, owner, name, before=lambda *args: None):
    def kill(*args, **_):
        before(*args)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, name, kill)
        yield


REAL_WRITE = os.write
KILLS = {
    "before the audio": (results_module, "audio_file", lambda *_: None),
    "in the audio": (results_module, "audio_file", lambda part, *_: part.write_bytes(b"RIFF")),
    "before the entry": (os, "write", lambda *_: None),
    "in the entry": (os, "write", lambda file, data: REAL_WRITE(file, data[:20])),
    "after the entry": (os, "write", REAL_WRITE),
    "before the name": (os, "replace", lambda *_: None),
    "after the name": (os, "replace", os.rename),
}


@pytest.mark.parametrize("step", KILLS)
def test_kill_between_any_two_steps(tmp_path, monkeypatch, step):
    with Results(tmp_path) as results:
        deliver(results, "a")
        with killed_in(monkeypatch, *KILLS[step]):
            deliver(results, "b")
    with Results(tmp_path) as results:
        assert done(results, "b") == (tmp_path / "b.wav").exists() == (step in list(KILLS)[4:])
        for key in "abc":
            if not done(results, key):
                deliver(results, key)
    check_whole(tmp_path, ["a", "b", "c"])


WRITER = """
import sys
from cosy_jax.batch.manifest import read_manifest
from tests.batch.test_results import speak_all
print("ready", flush=True)
speak_all(sys.argv[1], sys.argv[2])
"""


def speak_all(manifest, folder):
    with Results(folder) as results:
        delivery = Delivery(results, Stats(), RATE)
        for each in delivery.pending(read_manifest(manifest)):
            delivery.deliver(Spoken(Outcome(each, seconds=0.2, tokens=5), SAMPLES))


@pytest.mark.slow
def test_sigkill_at_any_moment(tmp_path):
    keys, folder = [f"{i}" for i in range(1000)], tmp_path / "out"
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps({"key": key, "text": "Hi.", "voice": "ann"}) + "\n" for key in keys))
    for seed in range(3):
        command = [sys.executable, "-c", WRITER, str(manifest), str(folder)]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(random.Random(seed).uniform(0.02, 0.15))
            process.kill()
        for path in folder.glob("*.wav"):
            assert soundfile.info(path).frames == len(SAMPLES)
    speak_all(manifest, folder)
    check_whole(folder, keys)


def test_one_process_a_folder_and_shard(tmp_path):
    with Results(tmp_path), pytest.raises(CosyError, match="Another process writes .*results.jsonl"):
        Results(tmp_path)
    with Results(tmp_path, 2, 0) as first, Results(tmp_path, 2, 1) as second:
        deliver(first, "a")
        deliver(second, "b")
    assert entries(tmp_path, "results-0-of-2.jsonl")[0]["key"] == "a"
    assert entries(tmp_path, "results-1-of-2.jsonl")[0]["key"] == "b"
    with Results(tmp_path) as results:
        assert done(results, "a") and done(results, "b")


def test_two_processes_name_the_same_file(tmp_path, monkeypatch):
    with Results(tmp_path, 2, 0) as first:
        with killed_in(monkeypatch, os, "replace"):
            deliver(first)
        with Results(tmp_path, 2, 1):
            assert soundfile.info(tmp_path / "a.wav").frames == len(SAMPLES)
        results_module._finish(tmp_path / "a.wav")
        with pytest.raises(CosyError, match="Cannot name .*b.wav"):
            results_module._finish(tmp_path / "b.wav")


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("count", [12_000, 100_000])
def test_full_disk_is_one_lines_error(tmp_path, suffix, count):
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, count).astype(np.float32)
    with Results(tmp_path) as results:
        with file_size_limit(20_000):
            error = deliver(results, "b", f"b.{suffix}", noise).error
        assert deliver(results, "a").error == ""
    assert error.startswith(f"Cannot write {tmp_path / 'b'}.{suffix}: ")
    assert entries(tmp_path)[0] == {"key": "b", "line": 1, "error": error}
    check_whole(tmp_path, ["a"])


@contextmanager
def file_size_limit(size):
    """No file can grow beyond it: a write is cut short there, and the next one is an error, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_entry_without_room_is_no_half_entry(tmp_path):
    with Results(tmp_path) as results:
        with file_size_limit(1000):
            errors = [deliver(results, f"{i}", samples=SAMPLES[:100]).error for i in range(20)]
        assert results.unrecorded == sum(map(bool, errors)) > 10 and "Cannot write" in errors[-1]
        recorded = [entry["key"] for entry in entries(tmp_path)]
        assert recorded == [f"{i}" for i, error in enumerate(errors) if not error]
        assert sorted(path.stem for path in tmp_path.glob("*.wav")) == sorted(recorded)
        assert not list(tmp_path.glob(".*"))
        assert deliver(results, "19").error == "" and entries(tmp_path)[-1]["key"] == "19"


def test_results_file_that_cannot_be_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    stats = Stats()
    with Results(tmp_path) as results:
        delivery = Delivery(results, stats, RATE)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            delivery.deliver(Spoken(outcome("a"), SAMPLES))
            delivery.deliver(Failed(outcome("b", error="No voice.")))
        delivery.deliver(Spoken(outcome("c"), SAMPLES))
        assert results.unrecorded == 2
    assert (stats.lines, stats.failed) == (3, 2)
    assert "No space left" in delivery.failures[0].error and delivery.failures[1].error == "No voice."
    check_whole(tmp_path, ["c"])


@pytest.mark.parametrize(
    ("wav", "message"), [("d.wav", "is a folder"), ("f/a.wav", "Cannot create"), ("n" * 250 + ".wav", "Cannot write")]
)
def test_file_that_cannot_be_created(tmp_path, wav, message):
    (tmp_path / "d.wav").mkdir()
    (tmp_path / "f").write_text("")
    with Results(tmp_path) as results:
        assert message in deliver(results, wav=wav).error
        assert deliver(results, "b").error == ""
        assert not results.unrecorded


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CosyError, match="Cannot write .*file"):
        Results(tmp_path / "file")


def test_entries_that_are_still_being_written_are_left_out(tmp_path):
    first = {"key": "a", "line": 1, "wav": "a.wav", "seconds": 0.2, "tokens": 5}
    (tmp_path / "r.jsonl").write_text(f"{json.dumps(first)}\n{json.dumps(first | {'key': 'b'})}")
    assert [entry["key"] for entry in read_entries(tmp_path / "r.jsonl")] == ["a"]
