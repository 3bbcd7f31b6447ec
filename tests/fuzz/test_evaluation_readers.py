"""Mutated sets and results of evaluations."""

import json

import pytest

from cosy_jax.evaluate.html import to_html
from cosy_jax.evaluate.judgements import NAME, Judgements
from cosy_jax.evaluate.sets import read_set
from cosy_jax.evaluate.summary import summarise
from cosy_jax.evaluate.tables import overview, remarks
from tests.evaluate.test_judgements import FOUND, ONE
from tests.fuzz.harness import FUZZED, INPUTS, damaged, fuzz
from tests.fuzz.test_batch_readers import MANIFEST, TOKENS, mutated

pytestmark = FUZZED

SET = [{**line, "reference": "r.wav", "speaker": "ann"} for line in MANIFEST]
META = b"a|Some words.|voice.wav|Good morning.|r.wav\nb|Some words.|voice.wav|Good evening.\n"
JUDGED = [
    ONE,
    {**ONE, "key": "b", "similarity": 0.5, "nearest": "ann", "reference": {**FOUND, "wav": "r.wav"}},
    {**ONE, "key": "c", "dnsmos": {"signal": 3.0, "background": 4.0, "overall": 3.5}},
    {"key": "d", "text": "Hi.", "speaker": "", "wav": "d.wav", "inputs": "", "error": "No recording."},
]


@pytest.mark.parametrize("form", ["manifest", "meta"])
def test_sets(tmp_path, capsys, form):
    path = tmp_path / "set"

    def read(content):
        path.write_bytes(content)
        items = read_set(path, tmp_path)
        assert items and len({item.key for item in items}) == len(items)
        json.dumps([dict(item.fields) for item in items])
        return ["read"]

    def written(dice):
        return mutated(SET, dice) if form == "manifest" else damaged(META, dice, [*TOKENS, b"|"], (0, 1, 1, 3, 10))

    counts = fuzz(f"set as {form}", written, read, capsys)
    assert min(counts["read"], counts["refused"]) > INPUTS / 20


def test_results(tmp_path, capsys):
    path = tmp_path / NAME

    def read(content):
        path.write_bytes(content)
        with Judgements(tmp_path) as kept:
            assert path.read_bytes() == content
            known = [found for key in "abcd" if (found := kept.of(key, "1"))]
            kept.settle(known)
        summary = {**summarise(known), "speaker_model": "any"}
        overview(summary), remarks(summary), json.dumps(summary, allow_nan=False)
        to_html(summary, known, 4, lambda judgement: "").encode(errors="backslashreplace")
        return ["read", *("known" for _ in known)]

    counts = fuzz("results of an evaluation", lambda dice: mutated(JUDGED, dice), read, capsys)
    assert min(counts["known"], counts["refused"]) > INPUTS / 10
