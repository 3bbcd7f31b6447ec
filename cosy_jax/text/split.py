"""Text in segments of a length the model speaks well.

Source: split_paragraph in cosyvoice/utils/frontend_utils.py. The lengths are characters in Chinese, tokens elsewhere.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from cosy_jax.text.normalise import (
    DEFAULT,
    FrontendOptions,
    Language,
    find_language,
    is_verbatim,
    normalise,
)
from cosy_jax.text.tokenizer import TextTokenizer

# A segment ends where the next sentence would make it longer than LONGEST, if it is longer than SHORTEST already;
# a last one below TAIL joins the one before.
LONGEST, SHORTEST, TAIL = 80, 60, 20


@dataclass(frozen=True)
class _Rules:
    """Marks that end a sentence, quotes that may follow one, and the mark a text without end gets."""

    ends: str
    quotes: str
    stop: str


_RULES: dict[Language, _Rules] = {
    "zh": _Rules("。？！；：、.?!;", '"”', "。"),
    "en": _Rules(".?!;:", '"”', "."),
    "other": _Rules(".?!;:。？！；：؟؛।", '"”’»」』', "."),
}
_COMMAS = "，,、،"
# No tag is longer than twenty characters; without a bound, one stray pair of brackets could hold a whole text.
_TAG = re.compile(r"\[[^\[\]\s]{1,20}\]|<[^<>\s]{1,20}>")


def segment_text(text: str, tokenizer: TextTokenizer, options: FrontendOptions = DEFAULT) -> list[str]:
    """The segments to speak: normalised and split; text_normalize(split=True) in the reference.

    A text with `<|...|>` is returned as it is. One without a letter or digit gives no segment.
    """
    if is_verbatim(text, options):
        return [text]
    return split(
        normalise(text, options),
        lambda segment: len(tokenizer.encode(segment)),
        find_language(text, options),
        limit=options.limit,
        keep_decimals=options.keep_decimals,
    )


def split(
    text: str,
    count_tokens: Callable[[str], int],
    language: Language = "en",
    limit: int | None = None,
    keep_decimals: bool = True,
) -> list[str]:
    """Segments of whole sentences, about LONGEST long, and none longer than `limit`.

    A full stop is added to a text that ends without one. `keep_decimals`: a mark between two digits ends nothing.
    Segments of only punctuation, symbols and blanks are dropped (the reference speaks those with a blank).
    """
    if not text.strip():
        return []
    length = len if language == "zh" else count_tokens
    rules = _RULES[language]
    segments = _merged(_sentences(_ended(text, rules), rules, keep_decimals), length)
    pieces = segments if limit is None else [piece for segment in segments for piece in _within(segment, length, limit)]
    return [piece for piece in pieces if not _is_punctuation(piece)]


def _ended(text: str, rules: _Rules) -> str:
    if text[-1] in rules.ends:
        return text
    japanese = unicodedata.name(text[-1], "").startswith(("HIRAGANA", "KATAKANA", "CJK"))
    return text + ("。" if japanese and "。" in rules.ends else rules.stop)


def _sentences(text: str, rules: _Rules, keep_decimals: bool) -> list[str]:
    """The text cut behind each end mark; marks that follow one another are dropped, the first excepted."""
    sentences: list[str] = []
    start = 0
    for index, char in enumerate(text):
        following = text[index + 1 : index + 2]
        within_number = keep_decimals and following.isdecimal() and text[index - 1 : index].isdecimal()
        if char not in rules.ends or within_number:
            continue
        if index > start:
            sentences.append(text[start : index + 1])
        start = index + 1
        if following and following in rules.quotes:
            start += 1
            if sentences:
                sentences[-1] += following
    return sentences


def _merged(sentences: list[str], length: Callable[[str], int]) -> list[str]:
    segments: list[str] = []
    current = ""
    for sentence in sentences:
        if length(current + sentence) > LONGEST and length(current) > SHORTEST:
            segments.append(current)
            current = ""
        current += sentence
    if current and segments and length(current) < TAIL:
        segments[-1] += current
    elif current:
        segments.append(current)
    return segments


def _within(text: str, length: Callable[[str], int], limit: int) -> list[str]:
    """Pieces within the limit: halved at the comma, else blank, else any place next to the middle."""
    if length(text) <= limit or not (cut := _best_cut(text)):
        return [text]
    return [piece for half in (text[:cut], text[cut:]) for piece in _within(half, length, limit)]


def _best_cut(text: str) -> int:
    """Where to halve; 0 where no place is left."""
    inside = {place for found in _TAG.finditer(text) for place in range(found.start() + 1, found.end())}
    places = [place for place in range(1, len(text)) if place not in inside and not _continues(text, place)]
    # Outside the middle half a comma or blank would leave a scrap.
    middle = [place for place in places if len(text) <= 4 * place <= 3 * len(text)]
    commas = [place for place in middle if text[place - 1] in _COMMAS]
    blanks = [place for place in middle if text[place].isspace()]
    return min(commas or blanks or places, key=lambda place: abs(2 * place - len(text)), default=0)


def _continues(text: str, place: int) -> bool:
    """True where the character belongs to the one before it: accents, vowel signs, parts of an emoji."""
    joiner = "\u200d"
    return unicodedata.category(text[place])[0] == "M" or joiner in text[place - 1 : place + 1]


def _is_punctuation(text: str) -> bool:
    return all(char.isspace() or unicodedata.category(char)[0] in "PS" for char in text)
