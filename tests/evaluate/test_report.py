"""Figures of a set, its table and its page."""

import io
import re

import numpy as np
import pytest
from matplotlib.image import imread

from cosy_jax.evaluate import tables
from cosy_jax.evaluate.html import to_html
from cosy_jax.evaluate.pictures import grey_png, mel_png, waveform_svg
from cosy_jax.evaluate.summary import summarise, worst_first
from tests.compare.signals import RATE, voice


def counts(wrong, length):
    return {"substitutions": wrong, "deletions": 0, "insertions": 0, "length": length}


def judged(key, speaker, wrong, length=10, **figures):
    heard = " ".join(["word"] * (length - wrong) + ["<b>"] * wrong)
    return {
        **{"key": key, "text": " ".join(["word"] * length), "speaker": speaker, "wav": f"sub dir/{key}.wav"},
        **{"heard": heard, "words": counts(wrong, length), "characters": counts(wrong, 5 * length), "seconds": 2.0},
        **{"head_silence": 0.1, "tail_silence": 0.2, "clipped": 0, "peak_db": -3.0, "rms_db": -20.0},
        **{"f0_median": 100.0, "f0_spread": 2.0, "voiced": 0.5, "similarity": 0.9, "nearest": speaker, **figures},
    }


FAILED = {"key": "z", "text": "word", "speaker": "ben", "wav": "z.wav", "error": "No <recording>."}
TEACHER = {"words": counts(1, 10), "characters": counts(1, 50), "seconds": 2.5, "f0_median": 102.0, "heard": "word"}
SET = [
    judged("a", "anna", 1, reference={**TEACHER, "wav": "../t.wav"}),
    judged("b", "ben", 6, length=20, nearest="anna"),
    FAILED,
]


def test_rates_are_over_all_words():
    figures = summarise(SET)["all"]
    assert figures["word_error_rate"] == pytest.approx(7 / 30, abs=1e-5)
    assert figures["mean_word_error_rate"] == pytest.approx(0.2)
    assert figures["utterances"] == 3 and figures["failed"] == 1
    assert figures["words_a_second"] == pytest.approx(30 / 4)
    assert figures["nearest_speaker_right"] == 0.5 and figures["similarity"] == 0.9


def test_speakers_and_their_reference():
    found = summarise(SET)["speakers"]
    assert found["anna"]["word_error_rate"] == 0.1 and found["ben"]["word_error_rate"] == 0.3
    reference = found["anna"]["reference"]
    assert reference["duration_ratio"] == 0.8 and reference["duration_within_15_percent"] == 0
    assert reference["f0_ratio"] == pytest.approx(100 / 102, abs=1e-5) and reference["f0_within_5_percent"] == 1
    assert found["ben"]["reference"] is None


def test_a_set_without_figures():
    figures = summarise([FAILED])["all"]
    assert figures["word_error_rate"] is None and figures["failed"] == 1
    assert summarise([])["all"]["utterances"] == 0


def test_worst_first():
    assert [one["key"] for one in worst_first(SET)] == ["z", "b", "a"]


def test_the_table_fits_a_terminal_and_leaves_out_what_is_unknown():
    summary = {**summarise(SET), "speaker_model": "a model"}
    table = tables.overview(summary)
    assert [row[0] for row in table.rows] == ["anna", "ben", "all"]
    assert "MOS" not in table.header and "ref %" in table.header
    assert table.rows[-1][:4] == ("all", "3", "23.3", "4.7")
    assert any("1 of 3 utterances have no figures" in line for line in tables.remarks(summary))


def test_many_speakers_are_one_row():
    many = [judged(f"u{index}", f"prompt {index}", 0) for index in range(30)]
    assert len(tables.overview(summarise(many)).rows) == 1


def test_the_page():
    summary = {**summarise(SET), "speaker_model": "a model"}
    page = to_html(summary, SET, 4, lambda judgement: f"<p>picture {judgement['key']}</p>")
    assert "3 of 4 utterances are judged so far." in page
    assert re.findall("<h3>(.)</h3>", page) == ["z", "b", "a"]
    assert 'src="sub%20dir/a.wav"' in page and 'src="../t.wav"' in page
    assert "No &lt;recording&gt;." in page and "<mark>b</mark>" in page and "<b>" not in page
    assert "picture a" in page and "nearer to anna" in page
    assert not re.search(r'(src|href)="(https?:)?//', page)


def test_pictures_are_what_they_show():
    pixels = np.random.default_rng(0).integers(0, 256, (80, 33), np.uint8)
    assert np.array_equal(np.round(imread(io.BytesIO(grey_png(pixels))) * 255), pixels)
    low = imread(io.BytesIO(mel_png(voice(100, 1.0), RATE)))
    assert low.shape == (80, 50) and low[-20:].mean() < low[:20].mean()  # dark below
    points = re.findall(r"(\d+),([\d.]+)", waveform_svg(np.array([0.0, 1.0, -1.0])))
    assert [float(value) for _, value in points] == [30, 0, 60, 60, 0, 30]
