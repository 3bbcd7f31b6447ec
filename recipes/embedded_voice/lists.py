"""Rows of words without a sense: frequent ones and the lexicon's, each as often as any other, short ones that hold
English sentences together, and made-up ones.

In the templates' sentences a few hundred words are met a thousand times and most others less than twenty, too few to
learn how each is said; how letters are said that never stood side by side is not learnt at all. And where a series of
short words never stood in that order, a model that learnt templates leaves some of it out.
"""

import random

from .templates import Deck, Word, read_lexicon, read_lines

_NOUNS = ("thing", "food", "animal", "job", "plant", "vehicle", "relative", "place", "body", "idea", "distance", "span")
_VERBS = ("handle", "act", "verb")
_SHARES = {"short": 0.3, "frequent": 0.33, "lexicon": 0.25, "made up": 0.12}
_FEWEST, _MOST = 3, 12  # words of a row
_INFLECTED = 0.4  # of the frequent words: with an ending, whatever kind of word it is
_SHORT = """a about after again all am an and any are as at away back be because been before both but by came can can't
come could did didn't do does don't down each for from get go goes got had has have he he'd he's her here him his how I
I'd I'll I'm I've if in into is isn't it it's its just let like made make may me more most much must my never no not
now of off on once one only or our out over said say see she she's should so some soon still such take than that that's
the their them then there there's these they they're this those through to too two under until up us very was wasn't we
we'll we're went were what when where which while who why will with won't would yet you you're your"""
_MARKS = (*["."] * 8, "!", "?")

# What syllables are made of; words begin and end in more ways than they go on.
_BEGIN = "b c d f g h j k l m n p r s t v w"
_BEGIN_WORD = (
    f"{_BEGIN} bl br ch cl cr dr fl fr gl gr kn ph pl pr qu sc sh sk sl sm sn sp st str sw th thr tr tw wh wr y z"
)
_VOWELS = f"{'a e i o u ' * 4}ai ar au ay ea ee er ew igh ir oa oi oo or ou ow oy ur"
_END = "l m n r s"
_END_WORD = "b d ff g ck k ll m n p r ss t x ch ct ft ld lf lk lm lp lt mp nce nch nd ng nk nt pt sh sk sp st tch th"
_SUFFIXES = "able ed er es est ing ive le ly ment ness ous tion ture y"


class Lister:
    """Writes rows; the same seed writes the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"{seed} lists")
        words = {
            "short": _SHORT.split(),
            "frequent": " ".join(read_lines("frequent.txt")).split(),
            "lexicon": _all_forms(),
        }
        self._decks = {kind: Deck(cards, f"{seed} {kind} words") for kind, cards in words.items()}

    def sentence(self) -> str:
        """The next row: 3 to 12 words, a comma behind some of them."""
        draw = self._random
        words = [self._word() for _ in range(draw.randint(_FEWEST, _MOST))]
        commas = ["," if draw.random() < 0.2 else "" for _ in words[:-1]]
        text = " ".join(word + mark for word, mark in zip(words, [*commas, draw.choice(_MARKS)], strict=True))
        return text[0].upper() + text[1:]

    def _word(self) -> str:
        (kind,) = self._random.choices(list(_SHARES), list(_SHARES.values()))
        if kind == "made up":
            return made_up(self._random)
        word = self._decks[kind].deal()
        if kind == "frequent" and "'" not in word and self._random.random() < _INFLECTED:
            return Word(word).form(self._random.choice(("s", "past", "ing")))
        return word


def made_up(draw: random.Random) -> str:
    """A word of one to three syllables, of letters as English puts them together."""
    begin, middle = draw.choice(_BEGIN_WORD.split()), ""
    for _ in range(draw.choice((0, 0, 1, 1, 2))):
        middle += draw.choice(_VOWELS.split()) + draw.choice(_or_nothing(3, _END)) + draw.choice(_BEGIN.split())
    if draw.random() < 0.2:  # a long vowel
        return begin + middle + draw.choice("aiou") + draw.choice("bdgklmnprstvz") + "e"
    end = draw.choice(_VOWELS.split()) + draw.choice(_or_nothing(6, _END_WORD))
    return begin + middle + end + draw.choice(_or_nothing(12, _SUFFIXES))


def _or_nothing(blanks: int, parts: str) -> list[str]:
    """Parts to choose from, of which so many more are empty."""
    return [""] * blanks + parts.split()


def _all_forms() -> list[str]:
    """Every word of the lexicon, nouns and verbs in every form."""
    forms = dict.fromkeys(_NOUNS, (None, "s")) | dict.fromkeys(_VERBS, (None, "s", "past", "ing"))
    lexicon = read_lexicon()
    return list(
        dict.fromkeys(
            word.form(form) for kind in lexicon for word in lexicon[kind] for form in forms.get(kind, (None,))
        )
    )
