"""Mutated manifests and results files: whatever is in them, a reader gives a sentence, soon, and in little memory.

COSY_JAX_FUZZ says how many inputs each reader gets; the same number gives the same inputs.
"""

import json
import os
import random
import resource
import signal
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from cosy_jax.batch.entries import begins_an_entry
from cosy_jax.batch.manifest import BadLine, Line, Reading, count_lines, read_manifest
from cosy_jax.batch.origin import Origin
from cosy_jax.batch.plot import _lengths
from cosy_jax.batch.results import Results
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request

INPUTS = int(os.environ.get("COSY_JAX_FUZZ", "1000"))
MOST_SECONDS, MOST_BYTES = 2, 512 * 2**20
HANGS_AFTER = 60  # seconds of waiting, which takes no processor time

ORIGIN = Origin("0" * 32, "1" * 32, "2" * 32, "3" * 32)
MANIFEST = [
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
    *(None, True, 0, -1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *(
        "",
        " ",
        "\0",
        "\ud800",
        "é",
        "e\u0301",
        "\x1b[31m",
        "a\nb",
        "..",
        "../..",
        "../a.wav",
        "/a.wav",
        "a/../../b.wav",
    ),
    *("a.wav", "A.WAV", ".a.wav.part", "a.wav/b.wav", "n" * 300 + ".wav", "d/" * 2500 + "a.wav", "results.jsonl"),
    *(
        "x" * 5000,
        "word " * 30_000,
        [],
        {},
        ["a"],
        {"a": "b"},
        {"audio": "x"},
        {"line": "0"},
        "zero-shot",
        "<|endofprompt|>",
    ),
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
    for _ in range(dice.choice((0, 0, 1, 1, 3, 10))):
        content = with_other_bytes(content, dice)
    return content


def with_other_bytes(content: bytes, dice: random.Random) -> bytes:
    """One stretch cut out, doubled or put elsewhere, one byte another, a token put in, or the end cut off."""
    first, last = sorted((dice.randint(0, len(content)), dice.randint(0, len(content))))
    kind = dice.randrange(6)
    if kind == 0:
        return content[:first] + content[min(last, first + dice.randint(1, 8)) :]
    if kind == 1:
        return content[:last] + content[first:last][:100_000] + content[last:]
    if kind == 2 and content:
        where = min(first, len(content) - 1)
        return content[:where] + bytes([dice.randrange(256)]) + content[where + 1 :]
    if kind == 3:
        return content[:first]
    if kind == 4:
        return content[first:last] + content[:first] + content[last:]
    return content[:first] + dice.choice(TOKENS) + content[first:]


@contextmanager
def bounds():
    """Little more memory than there is now, and an end to waiting."""

    def give_up(*_):
        raise TimeoutError("the reader waits for something")

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGALRM, give_up)
    resource.setrlimit(resource.RLIMIT_AS, (size + MOST_BYTES, before[1]))
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGALRM, handler)


def fuzz(name, objects, read, capsys):
    """Reads `INPUTS` mutated files; `read` gives what became of each, to be counted."""
    dice, counts, longest = random.Random(name), Counter(), 0.0
    with bounds():
        for number in range(INPUTS):
            content = mutated(objects, dice)
            signal.alarm(HANGS_AFTER)
            start = time.process_time()
            try:
                counts.update(read(content))
            except CosyError as error:
                assert str(error).endswith("."), error
                counts["refused"] += 1
            except BaseException as error:
                pytest.fail(f"input {number}: {type(error).__name__} {error} for {content[:2000]!r}")
            longest = max(longest, time.process_time() - start)
            assert longest < MOST_SECONDS, (number, content[:2000])
    with capsys.disabled():
        told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        print(f"\n{name}: {INPUTS} inputs, {told}; at most {longest:.3f} s for one")
    return counts


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory bound is that of Linux")
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

    counts = fuzz("plain text" if plain else "manifest", MANIFEST, read, capsys)
    assert min(counts["good lines"], counts["bad lines"]) > INPUTS / 10


def check_line(line):
    """It can be spoken into a file below the folder."""
    assert isinstance(line, Line) and line.key.strip() and line.request.whole_text
    assert not Path(line.wav).is_absolute() and ".." not in Path(line.wav).parts
    os.fsencode(line.wav)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory bound is that of Linux")
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

    counts = fuzz("results file", RESULTS, read, capsys)
    assert min(counts["taken over"], counts["refused"]) > INPUTS / 10 and counts["lines gone"]
