"""Lines that were right once and then silently wrong, or that ended the whole run."""

import json
import tracemalloc

import pytest

from cosy_jax.batch.lines import bounded_lines
from cosy_jax.batch.manifest import BadLine, Line, Reading, check_shard, count_lines, read_manifest
from cosy_jax.batch.results import Results
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request
from cosy_jax.text.normalise import FrontendOptions
from tests.batch.test_manifest import GOOD, SAVED, read, write
from tests.batch.test_results import deliver, entries

TWICE = {
    "text": b'{"key": "b", "text": "Yes.", "text": "No.", "voice": "ann"}',
    "seed": b'{"key": "b", "text": "Yes.", "seed": 1, "voice": "ann", "seed": 1}',
    "speed": b'{"key": "b", "speed": null, "text": "Yes.", "voice": "ann", "speed": 2}',
    "key": b'{"key": "b", "text": "Yes.", "voice": "ann", "k\\u0065y": "c"}',
}


@pytest.mark.parametrize("field", TWICE)
def test_a_field_twice_is_the_lines_error(tmp_path, field):
    bad, good = read(tmp_path, TWICE[field], GOOD)
    assert isinstance(bad, BadLine) and f"The field '{field}' is given 2 times: give it once." in bad.error
    assert isinstance(good, Line)


@pytest.mark.parametrize(
    "pair", [("a", "A"), ("\u00e9", "e\u0301"), ("\u00c9", "e\u0301"), ("stra\u00dfe", "STRASSE"), ("\u2126", "\u03c9")]
)
def test_keys_whose_files_collide_elsewhere(tmp_path, pair):
    first, second = pair
    good, bad = read(tmp_path, SAVED | {"key": first}, SAVED | {"key": second})
    assert isinstance(good, Line) and isinstance(bad, BadLine) and f"The key {second!r} is used before" in bad.error
    good, bad = read(
        tmp_path, SAVED | {"key": "1", "wav": f"{first}.wav"}, SAVED | {"key": "2", "wav": f"{second}.wav"}
    )
    assert isinstance(good, Line) and isinstance(bad, BadLine) and f"The wav '{second}.wav' is used before" in bad.error


LONG = {
    "key": (SAVED | {"key": "k" * 300}, "A file's name has more than 249 bytes"),
    "bytes of a key": (SAVED | {"key": "\u4f60" * 100}, "A file's name has more than 249 bytes"),
    "folder": (SAVED | {"wav": f"{'d' * 300}/a.wav"}, "A file's name has more than 249 bytes"),
    "path": (SAVED | {"wav": f"{'d/' * 3000}a.wav"}, "The field wav has more than 4096 characters"),
    "voice": (SAVED | {"voice": "v" * 5000}, "The field voice has more than 4096 characters"),
    "mode": (SAVED | {"mode": "m" * 900_000}, "The field mode has more than 4096 characters"),
    "field": (SAVED | {"f" * 900_000: 1}, "Unknown field 'ffff"),
    "line": (SAVED | {"text": "word " * 300_000}, "The line has more than 1048576 bytes: split the text."),
}


@pytest.mark.parametrize("case", LONG)
def test_what_is_too_long_is_the_lines_error(tmp_path, case):
    line, message = LONG[case]
    bad, good = read(tmp_path, line, SAVED | {"key": "z"})
    assert isinstance(bad, BadLine) and message in bad.error and len(bad.error) < 1000
    assert isinstance(good, Line) and good.number == 2 and count_lines(tmp_path / "manifest.jsonl") == 2


def test_a_long_text_and_a_name_that_just_fits_are_spoken(tmp_path):
    long, key = SAVED | {"text": "word " * 200_000}, "k" * 245
    found = read(tmp_path, long, SAVED | {"key": key})
    assert [type(line) for line in found] == [Line, Line]
    with Results(tmp_path / "out") as results:
        assert deliver(results, key).error == ""
    assert (tmp_path / "out" / f"{key}.wav").is_file()


def test_a_path_that_no_file_system_takes_is_one_lines_error(tmp_path):
    with Results(tmp_path) as results:
        assert "Cannot" in deliver(results, "a", "d" * 300 + "/a.wav").error
        assert "Cannot" in deliver(results, "b", "d/" * 2500 + "a.wav").error
        assert deliver(results, "c").error == ""


def test_a_line_without_end_takes_no_memory(tmp_path):
    path = tmp_path / "manifest.jsonl"
    with path.open("wb") as file:
        file.truncate(200_000_000)
        file.seek(0, 2)
        file.write(b"\n" + json.dumps(SAVED).encode())
    tracemalloc.start()
    try:
        bad, good = read_manifest(path)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()
    assert isinstance(bad, BadLine) and isinstance(good, Line)


def test_bounded_lines(tmp_path):
    path = tmp_path / "lines"
    for content, expected in (
        (b"", []),
        (b"abc\n\nd", [b"abc\n", b"\n", b"d"]),
        (b"abcd\n", [None]),
        (b"abcde" * 3 + b"\nab\n" + b"x" * 9, [None, b"ab\n", None]),
        (b"abcdefgh\nab", [None, b"ab"]),
    ):
        path.write_bytes(content)
        with path.open("rb") as file:
            assert list(bounded_lines(file, 5)) == expected, content


@pytest.mark.parametrize("shards", [10**6 + 1, 10**30])
def test_more_shards_than_anybody_has(shards):
    with pytest.raises(CosyError, match="cannot be split into .* make at most 1000000"):
        check_shard(shards, 0)


def test_the_results_file_holds_nothing_that_a_terminal_obeys(tmp_path):
    key = "a\x1b[31m\x9b\u202e"
    with Results(tmp_path) as results:
        deliver(results, key)
    assert (tmp_path / "results.jsonl").read_text(encoding="utf-8").strip().isprintable()
    assert entries(tmp_path)[0]["key"] == key and (tmp_path / f"{key}.wav").is_file()


VOICE = {"voice": "ann", "seed": 7}


def test_plain_text(tmp_path):
    path = write(tmp_path, b"\xef\xbb\xbfGood morning.\r", b"", b"  Good evening. ", b"?!", b"\xff", b"a\0b")
    frontend = FrontendOptions(enabled=False)
    first, second, *bad = read_manifest(path, reading=Reading(frontend=frontend, plain=VOICE))
    assert first == Line(1, "000001", Request("Good morning.", frontend=frontend, **VOICE), "000001.wav")
    assert (second.number, second.key, second.request.text) == (3, "000003", "Good evening.")
    assert [(line.number, line.key) for line in bad] == [(4, None), (5, None), (6, None)]
    for line, message in zip(bad, ("no letter or digit", "not UTF-8", "NUL"), strict=True):
        assert message in line.error
    assert count_lines(path) == 5


def test_plain_text_in_shards(tmp_path):
    path = write(tmp_path, *[b"One.", b"Two.", b"Three."])
    found = [[line.key for line in read_manifest(path, 2, index, Reading(plain=VOICE))] for index in range(2)]
    assert found == [["000001", "000003"], ["000002"]]
