"""The sentences of the embedded voice: the same for a seed, each once, none of them held out."""

import re

import pytest

from cosy_jax.errors import CosyError
from recipes.embedded_voice import templates
from recipes.embedded_voice.templates import Word, Writer, read_lexicon, read_lines, read_templates, starts_with_vowel
from recipes.embedded_voice.texts import EVALUATION, held_out, spelled, write_texts

COUNT = 120


@pytest.fixture(scope="module")
def texts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recipes.embedded_voice.texts.read_lines", shortened)
        return write_texts(COUNT, seed=0)


def shortened(name):
    """Spelling a text out takes some 3 ms."""
    return read_lines(name)[:: 1 if name in EVALUATION else 20]


def bare(text):
    return re.sub(r"[^a-z ]", "", text.lower())


def test_texts_are_distinct_and_spelled_out(texts):
    assert len({bare(text) for text in texts}) == COUNT
    for text in texts:
        assert re.fullmatch(r"[A-Z][A-Za-z ,.:;?!'-]*[.!?]", text), text
        assert len(text.split()) <= 25


def test_a_seed_gives_its_texts(texts):
    writers = [Writer(seed) for seed in (0, 0, 1)]
    first, again, other = ([writer.sentence() for _ in range(100)] for writer in writers)
    assert first == again and first != other


def test_held_out_sentences_are_in_no_training_text(texts):
    sentences = {bare(sentence) for name in EVALUATION for sentence in held_out(name)}
    assert len(sentences) == 150
    assert not sentences & {bare(text) for text in [*texts, *read_lines("phrases.txt")]}


def test_a_held_out_sentence_that_is_drawn_is_left_out(monkeypatch):
    drawn = iter([*read_lines("held_out.txt")[:2], "A new one."])
    monkeypatch.setattr(templates.Writer, "sentence", lambda self: next(drawn))
    monkeypatch.setattr("recipes.embedded_voice.texts.read_lines", shortened)
    count = len(shortened("phrases.txt")) + 1
    assert write_texts(count, seed=0)[-1] == "A new one."


def test_running_out_of_sentences_is_told(monkeypatch):
    monkeypatch.setattr(templates.Writer, "sentence", lambda self: "Hello!")
    monkeypatch.setattr("recipes.embedded_voice.texts.read_lines", lambda name: ["Hello!"])
    with pytest.raises(CosyError, match="ask for fewer"):
        write_texts(2, seed=0)


def test_phrases_are_spoken_as_written():
    """Abbreviations that the front end would spell out ("No." is "Number.") are not for phrases."""
    assert [text for text in shortened("phrases.txt") if spelled(text) != text] == []
    assert "No." not in read_lines("phrases.txt")


def test_lexicon_is_large_and_every_template_can_be_filled():
    lexicon = read_lexicon()
    words = {word for kind in lexicon.values() for entry in kind for word in entry.base.lower().split()}
    assert len(words) > 1500
    asked = {kind for line in read_templates() for kind in re.findall(r"\{(?:a )?(\w+)", line)}
    assert asked <= {*lexicon, *templates._NUMBERS}
    assert set(lexicon) <= asked, "kinds that no template asks for"


@pytest.mark.parametrize(
    ("word", "s", "past", "ing"),
    [
        (Word("carry"), "carries", "carried", "carrying"),
        (Word("play"), "plays", "played", "playing"),
        (Word("push"), "pushes", "pushed", "pushing"),
        (Word("use"), "uses", "used", "using"),
        (Word("agree"), "agrees", "agreed", "agreeing"),
        (Word("tie", ("tied", "tying")), "ties", "tied", "tying"),
        (Word("go home", ("went home", "going home")), "goes home", "went home", "going home"),
    ],
)
def test_forms_of_verbs(word, s, past, ing):
    assert [word.form("s"), word.form("past"), word.form("ing")] == [s, past, ing]


def test_forms_of_nouns():
    assert Word("knife", ("knives",)).form("s") == "knives"
    assert Word("police officer").form("s") == "police officers"
    assert Word("box").form(None) == "box"


@pytest.mark.parametrize("text", ["apple", "honest man", "hour", "8 boats", "18 boats", "umbrella", "F"])
def test_an(text):
    assert starts_with_vowel(text) == (text != "F")


@pytest.mark.parametrize("text", ["house", "uniform", "European", "one", "used car", "80 boats"])
def test_a(text):
    assert starts_with_vowel(text) == (text == "80 boats")
