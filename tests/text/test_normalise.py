import json
import sys
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosy_jax.errors import CosyError
from cosy_jax.parity.checks.text import check_text_frontend
from cosy_jax.text import normalise as module
from cosy_jax.text.normalise import DEFAULT, REFERENCE, FrontendOptions, NoWetextWarning, find_language, normalise
from cosy_jax.text.special_tokens import EXTRA_TOKENS
from tests.reference import REPOSITORY, reference_dir, requires_reference

DUMP = REPOSITORY / "tests" / "data" / "dumps" / "text_frontend.json"
RECORDED = json.loads(DUMP.read_text(encoding="utf-8"))["cases"]


@pytest.fixture
def without_wetext(monkeypatch):
    monkeypatch.setitem(sys.modules, "wetext", None)
    module._wetext_class.cache_clear()
    yield
    module._wetext_class.cache_clear()


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["text"][:20])
def test_recorded_texts_equal_the_references(case):
    assert normalise(case["text"], REFERENCE) == case["joined"]


@requires_reference
def test_recorded_copy_is_current():
    assert (reference_dir() / "dumps" / "text_frontend.json").read_bytes() == DUMP.read_bytes()


@pytest.mark.slow
def test_default_differs_where_the_reference_harms():
    changed = [normalise(case["text"]) for case in RECORDED if normalise(case["text"]) != case["joined"]]
    assert len(changed) == 4
    assert "forty two and one thousand should" in changed[0]
    assert changed[1] == 'Room one hundred and one. Call nine hundred and eleven! "Now," he said: go; stop? Yes.'
    assert "forty two and one thousand should" in changed[2]
    assert changed[3].startswith("first second third nineteen nineties five kilograms")


@pytest.mark.parametrize(
    "text",
    [
        "Schöne Grüße, 3 Äpfel kosten 5,50 €.",
        "Ça coûte 5 €, n'est-ce pas, élève n° 3 ?",
        "¿Donde hay 5 libros?",
        "El niño tiene 3 años.",
        "こんにちは、2026年は 3.14 ですか。",
        "カタカナ5",
        "안녕하세요, 3월 漢字입니다.",
        "Привет, 7 раз - да.",
        "Cafe\u0301 5",
        "สวัสดี 5",
    ],
)
def test_other_languages_keep_every_character(text):
    assert find_language(text) == "other"
    assert normalise(f" {text}\n") == text


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("“It’s 5°C” – she said… 😀❤️", "en"),
        ("[j][ǐ] reads well", "en"),
        ("42", "en"),
        ("鲜の每日花了5元", "zh"),
        ("我爱 café", "zh"),
        ("東京へ行きます", "other"),
    ],
)
def test_language(text, language):
    assert find_language(text) == language


@pytest.mark.parametrize("text", ["Äpfel", "こんにちは", "42"])
def test_reference_knows_two_languages(text):
    assert find_language(text, REFERENCE) == "en"
    assert find_language(f"{text}东", REFERENCE) == "zh"


def test_language_can_be_given():
    german = "Das kostet 5 Mark."
    assert normalise(german) == "Das kostet five Mark."
    assert normalise(german, FrontendOptions(language="other")) == german
    assert normalise("5 Mark", FrontendOptions(language="zh")) == "五Mark"


def test_switched_off():
    assert normalise(" 5 \n", FrontendOptions(enabled=False)) == " 5 \n"
    assert normalise("") == ""


@pytest.mark.parametrize("text", ["5 kg {} 7 kg", "我有5个{}（好）", "Grüße 5 {}"])
def test_tags_are_untouched(text):
    assert all(normalise(text.format(token)).count(token) == 1 for token in EXTRA_TOKENS)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        (
            "[breath]5 kg <strong>3 dollars</strong> [AA0][B]",
            "[breath]five kilograms <strong>three dollars</strong> [AA0][B]",
        ),
        ("你好[AA0] [j][ǐ] 5kg[laughter]", "你好[AA0] [j][ǐ]五千克[laughter]"),
    ],
)
def test_text_between_tags_is_normalised(text, spoken):
    assert normalise(text) == spoken


