"""Manifests: every line becomes something to speak or one sentence, and none of them stays in memory."""

import json
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest

from cosy_jax.batch.manifest import BadLine, Line, count_lines, read_manifest
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request
from tests.reference import REPOSITORY

GOOD = {"key": "a", "text": "Good morning.", "prompt_wav": "voice.wav", "prompt_text": "Some words."}
SAVED = {"key": "a", "text": "Good morning.", "voice": "ann"}


def write(folder: Path, *lines) -> Path:
    """A manifest of objects, or of bytes as they are."""
    path = folder / "manifest.jsonl"
    parts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"\n".join(parts))
    return path


def read(folder: Path, *lines):
    return list(read_manifest(write(folder, *lines)))


def test_defaults(tmp_path):
    [line] = read(tmp_path, GOOD)
    request = Request("Good morning.", recording=tmp_path / "voice.wav", transcript="Some words.")
    assert line == Line(number=1, key="a", request=request, wav="a.wav")
    assert (request.way, request.seed, request.speed) == ("zero-shot", 0, 1.0)


def test_every_field(tmp_path):
    given = {"instruct": "Whisper.", "seed": -3, "speed": 2, "wav": "sub//./b.flac", "prompt_wav": None}
    [line] = read(tmp_path, SAVED | given)
    request = Request("Good morning.", voice="ann", instruct="Whisper.", seed=-3, speed=2.0)
    assert line == Line(1, "a", request, "sub/b.flac") and request.way == "instruct"
    [line] = read(tmp_path, {"key": "a", "text": "Hi.", "prompt_wav": "/voice.wav", "mode": "cross-lingual"})
    assert line.request == Request("Hi.", recording=Path("/voice.wav"), mode="cross-lingual")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"key": "a"', "not JSON"),
        (b'{"key": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b'["key"]', "no JSON object"),
        (b'{"key": "a", "seed": ' + b"9" * 5000 + b"}", "not JSON"),
        ({}, "key is missing"),
        (GOOD | {"key": " "}, "key is missing or empty"),
        ({"key": "a"}, "text is missing"),
        (GOOD | {"text": "?!"}, "no letter or digit"),
        (GOOD | {"txt": "b"}, "Unknown field 'txt'"),
        (GOOD | {"key": 1}, "key is not text"),
        (GOOD | {"text": "half \ud83d"}, "text holds a NUL or half"),
        (GOOD | {"wav": "a\0.wav"}, "wav holds a NUL or half"),
        (GOOD | {"seed": 1.5}, "seed is not a whole number"),
        (GOOD | {"seed": True}, "seed is not a whole number"),
        (GOOD | {"seed": 2**63}, "seed is too large"),
        (GOOD | {"speed": "fast"}, "speed is not a number"),
        (GOOD | {"speed": 3}, "speed 3 is not supported"),
        (GOOD | {"speed": 10**400}, "speed inf is not supported"),
        (GOOD | {"speed": float("nan")}, "speed nan is not supported"),
        (GOOD | {"voice": "ann"}, "prompt_wav or voice: "),
        ({"key": "a", "text": "Hi."}, "prompt_wav or voice: "),
        (SAVED | {"voice": ""}, "prompt_wav or voice: "),
        (SAVED | {"prompt_text": "Some words."}, "prompt_text: A voice brings its transcript"),
        (GOOD | {"prompt_text": ""}, "prompt_text: Mode zero-shot needs what is said"),
        (GOOD | {"mode": "shout"}, "Unknown mode"),
        (GOOD | {"mode": "instruct"}, "needs one"),
        (SAVED | {"instruct": ""}, "needs one"),
        (SAVED | {"mode": "zero-shot", "instruct": "Whisper."}, "mode instruct"),
        (GOOD | {"wav": "/a.wav"}, "name a file inside it"),
        (GOOD | {"wav": "b/../../a.wav"}, "name a file inside it"),
        (GOOD | {"wav": "a.doc"}, "suffix"),
        (GOOD | {"wav": ""}, "suffix"),
        (GOOD | {"key": "../a"}, "in the field wav"),
    ],
)
def test_bad_line_is_one_sentence_and_the_rest_goes_on(tmp_path, line, message):
    bad, good = read(tmp_path, line, GOOD | {"key": "b"})
    assert isinstance(bad, BadLine) and message in bad.error and bad.error.endswith(".") and bad.number == 1
    assert isinstance(good, Line) and good.number == 2


