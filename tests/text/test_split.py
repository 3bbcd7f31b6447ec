import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosy_jax.text.normalise import REFERENCE, FrontendOptions
from cosy_jax.text.special_tokens import EXTRA_TOKENS
from cosy_jax.text.split import segment_text, split
from cosy_jax.text.tokenizer import TextTokenizer
from tests.reference import REPOSITORY

DUMP = REPOSITORY / "tests" / "data" / "dumps" / "text_frontend.json"
RECORDED = json.loads(DUMP.read_text(encoding="utf-8"))["cases"]
TOKENIZER = TextTokenizer.load(REPOSITORY / "tests" / "data" / "tiny" / "tokenizer")

languages = st.sampled_from(["zh", "en", "other"])
marks = st.sampled_from(
    ["こ", "한", "我", ".", "!", "。", "、", "，", ", ", " ", '."', "。”", "3.14", "[laughter]", "<strong>", "\n"]
)
texts = st.lists(st.one_of(st.text(max_size=40), marks), max_size=40).map("".join)


def words(text):
    return len(text.split())


def spoken(text):
    return [char for char in text if unicodedata.category(char)[0] in "LN"]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["text"][:20])
def test_recorded_texts_equal_the_references(case):
    assert segment_text(case["text"], TOKENIZER, REFERENCE) == case["split"]
    language = "zh" if any("\u4e00" <= char <= "\u9fff" for char in case["text"]) else "en"
    if "<|" not in case["text"]:
        # The limit is out of their reach.
        segments = split(case["joined"], lambda text: len(TOKENIZER.encode(text)), language, limit=120)
        assert segments == case["split"]


def test_nothing_to_speak():
    assert segment_text("", TOKENIZER) == segment_text(" \n", TOKENIZER) == segment_text("...! -- 🙂", TOKENIZER) == []


def test_verbatim_text_is_one_segment():
    text = " Long. " * 100 + "<|endofprompt|>5"
    assert segment_text(text, TOKENIZER) == [text]
    assert segment_text("5. " * 100, TOKENIZER, FrontendOptions(enabled=False)) == ["5. " * 100]


def test_a_segment_ends_once_both_lengths_are_passed():
    sentence = "one two three four five six seven eight nine ten."
    # Six sentences are 60 words, not more than 60; the seventh makes it 70, and the ninth would pass 80.
    assert [words(segment) for segment in split(" ".join([sentence] * 20), words)] == [80, 80, 40]


def test_a_short_tail_joins_the_segment_before():
    sentence = "one two three four five six seven eight nine ten."
    assert [words(segment) for segment in split(" ".join([sentence] * 9), words)] == [90]


@pytest.mark.parametrize(
    ("text", "language", "segments"),
    [
        ('He said "Go." Then left', "en", ['He said "Go." Then left.']),
        ("他说：“走。”然后", "zh", ["他说：“走。”然后。"]),
        ('."Hi"', "en", ['Hi".']),
        ("Wait... what?!", "en", ["Wait. what?"]),
        ("3.14 km", "other", ["3.14 km."]),
        ("日本語です", "other", ["日本語です。"]),
        ("Hello こ", "en", ["Hello こ."]),
        ("「はい。」と言う", "other", ["「はい。」と言う。"]),
        ("🙂🙂", "en", []),
    ],
)
def test_ends(text, language, segments):
    assert split(text, len, language) == segments


def test_decimals_are_not_cut():
    text = "a" * 70 + " 3.14 " + "b" * 30
    assert len(split(text, len, "en", keep_decimals=True)) == 1
    assert len(split(text, len, "en", keep_decimals=False)) == 2


def test_japanese_splits_at_its_own_marks():
    sentence = "今日はとてもいい天気ですね。"
    segments = segment_text(sentence * 20, TOKENIZER)
    assert len(segments) > 2 and all(segment.endswith("。") for segment in segments)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1000,
        "我" * 1000,
        "word " * 500,
        "clause and so on, " * 100,
        "สวัสดี" * 200,
        "👩‍👧" * 200,
        "[laughter]你" * 100,
    ],
)
def test_text_without_marks_obeys_the_limit(text):
    options = FrontendOptions()
    segments = segment_text(text, TOKENIZER, options)
    chinese = "我" in text or "你" in text
    lengths = [len(segment) if chinese else len(TOKENIZER.encode(segment)) for segment in segments]
    assert all(length <= options.limit for length in lengths) and len(segments) >= bool(spoken(text))
    assert spoken("".join(segments)) == spoken(text)


def test_the_limit_cuts_at_commas_then_blanks():
    pieces = split("one two three four, " * 30, words, limit=80)
    assert all(piece.rstrip().endswith(",") for piece in pieces[:-1])
    assert all(set(piece.split()) == {"to"} for piece in split("to " * 199 + "to", words, limit=80)[:-1])


@given(st.lists(st.sampled_from([*EXTRA_TOKENS, "a", "我"]), min_size=50, max_size=200), languages)
def test_the_limit_never_cuts_a_tag(parts, language):
    segments = split("".join(parts), len, language, limit=80)
    assert "".join(segments).rstrip("。.") == "".join(parts)
    # A cut tag would leave half a bracket.
    assert all(segment.count(a) == segment.count(b) for segment in segments for a, b in ("[]", "<>"))


@pytest.mark.slow
@given(texts, languages)
def test_no_letter_or_digit_is_lost(text, language):
    assert spoken("".join(split(text, len, language, limit=80))) == spoken(text)


@given(texts, languages)
def test_segments_obey_the_limit(text, language):
    assert all(len(segment) <= 80 for segment in split(text, len, language, limit=80))
