"""Error rates and what they are taken over."""

import math
import sys

import pytest

from cosy_jax.errors import CosyError
from cosy_jax.evaluate.words import Errors, import_jiwer, verdict, words

NORMALISED = {
    "Good Morning, Anna!": ["good", "morning", "anna"],
    "It\N{RIGHT SINGLE QUOTATION MARK}s Ben's.": ["it's", "ben's"],
    "A well-known [laughter] place": ["a", "wellknown", "place"],
    "Say it.<|endofprompt|>Hello": ["hello"],
    "您看见了吗？": list("您看见了吗"),
    "今日は、よい。": list("今日はよい"),
    "안녕 하세요.": list("안녕하세요"),
    "用 JAX 写的程序很快": list("用jax写的程序很快"),
    "Only one 字 here": ["only", "one", "字", "here"],
}


@pytest.mark.parametrize("text", NORMALISED)
def test_what_is_compared(text):
    assert words(text) == NORMALISED[text]


def test_counts_and_marks():
    found = verdict("The cat sat down, twice.", "so the bat sat twice")
    assert found.words == Errors(substitutions=1, deletions=1, insertions=1, length=5)
    assert found.words.rate == pytest.approx(0.6)
    assert [word for word, differs in found.text if differs] == ["cat", "down"]
    assert [word for word, differs in found.heard if differs] == ["so", "bat"]


def test_characters():
    assert verdict("abcd", "abxd").characters == Errors(1, 0, 0, 4)
    assert verdict("你好吗", "你坏吗").words == Errors(1, 0, 0, 3)


def test_nothing_heard():
    found = verdict("Good morning.", "")
    assert found.words == Errors(0, 2, 0, 2) and found.heard == []


def test_more_heard_than_said_exceeds_one():
    assert verdict("Yes.", "no no no").words.rate == 3


def test_totals_weigh_by_length():
    total = Errors.total([Errors(1, 0, 0, 1), Errors(0, 0, 0, 9)])
    assert total.rate == pytest.approx(0.1)
    assert math.isnan(Errors.total([]).rate)


def test_without_jiwer(monkeypatch):
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(CosyError, match=r"pip install 'cosy_jax\[evaluate\]'"):
        import_jiwer()
