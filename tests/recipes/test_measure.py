"""Teacher and pupil beside each other: the set, the table, and the page to listen to."""

import json
import re
import shutil

import pytest
import soundfile

from cosy_jax.errors import CosyError
from cosy_jax.evaluate.sets import read_set
from cosy_jax.evaluate.summary import summarise
from cosy_jax.files import write_whole
from recipes.embedded_voice import listen, measure, streamed
from recipes.embedded_voice.speakers import BASE
from tests.compare.signals import RATE, voice

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
TEXTS = ("One two three four.", "Five six & seven eight.", "Nine ten eleven twelve.")


def figures(heard, seconds, f0):
    """A judgement's, of a text of four words of which those that were not heard were left out."""
    words = {"substitutions": 0, "deletions": 4 - len(heard.split()), "insertions": 0, "length": 4}
    names = ("f0_spread", "head_silence", "tail_silence", "clipped", "peak_db")
    return {
        "heard": heard, "words": words, "characters": words, "seconds": seconds, "f0_median": f0,
        **dict.fromkeys(names, 0),
    }  # fmt: skip


def judgement(key, text, speaker, nearest=None, seconds=2.0, heard="one two three"):
    return {
        "key": key, "text": text, "speaker": speaker, "wav": f"speech/{key}.wav", "nearest": nearest or speaker,
        **figures(heard, seconds, 103.0),
        "reference": {**figures("one two three four", 2.0, 100.0), "wav": f"../audio/{key}.wav"},
    }  # fmt: skip


@pytest.fixture
def measured(tmp_path):
    """A folder as `measure` leaves it, of tones."""
    judgements = [
        judgement(f"{index}_{speaker.name}", text, speaker.name) for index, text in enumerate(TEXTS) for speaker in BASE
    ]
    for one in judgements:
        for path in (one["wav"], one["reference"]["wav"]):
            (tmp_path / "judged" / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / "judged" / path, voice(110, 2.0), RATE)
    write_whole(tmp_path / "judged" / "results.jsonl", "\n".join(map(json.dumps, judgements)).encode())
    summary = {**summarise(judgements), "recogniser": "pocketsphinx"}
    write_whole(tmp_path / "judged" / "summary.json", json.dumps(summary).encode())
    return tmp_path


def test_the_table_marks_what_is_missed():
    judgements = [judgement("a", TEXTS[0], "slt"), judgement("b", TEXTS[0], "rms", "slt", 2.4, "one two three four")]
    head, *rows = measure.table(summarise(judgements))
    found = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert list(found) == ["rms", "slt", "all", "wanted"]
    assert found["slt"]["teacher WER %"] == "0.0" and found["slt"]["pupil WER %"] == "25.0"
    assert found["slt"]["difference"] == "+25.0*" and found["rms"]["difference"] == "+0.0"
    assert found["slt"]["voice right %"] == "100.0" and found["rms"]["voice right %"] == "0.0*"
    assert found["slt"]["F0 x teacher"] == "1.030"
    assert found["slt"]["length within 15 %"] == "100.0" and found["rms"]["length within 15 %"] == "0.0*"
    assert found["all"]["length within 15 %"] == "50.0*" and found["wanted"]["difference"] == "<= 8"


def test_a_voice_without_figures_is_told():
    failed = {"key": "a", "text": "One.", "speaker": "slt", "wav": "", "error": "No."}
    rows = measure.table(summarise([failed, judgement("b", TEXTS[0], "rms")]))
    assert rows[2][0] == "slt" and rows[2][2] == "none*"
    unvoiced = judgement("a", TEXTS[0], "slt") | {"f0_median": None}
    head, _, row, *_ = measure.table(summarise([judgement("b", TEXTS[0], "rms"), unvoiced]))
    assert dict(zip(head, row, strict=True))["F0 x teacher"] == "none*"


@needs_flite
def test_the_set_is_one_that_evaluate_reads(tmp_path):
    lines = measure.write_set(tmp_path, ["Good morning to you."])
    items = read_set(lines, tmp_path)
    assert [(item.voice, item.speaker) for item in items] == [(speaker.name, speaker.name) for speaker in BASE]
    for item in items:
        assert 0.5 < soundfile.info(item.reference).duration < 3


def test_the_page_needs_nothing_else(measured, tmp_path):
    out = tmp_path / "docs" / "listen"
    size = listen.write_page(measured, out)
    page = (out / "index.html").read_text()
    players = re.findall(r'<audio [^>]*src="([^"]+)"', page)
    assert len(players) == 16 and players[:2] == ["slt-1-teacher.mp3", "slt-1-pupil.mp3"]
    assert all(soundfile.info(out / name).format == "MP3" for name in players)
    assert size == sum(path.stat().st_size for path in out.iterdir()) < 1e6
    assert "://" not in page and page.count("<svg") == page.count("data:image/png") == 16
    assert "<mark>four</mark>" in page and "seven" in page and "+25.0*" in page


def test_the_sentences_are_those_that_come_next(measured):
    lines = (measured / "judged" / "results.jsonl").read_text().splitlines()
    chosen = listen.choose([json.loads(line) for line in lines])
    texts = [[TEXTS.index(one["text"]) for one in found] for found in chosen.values()]
    assert texts == [[0, 1], [2, 0], [1, 2], [0, 1]]


def test_a_page_has_all_sentences_of_its_voice():
    lines = [{"key": f"{n}_{v}", "text": text, "voice": v} for n, text in enumerate(TEXTS) for v in ("slt", "rms")]
    found = {page["voice"]: page["text"] for page in streamed.pages(lines)}
    assert found == dict.fromkeys(("slt", "rms"), " ".join(TEXTS))


def test_rates_are_those_of_the_voices(measured):
    assert streamed.rates(measured / "judged") == dict.fromkeys(["awb", "kal16", "rms", "slt", "all"], 0.25)
    assert set(streamed.rates(measured / "judged", of_readings=True).values()) == {0.0}


def test_nothing_was_measured(tmp_path):
    with pytest.raises(CosyError, match="has no figures"):
        streamed.rates(tmp_path)
    with pytest.raises(CosyError, match="has no figures: let recipes.embedded_voice.measure write them"):
        listen.write_page(tmp_path, tmp_path / "out")
    with pytest.raises(CosyError, match="No utterance of slt was judged"):
        listen.choose([])
