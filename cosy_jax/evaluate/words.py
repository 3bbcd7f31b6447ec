"""What was said against what was to be said.

The normalisation is that of Seed-TTS-eval (https://github.com/BytedanceSpeech/seed-tts-eval, run_wer.py): small
letters, punctuation and symbols but the apostrophe left out, hyphens too, so that "well-known" is one word; in texts of
Chinese, Japanese or Korean every character is a word. Beyond it, tags such as `[laughter]` are left out, and an
apostrophe is one however it is typed.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cosy_jax.errors import CosyError
from cosy_jax.text.check import spoken_part

_CHARACTERS = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")

Marked = list[tuple[str, bool]]  # words, and whether each differs


@dataclass(frozen=True)
class Errors:
    """How one text differs from another, in words or in characters."""

    substitutions: int
    deletions: int
    insertions: int
    length: int  # of what was to be said

    @property
    def rate(self) -> float:
        """May exceed 1; NaN where nothing was to be said."""
        wrong = self.substitutions + self.deletions + self.insertions
        return wrong / self.length if self.length else float("nan")

    @classmethod
    def total(cls, parts: Iterable["Errors"]) -> "Errors":
        """Of all of them together."""
        columns = [(one.substitutions, one.deletions, one.insertions, one.length) for one in parts]
        return cls(*(sum(column) for column in zip(*columns, strict=True))) if columns else cls(0, 0, 0, 0)


@dataclass(frozen=True)
class Verdict:
    """A text, and what was heard in its place."""

    words: Errors
    characters: Errors
    text: Marked
    heard: Marked


def import_jiwer() -> Any:
    """The package; CosyError where it is not installed."""
    try:
        import jiwer
    except ImportError as error:
        raise CosyError("Error rates need jiwer: pip install 'cosy_jax[evaluate]'.") from error
    return jiwer


def words(text: str) -> list[str]:
    """The words of a text as they are compared, one at least in a text that can be spoken."""
    plain = unicodedata.normalize("NFKC", spoken_part(text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")).lower()
    kept = "".join(char for char in plain if char == "'" or unicodedata.category(char)[0] not in "PS")
    letters = sum(char.isalnum() for char in kept)
    if 2 * len(_CHARACTERS.findall(kept)) > letters:
        return list("".join(kept.split()))
    return kept.split()


def verdict(text: str, heard: str) -> Verdict:
    """What was heard against the text, each as it is written."""
    jiwer = import_jiwer()
    wanted, found = words(text), words(heard)
    by_word = jiwer.process_words(" ".join(wanted), " ".join(found))
    by_character = jiwer.process_characters(" ".join(wanted), " ".join(found))
    text_marks, heard_marks = [True] * len(wanted), [True] * len(found)
    for chunk in by_word.alignments[0]:
        if chunk.type == "equal":
            for marks, first, last in (
                (text_marks, chunk.ref_start_idx, chunk.ref_end_idx),
                (heard_marks, chunk.hyp_start_idx, chunk.hyp_end_idx),
            ):
                marks[first:last] = [False] * (last - first)
    return Verdict(
        _errors(by_word, len(wanted)),
        _errors(by_character, len(" ".join(wanted))),
        list(zip(wanted, text_marks, strict=True)),
        list(zip(found, heard_marks, strict=True)),
    )


def _errors(found: Any, length: int) -> Errors:
    return Errors(found.substitutions, found.deletions, found.insertions, length)