def test_key_of_a_bad_line_where_it_can_be_read(tmp_path):
    found = read(tmp_path, {"key": "a"}, {"key": "\ud800"}, {"key": 7}, b"{")
    assert [line.key for line in found] == ["a", None, None, None]


def test_key_names_a_file_only_where_no_wav_is_given(tmp_path):
    below, outside = read(tmp_path, GOOD | {"key": "en/a"}, GOOD | {"key": "../a", "wav": "b.wav"})
    assert (below.wav, outside.wav) == ("en/a.wav", "b.wav")


def test_key_and_wav_are_used_once(tmp_path):
    lines = [GOOD, GOOD | {"text": "Again."}, GOOD | {"key": "b", "wav": "./a.wav"}, {"key": "c"}, GOOD | {"key": "c"}]
    found = read(tmp_path, *lines)
    assert isinstance(found[0], Line) and all(isinstance(line, BadLine) for line in found[1:])
    assert "key 'a' is used before" in found[1].error and "wav 'a.wav' is used before" in found[2].error
    assert "key 'c' is used before" in found[4].error


def test_blank_lines_byte_order_mark_and_carriage_returns(tmp_path):
    good = json.dumps(GOOD).encode()
    found = read(tmp_path, b"\xef\xbb\xbf" + good + b"\r", b"", b" \r", good.replace(b'"a"', b'"b"'))
    assert [(line.number, line.key) for line in found] == [(1, "a"), (4, "b")]
    assert count_lines(tmp_path / "manifest.jsonl") == 2
    assert read(tmp_path) == []


@pytest.mark.parametrize("num_shards", [1, 3, 7])
def test_shards_take_every_line_once(tmp_path, num_shards):
    path = write(tmp_path, *[line for i in range(10) for line in (GOOD | {"key": f"{i}"}, b"")], GOOD | {"key": "3"})
    shards = [list(read_manifest(path, num_shards, index)) for index in range(num_shards)]
    assert [len(shard) for shard in shards] == [count_lines(path, num_shards, index) for index in range(num_shards)]
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    found = sorted((line for shard in shards for line in shard), key=lambda line: line.number)
    assert found == list(read_manifest(path)) and len(found) == 11
    assert isinstance(found[-1], BadLine) and "used before" in found[-1].error


@pytest.mark.parametrize("shard", [(0, 0), (2, 2), (2, -1)])
def test_shard_that_cannot_be(tmp_path, shard):
    for function in (read_manifest, count_lines):
        with pytest.raises(CosyError, match="There is no shard"):
            function(tmp_path / "absent", *shard)


def test_unreadable_manifest(tmp_path):
    for path in (tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(CosyError, match="Cannot read the manifest"):
            count_lines(path)
        with pytest.raises(CosyError, match="Cannot read the manifest"):
            next(read_manifest(path))


@pytest.mark.slow
def test_manifest_of_any_length_takes_no_memory(tmp_path):
    path = tmp_path / "manifest.jsonl"
    with path.open("w") as file:
        file.writelines(json.dumps(GOOD | {"key": f"line-{i}"}) + "\n" for i in range(200_000))
    lines = read_manifest(path)
    assert sum(isinstance(line, Line) for line in islice(lines, 180_000)) == 180_000
    tracemalloc.start()  # only now: it makes reading three times slower
    try:
        assert sum(isinstance(line, Line) for line in lines) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_manifest_of_the_repository():
    lines = list(read_manifest(REPOSITORY / "tests/data/manifest.jsonl"))
    assert len(lines) == 200 and all(isinstance(line, Line) and line.request.recording.is_file() for line in lines)
    assert len({line.request.text for line in lines}) == 200
    assert {line.request.way for line in lines} == {"zero-shot", "cross-lingual", "instruct"}