@pytest.mark.parametrize(
    ("text", "spoken", "reference", "option"),
    [
        ("你[AA0]", "你[AA0]", "你[AA零]", "keep_tags"),
        ("3 Äpfel", "3 Äpfel", "three Äpfel", "keep_other_languages"),
        ('"5" \\ so', '"five" \\ so', '\\"five\\" \\\\ so', "unescape"),
        ('你"5"', '你"五"', '你\\"五\\"', "unescape"),
        ("42", "forty two", "四十二", "mend_english_numbers"),
        ("x² y", "x² y", "xzero y", "mend_english_numbers"),
        (
            "the 1920s",
            "the nineteen twenties",
            "the one thousand nine hundred and twenty seconds",
            "mend_english_numbers",
        ),
        ("1900s, 2000s", "nineteen hundreds, two thousands", None, "mend_english_numbers"),
        ("in 2010s", "in twenty tens", None, "mend_english_numbers"),
        ("$1,000 or 1,500", "one thousand dollars or one thousand five hundred", None, "mend_english_numbers"),
        ("21,000 and 1,001", "twenty one thousand and one thousand and one", None, "mend_english_numbers"),
    ],
)
def test_options(text, spoken, reference, option):
    assert normalise(text) == spoken
    assert normalise(text, FrontendOptions(**{option: False})) != spoken
    if reference is not None:
        assert normalise(text, FrontendOptions(**{option: False})) == reference
        assert normalise(text, REFERENCE) == reference


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("5€ and 12 apples", "five€ and twelve apples"),
        ("one  line\r\nand 2", "one line and two"),
        ("a +5. It is $3.50 here.", "a +five. It is three point five dollars here."),
        ("9" * 37 + "€", ", ".join(["nine"] * 37) + "€"),
    ],
)
@pytest.mark.parametrize("options", [DEFAULT, REFERENCE])
def test_what_wetext_refuses_is_read_in_parts(text, spoken, options):
    assert normalise(text, options) == spoken


@pytest.mark.slow
def test_long_texts_are_read_in_parts():
    assert normalise("It is 5 kg. " * 500) == ("It is five kilograms. " * 500).strip()
    assert normalise("价格是5元。" * 1000) == "价格是五元。" * 1000


def test_chinese_rules():
    assert normalise("我 （爱） 【你】`x` - a - b.\n好²³——吗，、") == "我爱你x，a，b。好平方立方 吗。"


@given(st.text(st.characters(exclude_categories=("Cs", "Nd", "No", "Nl", "Cc"), exclude_characters="%°@#&")))
def test_letters_survive(text):
    spoken = normalise(text)
    kept = [char for char in text if char.isalpha() and not char.isascii()]
    assert [char for char in spoken if char in kept] == kept


@given(st.text(max_size=40))
def test_any_text_is_accepted_under_both_settings(text):
    for options in (DEFAULT, REFERENCE):
        assert normalise(text, options).strip() or not any(map(str.isalnum, text))


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("1,234.5 apples, 3.14.", "one thousand, two hundred and thirty-four point five apples, three point one four."),
        ("the 1990s", "the nineteen nineties"),
        ("我有 3.14 元.", "我有3.14元。"),
        ("3 Äpfel", "3 Äpfel"),
    ],
)
def test_without_wetext(text, spoken, without_wetext):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoWetextWarning)
        assert normalise(text) == spoken


def test_points_without_wetext_in_the_reference(without_wetext):
    with pytest.warns(NoWetextWarning):
        assert normalise("1,000 and 3.14", REFERENCE) == "one,zero and three.fourteen"
    assert normalise("我有3.14元", REFERENCE) == "我有3。14元"
    assert normalise("我有3.14元", FrontendOptions(keep_decimals=False)) == "我有3。14元"


def test_one_notice_without_wetext(without_wetext):
    with pytest.warns(NoWetextWarning, match=r"pip install 'cosy_jax\[text\]'") as caught:
        for _ in range(3):
            normalise("Room 101")
    assert len(caught) == 1


def test_options_are_checked():
    with pytest.raises(CosyError, match="'de' is not known: use zh, en or other"):
        FrontendOptions(language="de")
    with pytest.raises(CosyError, match="limit 10 is too small"):
        FrontendOptions(limit=10)


def test_parity_check(synthesizer):
    checks = check_text_frontend(synthesizer, DUMP)
    assert [(check.ok, check.note) for check in checks] == [(True, "23 of 23 texts equal")] * 2


def test_parity_check_without_wetext(synthesizer, without_wetext):
    with pytest.warns(NoWetextWarning):
        checks = check_text_frontend(synthesizer, DUMP)
    assert [(check.ok, check.note) for check in checks] == [
        (True, "16 of 16 texts equal, 7 left out for want of wetext")
    ] * 2


def test_parity_check_fails_for_one_wrong_text(synthesizer, tmp_path):
    cases = [{"text": "Hello", "split": ["Hello."], "joined": "Hello!"}]
    (tmp_path / "text_frontend.json").write_text(json.dumps({"cases": cases}))
    assert [check.ok for check in check_text_frontend(synthesizer, tmp_path / "text_frontend.json")] == [True, False]
