"""Both forms of a set."""

import json

import pytest

from cosy_jax.errors import CosyError
from cosy_jax.evaluate.sets import batch_lines, read_set
from cosy_jax.text.normalise import DEFAULT

LINE = {"key": "a", "text": "Good morning.", "prompt_wav": "p/anna.wav", "prompt_text": "Hello."}


@pytest.fixture
def read(tmp_path):
    def from_lines(*lines):
        path = tmp_path / "set"
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
        return read_set(path, tmp_path)

    return from_lines


def test_both_forms_say_the_same(read, tmp_path):
    (one,) = read({**LINE, "reference": "ref.wav"})
    (other,) = read("a|Hello.|p/anna.wav|Good morning.|ref.wav")
    assert one == other
    assert one.prompt == tmp_path / "p/anna.wav" and one.reference == tmp_path / "ref.wav"
    assert one.wav == "a.wav" and one.speaker == "p/anna.wav"


def test_the_recording_of_the_text_may_be_left_out(read):
    assert [item.reference for item in read("a|Hello.|p.wav|Yes.", "b|Hello.|p.wav|No.|")] == [None, None]


def test_whose_voice_it_is(read):
    items = read({**LINE, "speaker": "Anna"}, {"key": "b", "text": "Hi.", "voice": "ben"}, {"key": "c", "text": "Hi."})
    assert [item.speaker for item in items] == ["Anna", "ben", ""]


def test_lines_to_speak_do_not_depend_on_the_folder(read, tmp_path):
    items = read("", {**LINE, "speaker": "Anna", "reference": "r.wav", "seed": 3, "wav": "sub/x.flac"})
    (line,) = batch_lines(items, DEFAULT)
    assert line.request.recording == (tmp_path / "p/anna.wav").absolute() and line.request.seed == 3
    assert line.wav == "sub/x.flac" and line.request.frontend == DEFAULT


BAD = {
    "twice": ((LINE, {**LINE, "key": "A"}), r"line 2: line 1 has the key 'A' too"),
    "field": (({**LINE, "colour": 1},), r"line 1: Unknown field 'colour'"),
    "three parts": (("a|Hello.|p.wav",), r"line 1: The line is neither a JSON object nor key\|prompt text"),
    "no text": (("a|Hello.|p.wav||r.wav",), r"line 1: The line is neither"),
    "text cut off": (("a|Hello.|p.wav|",), r"line 1: The line is neither"),
    "no words": (({**LINE, "text": "..."},), r"line 1: the text '\.\.\.' has no word"),
    "empty": (("",), "is empty: write a line for each utterance"),
}


@pytest.mark.parametrize(("lines", "sentence"), BAD.values(), ids=BAD)
def test_bad_sets(read, lines, sentence):
    with pytest.raises(CosyError, match=sentence):
        read(*lines)


def test_what_cannot_be_spoken_names_the_line_of_the_set(read):
    with pytest.raises(CosyError, match="^Line 3 of the set: .*prompt_wav or voice: Say in which voice"):
        batch_lines(read(LINE, "", {"key": "b", "text": "Hi."}), DEFAULT)
