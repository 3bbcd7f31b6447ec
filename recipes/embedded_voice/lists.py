"""Rows of words without a sense: frequent ones, the lexicon's, each as often as any other, and made-up ones.

In the templates' sentences a few hundred words are met a thousand times and most others less than twenty, too few to
learn how each is said; how letters are said that never stood side by side is not learnt at all.
"""

import random

from .templates import Deck, read_lexicon, read_lines

_NOUNS = ("thing", "food", "animal", "job", "plant", "vehicle", "relative", "place", "body", "idea", "distance", "span")
_VERBS = ("handle", "act", "verb")
_FREQUENT, _MADE_UP = 0.45, 0.2  # of the words
_FEWEST, _MOST = 3, 8  # words of a row
_MARKS = (*["."] * 8, "!", "?")

_BEGIN = tuple("b c d f g h j k l m n p r s t v w".split())  # noqa: SIM905
_BEGIN_WORD = _BEGIN + tuple(
    "bl br ch cl cr dr fl fr gl gr kn ph pl pr qu sc sh sk sl sm sn sp st str sw th thr tr tw wh wr y z".split()  # noqa: SIM905
)
_VOWELS = tuple("aeiou" * 4) + tuple("ai ar au ay ea ee er ew igh ir oa oi oo or ou ow oy ur".split())  # noqa: SIM905
_END = ("", "", "", "l", "m", "n", "r", "s")
_END_WORD = (*[""] * 6,) + tuple(
    "b d ff g ck k ll m n p r ss t x ch ct ft ld lf lk lm lp lt mp nce nch nd ng nk nt pt sh sk sp st tch th".split()  # noqa: SIM905
)
_SUFFIXES = (*[""] * 12,) + tuple("able ed er es est ing ive le ly ment ness ous tion ture y".split())  # noqa: SIM905


class Lister:
    """Writes rows; the same seed writes the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"{seed} lists")
        self._frequent = Deck(" ".join(read_lines("frequent.txt")).split(), f"{seed} frequent words")
        self._words = Deck(_all_forms(), f"{seed} all words")

    def sentence(self) -> str:
        """The next row: 3 to 8 words, a comma behind some of them."""
        draw = self._random
        words = [self._word() for _ in range(draw.randint(_FEWEST, _MOST))]
        commas = ["," if draw.random() < 0.2 else "" for _ in words[:-1]]
        text = " ".join(word + mark for word, mark in zip(words, [*commas, draw.choice(_MARKS)], strict=True))
        return text[0].upper() + text[1:]

    def _word(self) -> str:
        kind = self._random.random()
        if kind < _MADE_UP:
            return made_up(self._random)
        return (self._frequent if kind < _MADE_UP + _FREQUENT else self._words).deal()


def made_up(draw: random.Random) -> str:
    """A word of one to three syllables, of letters as English puts them together."""
    begin, middle = draw.choice(_BEGIN_WORD), ""
    for _ in range(draw.choice((0, 0, 1, 1, 2))):
        middle += draw.choice(_VOWELS) + draw.choice(_END) + draw.choice(_BEGIN)
    if draw.random() < 0.2:  # a long vowel
        return begin + middle + draw.choice("aiou") + draw.choice("bdgklmnprstvz") + "e"
    return begin + middle + draw.choice(_VOWELS) + draw.choice(_END_WORD) + draw.choice(_SUFFIXES)


def _all_forms() -> list[str]:
    """Every word of the lexicon, nouns and verbs in every form."""
    forms = dict.fromkeys(_NOUNS, (None, "s")) | dict.fromkeys(_VERBS, (None, "s", "past", "ing"))
    lexicon = read_lexicon()
    return list(
        dict.fromkeys(
            word.form(form) for kind in lexicon for word in lexicon[kind] for form in forms.get(kind, (None,))
        )
    )
