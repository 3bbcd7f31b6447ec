"""Sentences from templates: `templates.txt` says what stands where, `lexicon.txt` what may stand there."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from cosy_jax.errors import CosyError

FOLDER = Path(__file__).parent

Card = TypeVar("Card")

_SLOT = re.compile(r"\{(a )?([a-z]+)(?:\.(s|past|ing))?\}")
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth twenty-first thirtieth"
)
_COUNTS = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty thirty forty fifty sixty seventy eighty ninety"
)
_HOURS = "one two three four five six seven eight nine ten eleven twelve"
_MONTHS = "January February March April May June July August September October November December"
# Verbs in front of another word: "goes home".
_VERBS_OF_TWO = "ask breathe fall give go hang leave lie pick point put ring search sit stand wake"
_VOWEL_SOUND = re.compile(r"[aeiou]|ho(?:nest|nor|ur)|heir|[FHLMNRSX] ")
_NO_VOWEL_SOUND = re.compile(r"eu|u(?:k|n[iy]|s[aeu])|one\b")


@dataclass(frozen=True)
class Word:
    """A word and those of its forms that no rule gives: a plural alone, or past and -ing form."""

    base: str
    forms: tuple[str, ...] = ()

    def form(self, name: str | None) -> str:
        """The word itself (None), or its form `s`, `past` or `ing`; of several words the first is inflected."""
        if name is None:
            return self.base
        if name == "s" and len(self.forms) == 1:
            return self.forms[0]
        if name != "s" and len(self.forms) == 2:
            return self.forms[name == "ing"]
        return {"s": _with_s, "past": _past, "ing": _ing}[name](self.base)


class Deck(Generic[Card]):
    """Deals every card once before any comes again, in an order that the seed gives."""

    def __init__(self, cards: Sequence[Card], seed: str) -> None:
        self._cards, self._random = cards, random.Random(seed)
        self._left: list[Card] = []

    def deal(self) -> Card:
        """The next card."""
        if not self._left:
            self._left = self._random.sample(self._cards, len(self._cards))
        return self._left.pop()


class Writer:
    """Fills templates with words; the same seed writes the same sentences."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"{seed} numbers")
        self._templates = Deck(read_templates(), f"{seed} templates")
        self._words = {kind: Deck(words, f"{seed} {kind}") for kind, words in read_lexicon().items()}

    def sentence(self) -> str:
        """The next sentence, which may have been there before."""
        template = self._templates.deal()
        taken: set[str] = set()
        filled = _SLOT.sub(lambda slot: self._fill(slot, taken), template)
        return filled[0].upper() + filled[1:]

    def _fill(self, slot: re.Match[str], taken: set[str]) -> str:
        article, kind, form = slot.groups()
        text = self._number(kind) if kind in _NUMBERS else self._word(kind, form, taken)
        return f"{'an' if starts_with_vowel(text) else 'a'} {text}" if article else text

    def _number(self, kind: str) -> str:
        return _NUMBERS[kind](self._random)

    def _word(self, kind: str, form: str | None, taken: set[str]) -> str:
        if kind not in self._words:
            raise CosyError(f"templates.txt asks for {kind!r}, which lexicon.txt does not have: add it there.")
        while True:
            word = self._words[kind].deal()
            if word.base not in taken:
                taken.add(word.base)
                return word.form(form)


def starts_with_vowel(text: str) -> bool:
    """Whether `an` stands before it."""
    if text[:1].isdigit():
        return bool(re.match(r"8|1[18]\b", text))
    low = text.lower()
    return bool(_VOWEL_SOUND.match(low)) and not _NO_VOWEL_SOUND.match(low)


def read_lines(name: str) -> list[str]:
    """The lines of one of the recipe's text files, without comments and empty ones."""
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def read_templates() -> list[str]:
    """The templates, each once."""
    return list(dict.fromkeys(read_lines("templates.txt")))


def read_lexicon() -> dict[str, list[Word]]:
    """The words of each kind, each once."""
    kinds: dict[str, dict[Word, None]] = {}
    kind = ""
    for line in read_lines("lexicon.txt"):
        if line.startswith("["):
            kind = line.strip("[] ")
            kinds[kind] = {}
            continue
        for entry in line.split():
            base, *forms = entry.replace("_", " ").split("/")
            kinds[kind][Word(base, tuple(forms))] = None
    return {kind: list(words) for kind, words in kinds.items()}


def _with_s(word: str) -> str:
    first, *rest = word.split(" ") if word.split(" ")[0] in _VERBS_OF_TWO.split() else (word,)
    if re.search(r"[^aeiou]y$", first):
        first = f"{first[:-1]}ies"
    else:
        first += "es" if first.endswith(("s", "x", "z", "ch", "sh")) or first == "go" else "s"
    return " ".join([first, *rest])


def _past(word: str) -> str:
    if word.endswith("e"):
        return f"{word}d"
    return f"{word[:-1]}ied" if re.search(r"[^aeiou]y$", word) else f"{word}ed"


def _ing(word: str) -> str:
    if word.endswith("ie"):
        return f"{word[:-2]}ying"
    return f"{word[:-1]}ing" if re.search(r"[^eo]e$", word) else f"{word}ing"


def _number(draw: random.Random) -> str:
    kind = draw.random()
    if kind < 0.35:
        return draw.choice(_COUNTS.split())
    if kind < 0.75:
        return str(draw.randint(2, 99))
    return str(draw.randint(100, 999) if kind < 0.93 else draw.randint(1, 9) * 1000)


def _time(draw: random.Random) -> str:
    hour, minute = draw.randint(1, 12), draw.choice((0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, draw.randint(1, 59)))
    kind = draw.random()
    if kind < 0.25:
        return f"{hour} o'clock"
    if kind < 0.5:
        return f"{draw.choice(('half', 'a quarter', 'ten', 'twenty'))} past {_HOURS.split()[hour - 1]}"
    return f"{hour}:{minute:02d}" + draw.choice(("", " AM", " PM"))


def _date(draw: random.Random) -> str:
    month, day = draw.choice(_MONTHS.split()), draw.randint(1, 28)
    year = f", {draw.randint(1900, 2030)}" if draw.random() < 0.4 else ""
    return f"{month} {day}{year}"


def _money(draw: random.Random) -> str:
    amount = draw.choice((draw.randint(2, 20), draw.randint(20, 100), draw.randint(1, 20) * 50))
    return draw.choice((f"${amount}", f"{amount} dollars", f"€{amount}", f"£{amount}", f"{amount} cents"))


def _letters(draw: random.Random) -> str:
    return ", ".join(draw.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(draw.randint(3, 5)))


def _digits(draw: random.Random) -> str:
    return " ".join(draw.choice(("oh", *_HOURS.split()[:9])) for _ in range(draw.randint(4, 7)))


_NUMBERS: dict[str, Callable[[random.Random], str]] = {
    "number": _number,
    "time": _time,
    "date": _date,
    "money": _money,
    "letters": _letters,
    "digits": _digits,
    "percent": lambda draw: f"{draw.randint(2, 99)}%",
    "year": lambda draw: str(draw.choice((draw.randint(1700, 1999), draw.randint(2010, 2030)))),
    "ordinal": lambda draw: draw.choice(_ORDINALS.split()),
}
