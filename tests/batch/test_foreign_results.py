"""Results files that we did not write, or that somebody has changed: nothing of them is touched."""

import json
import os

import pytest

from cosy_jax.batch.entries import begins_an_entry, read_entries
from cosy_jax.batch.results import Results
from cosy_jax.errors import CosyError
from tests.batch.test_results import deliver, done, entries

OURS = {"key": "a", "line": 1, "wav": "a.wav", "seconds": 0.2, "tokens": 5}


def snapshot(folder):
    """Every file of a folder, hidden ones too, with its content."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FOREIGN = {
    "no final newline": b'{"accuracy": 0.93}',
    "another program's lines": b'{"accuracy": 0.93}\n{"accuracy": 0.94}\n',
    "a list of recordings": b'{"key": "a", "wav": "/data/a.wav", "txt": "Hello."}\n',
    "a manifest": b'{"key": "a", "text": "Hello.", "voice": "ann"}\n',
    "a manifest without final newline": b'{"key": "a", "text": "Hello.", "voice": "ann"}',
    "a text": b"Dear diary,\n",
    "a text without final newline": b"Dear diary",
    "a number": b"7\n",
    "bytes": bytes(range(256)) * 10,
    "a huge line": b"x" * 10_000_000 + b"\n",
    "a huge line without end": b"x" * 10_000_000,
    "a huge entry": json.dumps(OURS | {"text": "x" * 10_000_000}).encode(),
    "deep": b"[" * 100_000 + b"\n",
}
TAMPERED = {
    "wav above": OURS | {"wav": "../a.wav"},
    "wav is the folder above": OURS | {"wav": "../.."},
    "wav below and above": OURS | {"wav": "b/../../a.wav"},
    "wav is absolute": OURS | {"wav": "/a.wav"},
    "wav is no audio": OURS | {"wav": "manifest.jsonl"},
    "wav is no text": OURS | {"wav": 7},
    "wav holds NUL": OURS | {"wav": "a\0.wav"},
    "no wav": {"key": "a", "line": 1, "seconds": 0.2, "tokens": 5},
    "no key": {"line": 1, "wav": "a.wav", "seconds": 0.2, "tokens": 5},
    "key is no text": OURS | {"key": ["a"]},
    "key is half a character": OURS | {"key": "\ud800"},
    "no line": {"key": "a", "wav": "a.wav", "seconds": 0.2, "tokens": 5},
    "line is a truth": OURS | {"line": True},
    "tokens are many": OURS | {"tokens": 10**30},
    "seconds are no number": OURS | {"seconds": float("nan")},
    "seconds are a text": OURS | {"seconds": "0.2"},
    "error is no text": {"key": "a", "line": 1, "error": 7},
    "run is a text": OURS | {"run": "1"},
    "run is too late": OURS | {"run": 2**64},
    "digests are a list": OURS | {"digests": ["a"]},
    "a digest is a number": OURS | {"digests": {"audio": 7}},
    "a digest is half a character": OURS | {"digests": {"audio": "\ud800"}},
    "a digest is missing": OURS | {"digests": {"line": "0"}},
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("name", ["results.jsonl", "results-0-of-2.jsonl"])
def test_a_file_that_is_not_ours_is_refused_and_stays(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CosyError, match=f"{name}.*move the file elsewhere, or name another folder"):
        Results(tmp_path)
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("entry", TAMPERED.values(), ids=TAMPERED)
def test_a_tampered_entry_is_refused_and_nothing_is_touched(tmp_path, entry):
    out = tmp_path / "a" / "out"
    with Results(out) as results:
        deliver(results, "b")
    with (out / "results.jsonl").open("a") as file:
        file.write(json.dumps(entry) + '\n{"key": "c", "li')
    for folder in (tmp_path, tmp_path / "a", out):
        (folder / ".a.wav.part").write_bytes(b"RIFF")
    before = snapshot(tmp_path)
    with pytest.raises(CosyError, match="results.jsonl, line 2, is no entry of cosy-jax"):
        Results(out)
    assert snapshot(tmp_path) == before


def test_a_file_outside_is_never_renamed(tmp_path):
    """What version 0.1.0 did."""
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / ".a.wav.part").write_bytes(b"RIFF")
    (out / "results.jsonl").write_text(json.dumps(OURS | {"wav": "../a.wav"}) + "\n")
    with pytest.raises(CosyError, match="line 1, is no entry"):
        Results(out)
    assert (tmp_path / ".a.wav.part").exists() and not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize("name", ["results.jsonl", "results-0-of-2.jsonl"])
def test_what_is_no_file(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(CosyError, match=f"{name} is no file"):
        Results(tmp_path)


def test_a_file_of_another_name_is_none_of_our_business(tmp_path):
    for name in ("results-old.jsonl", "results.jsonl.bak", "results-1-of-2.jsonl.tmp"):
        (tmp_path / name).write_bytes(b"Dear diary")
    with Results(tmp_path) as results:
        deliver(results, "a")
    assert (tmp_path / "results-old.jsonl").read_bytes() == b"Dear diary"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\0" * 100, b'{"key": "a", "line": 1, "wav": "a.w'])
def test_a_file_that_a_crash_has_emptied_is_ours(tmp_path, content):
    (tmp_path / "results.jsonl").write_bytes(content)
    with Results(tmp_path) as results:
        deliver(results, "a")
    with Results(tmp_path) as results:
        assert done(results, "a")


def test_what_a_crash_left_at_the_end_is_closed_and_an_unfinished_entry_cut_off(tmp_path):
    path = tmp_path / "results.jsonl"
    with Results(tmp_path) as results:
        deliver(results, "a")
    first = path.read_bytes()
    path.write_bytes(first + b"\0" * 10)
    with Results(tmp_path) as results:
        deliver(results, "b")
    assert path.read_bytes().startswith(first + b"\0" * 10 + b'\n{"key": "b", ')
    path.write_bytes(first + b'{"key": "b", "line": 2, "wav"')
    with Results(tmp_path) as results:
        assert done(results, "a") and not done(results, "b")
        deliver(results, "b")
    assert [entry["key"] for entry in entries(tmp_path)] == ["a", "b"]


def test_every_beginning_of_an_entry_is_known_for_one():
    for key in ("a", 'a"\\b', "é", None):
        entry = json.dumps({"key": key, "line": 12, "error": "No."}, ensure_ascii=False).encode()
        assert all(begins_an_entry(entry[:length]) for length in range(1, len(entry) + 1))
    for line in (b'{"key": 7', b'{"key": "a", "text"', b'{"key":"a"', b"{'key", b"[", b" "):
        assert not begins_an_entry(line)


def test_a_failed_entry_has_no_audio(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"key": null, "line": 3, "error": "Not JSON."}\n')
    assert [entry["line"] for entry in read_entries(path)] == [3]
    with Results(tmp_path) as results:
        assert not done(results, "a")
