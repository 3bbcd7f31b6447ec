"""Rows of words: the lexicon whole, and words that nobody ever read."""

import random
import re

import pytest

from recipes.embedded_voice.lists import _SHORT, Lister, made_up
from recipes.embedded_voice.templates import Word, read_lexicon, read_lines
from recipes.embedded_voice.texts import spelled, write_texts


def test_a_seed_gives_its_rows():
    listers = [Lister(seed) for seed in (0, 0, 1)]
    first, again, other = ([lister.sentence() for _ in range(100)] for lister in listers)
    assert first == again and first != other


def test_rows_are_short_and_end():
    for row in (Lister(0).sentence() for _ in range(100)):
        assert re.fullmatch(r"[A-Z][A-Za-z ,'-]*[.!?]", row), row
    assert spelled("Fish, farm spite vans hut am heard.") == "Fish, farm spite vans hut am heard."


def test_every_word_comes_once_before_any_comes_again():
    frequent = set(" ".join(read_lines("frequent.txt")).split())
    lister = Lister(0)
    rows = " ".join(lister.sentence() for _ in range(4000)).lower().replace(",", "")
    words = set(re.findall(r"[a-z'-]+", rows))
    assert {word.lower() for word in frequent} <= words
    lexicon = {word.base for word in read_lexicon()["handle"]} | {word.form("past") for word in read_lexicon()["verb"]}
    assert {word.lower() for word in lexicon if " " not in word} <= words


def test_words_that_hold_sentences_together_follow_each_other_and_others_are_inflected():
    lister = Lister(0)
    words = [re.findall(r"[a-z'-]+", lister.sentence().lower()) for _ in range(500)]
    short = [[word in _SHORT.lower().split() for word in row] for row in words]
    assert sum(a and b and c for row in short for a, b, c in zip(row, row[1:], row[2:], strict=False)) > 50
    frequent = set(" ".join(read_lines("frequent.txt")).split())
    inflected = {Word(word).form("ing") for word in frequent if "'" not in word} - frequent
    assert sum(word in inflected for row in words for word in row) > 50


def test_made_up_words_are_new_and_can_be_said():
    draw = random.Random(0)
    words = [made_up(draw) for _ in range(500)]
    assert len(set(words)) > 480
    assert all(re.search("[aeiouy]", word) and not re.search("[^aeiouy]{8}", word) for word in words)


@pytest.mark.parametrize("rows", [0, 3])
def test_rows_stand_behind_the_sentences(monkeypatch, rows):
    monkeypatch.setattr("recipes.embedded_voice.texts.read_lines", lambda name: read_lines(name)[:2])
    monkeypatch.setattr(Lister, "sentence", lambda self: f"Row {next(numbers)}.")
    numbers = iter(["one", "two", "three"])
    texts = write_texts(8, seed=0, rows=rows)
    assert [text.startswith("Row ") for text in texts] == [False] * (8 - rows) + [True] * rows
