import pytest

from cosy_jax.errors import CosyError
from cosy_jax.text.check import SYSTEM_PREFIX, check_text, has_speakable, with_prefix


def test_prefix_is_added_once():
    text, added = with_prefix("Hello there.")
    assert (text, added) == ("You are a helpful assistant.<|endofprompt|>Hello there.", True)
    assert with_prefix(text) == (text, False)


def test_own_instruction_is_kept():
    text = "You are a helpful assistant. Speak softly.<|endofprompt|>Hello."
    assert with_prefix(text) == (text, False)


@pytest.mark.parametrize(
    "text", ["a", "你", "한", "3", "٣", "Ⅳ", "[AA0]", "[j][ǐ]", "[laughter]ha", "<strong>no</strong>", "[hello]", "हि"]
)
def test_speakable(text):
    assert has_speakable(text)
    check_text(text)


@pytest.mark.parametrize(
    "text", ["...!?", "。，", "[laughter]", "<|im_start|>", "<|anything|>", "<strong></strong> -", "🙂", SYSTEM_PREFIX]
)
def test_not_speakable(text):
    assert not has_speakable(text)
    with pytest.raises(CosyError, match="no letter or digit"):
        check_text(text)


@pytest.mark.parametrize("text", ["", " \n\t\u3000"])
def test_empty(text):
    with pytest.raises(CosyError, match="is empty"):
        check_text(text)


def test_long_text_is_shortened_in_the_message():
    with pytest.raises(CosyError) as caught:
        check_text("!" * 1000)
    assert len(str(caught.value)) < 150
