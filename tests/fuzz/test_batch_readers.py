"""Mutated manifests and results files."""

import json
import os
import random
from pathlib import Path

import pytest

from cosy_jax.batch.entries import begins_an_entry
from cosy_jax.batch.manifest import BadLine, Line, Reading, count_lines, read_manifest
from cosy_jax.batch.origin import Origin
from cosy_jax.batch.plot import _lengths
from cosy_jax.batch.results import Results
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request
from tests.fuzz.harness import FUZZED, INPUTS, ODD, damaged, fuzz

pytestmark = FUZZED

ORIGIN = Origin("0" * 32, "1" * 32, "2" * 32, "3" * 32)
MANIFEST: list[dict] = [
    {"key": "a", "text": "Good morning.", "prompt_wav": "voice.wav", "prompt_text": "Some words."},
    {"key": "b", "text": "你好。", "voice": "ann", "instruct": "Whisper.", "seed": -3, "speed": 1.5},
    {"key": "c", "text": "One, two.", "voice": "ann", "mode": "zero-shot", "wav": "sub/c.flac"},
]
SPOKEN = {"key": "a", "line": 1, "wav": "a.wav", "text": "Hi.", "seed": 0, "seconds": 1.2, "tokens": 30, "run": 2}
RESULTS = [
    {"key": None, "line": 3, "error": "Not JSON."},
    SPOKEN | {"stages": {"flow": 0.1}, "digests": {**vars(ORIGIN), "audio": "4" * 32}},
    SPOKEN | {"key": "é", "wav": "sub/b.flac", "run": 1, "digests": {"audio": "5" * 32}},
    {"key": "c", "line": 9, "wav": "c.wav", "seconds": 3, "tokens": 75},
]
# What readers stumble over.
VALUES = [
    *ODD,
    *("..", "../a.wav", "/a.wav", "a/../../b.wav", "a.wav", "A.WAV", ".a.wav.part", "a.wav/b.wav", "results.jsonl"),
    *("n" * 300 + ".wav", "d/" * 2500 + "a.wav", "word " * 30_000, "zero-shot", "<|endofprompt|>"),
    *({"audio": "x"}, {"line": "0"}),
]
TOKENS = [
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"NaN", b"1e999"),
    *(b"\\ud800", b"\\u0000", b"null", b"9" * 5000, b"[" * 20_000, b'{"a":' * 20_000, b'{"key": "', b'"key": "b", '),
    *(b"\xed\xa0\x80", b"\xe2\x80\xae", b"\x1b[2J", b" " * 5000, b"x" * 3_000_000, b"\xf0\x9f\x98", b"../"),
]


def mutated(objects: list[dict], dice: random.Random) -> bytes:
    """Lines of JSON objects in which values, names or bytes are others; one in four ends without a newline."""
    objects = [dict(each) for each in dice.choices(objects, k=dice.randint(1, 6))]
    for _ in range(dice.choice((0, 1, 1, 2, 5))):
        changed = dice.choice(objects)
        name = dice.choice(list(changed)) if changed and dice.random() < 0.9 else "more"
        if dice.random() < 0.2:
            changed.pop(name, None)
        else:
            changed[name] = dice.choice(VALUES)
    content = b"\n".join(
        json.dumps(each, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass") for each in objects
    )
    content += b"" if dice.random() < 0.25 else b"\n"
    return damaged(content, dice, TOKENS, (0, 0, 1, 1, 3, 10))


@pytest.mark.parametrize("plain", [None, {"voice": "ann"}], ids=["json", "plain"])
def test_manifests(tmp_path, capsys, plain):
    path = tmp_path / "manifest.jsonl"

    def read(content):
        path.write_bytes(content)
        lines = list(read_manifest(path, reading=Reading(plain=plain)))
        assert count_lines(path) == len(lines)
        for line in lines:
            if isinstance(line, BadLine):
                assert line.error.endswith(".") and len(line.error) < 20_000
            else:
                check_line(line)
        return [{Line: "good lines", BadLine: "bad lines"}[type(line)] for line in lines]

    counts = fuzz("plain text" if plain else "manifest", lambda dice: mutated(MANIFEST, dice), read, capsys)
    assert min(counts["good lines"], counts["bad lines"]) > INPUTS / 10


def check_line(line):
    """It can be spoken into a file below the folder."""
    assert isinstance(line, Line) and line.key.strip() and line.request.whole_text
    assert not Path(line.wav).is_absolute() and ".." not in Path(line.wav).parts
    os.fsencode(line.wav)


def test_results_files(tmp_path, capsys):
    out = tmp_path / "above" / "out"
    out.mkdir(parents=True)
    path, baits = (
        out / "results.jsonl",
        [tmp_path / ".a.wav.part", out.parent / ".a.wav.part", out / ".manifest.jsonl.part"],
    )
    for bait in baits:
        bait.write_bytes(b"RIFF")
    lines = [Line(1, key, Request("Hi.", voice="ann"), f"{key}.wav", ORIGIN) for key in ("a", "é", "c")]

    def read(content):
        path.write_bytes(content)
        (out / ".c.wav.part").write_bytes(b"RIFF")  # of an entry that an earlier version wrote
        (out / "c.wav").unlink(missing_ok=True)
        try:
            with Results(out) as results:
                found = [results.standing(line).name for line in lines]
        except CosyError:
            assert path.read_bytes() == content and not (out / "c.wav").exists()
            raise
        finally:
            assert all(bait.exists() for bait in baits) and set(os.listdir(tmp_path)) == {"above", ".a.wav.part"}
        kept = path.read_bytes()
        assert kept in (content, content + b"\n") or content.startswith(kept) and begins_an_entry(content[len(kept) :])
        with Results(out):
            assert path.read_bytes() == kept  # what was once taken over is taken over again
        _lengths(path)
        return ["taken over", *(f"lines {name.lower()}" for name in found)]

    counts = fuzz("results file", lambda dice: mutated(RESULTS, dice), read, capsys)
    assert min(counts["taken over"], counts["refused"]) > INPUTS / 10 and counts["lines gone"]
