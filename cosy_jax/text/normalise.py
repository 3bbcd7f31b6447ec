"""Text to speak, written out as words: numbers, dates, units and symbols.

Source: text_normalize in cosyvoice/cli/frontend.py and the helpers in cosyvoice/utils/frontend_utils.py. The rules
for Chinese and English are wetext's (`pip install 'cosy_jax[text]'`); without it only English digits are spelled.
"""

import re
import threading
import unicodedata
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from cosy_jax.errors import CosyError
from cosy_jax.text.special_tokens import EXTRA_TOKENS

Language = Literal["zh", "en", "other"]

_TAGS = re.compile(f"(?:{'|'.join(map(re.escape, EXTRA_TOKENS))})+")

_HAN = re.compile(r"[\u4e00-\u9fff]")
_KANA = re.compile(r"[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]")
_HANGUL = re.compile(r"[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]")
_NOT_ENGLISH = frozenset("¿¡«»‹›„")
_EMOJI_STYLE = "\ufe0f"

_BLANK_BESIDE_CHINESE = re.compile(r"(?<![\x00-\x1f!-\x7f]) | (?![\x00-\x1f!-\x7f])")
_CHINESE_SIGNS = str.maketrans({"²": "平方", "³": "立方", **dict.fromkeys("（）【】`", "")})

_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
# The reference asks str.isdigit, which takes superscripts and the like for digits, and reads them as "zero".
_REFERENCE_NUMBER = re.compile("[\\d¹²³⁰⁴-⁹₀-₉①-⑨]+")
_DECADE = re.compile(r"\b(1[1-9]|20)(\d)0s\b")
_GROUPED_THOUSAND = re.compile(r"(?<![\d,.])1,\d{3}(?![,\d])")
_COUNT = re.compile(
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred|"
    "(?:thir|four|fif|six|seven|eigh|nine)teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty"
)
_INFLECT_DIGITS = 36
_INFLECT = threading.Lock()

# wetext's time grows with the square of the length: 0.09 s for 1000 characters, 1.8 s for 10000.
_WETEXT_LENGTH = 2000
_BREAKS = (re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])"), re.compile(r"\s+|(?<=，)"))


class NoWetextWarning(UserWarning):
    """wetext is not installed, so numbers, dates and units are not read as in the reference."""


@dataclass(frozen=True)
class FrontendOptions:
    """What is done to a text before it is tokenised.

    Each field from `limit` on is one place where the reference harms the text; `REFERENCE` has all of them off.
    """

    # False: spoken as written, in one piece.
    enabled: bool = True
    # None: found from the text's characters. "other" leaves numbers to the model: German, Spanish, ...
    language: Language | None = None
    # Longest segment (characters in Chinese, else tokens), whatever its punctuation. None: no limit.
    limit: int | None = 120
    # `[laughter]`, `<strong>`, `[j][ǐ]`, `[AA0]` pass untouched. Reference: in Chinese, `[AA0]` becomes `[AA零]`.
    keep_tags: bool = True
    # English rules are for English only. Reference: "3 Äpfel" becomes "three Äpfel", "Ω" "omega"; Japanese is read
    # as Chinese or not split at its full stops.
    keep_other_languages: bool = True
    # wetext writes `\"` for `"` and `\\` for `\`: taken back.
    unescape: bool = True
    # "3.14" that no rule has spelled keeps its point. Reference: a full stop.
    keep_decimals: bool = True
    # Reference: "42" alone is read in Chinese, "1990s" as seconds, "1,000" as "thousand", "x²" as "xzero", and
    # without wetext "1,000" as "one,zero".
    mend_english_numbers: bool = True

    def __post_init__(self) -> None:
        if self.language is not None and self.language not in get_args(Language):
            raise CosyError(f"The text language {self.language!r} is not known: use zh, en or other.")
        if self.limit is not None and self.limit < 80:
            raise CosyError(f"The segment limit {self.limit} is too small: use 80 or more, or none.")


DEFAULT = FrontendOptions()
REFERENCE = FrontendOptions(
    limit=None,
    keep_tags=False,
    keep_other_languages=False,
    unescape=False,
    keep_decimals=False,
    mend_english_numbers=False,
)


def is_verbatim(text: str, options: FrontendOptions) -> bool:
    """True where the text is neither normalised nor split: switched off, or it holds `<|...|>`."""
    return not options.enabled or ("<|" in text and "|>" in text)


def find_language(text: str, options: FrontendOptions = DEFAULT) -> Language:
    """Whose rules fit the text: "zh" if it has a Chinese character, "en" if all its letters are ASCII, else "other".

    Japanese (kana beside Chinese characters) and Korean are "other". With `keep_other_languages` off, all that is
    not "zh" is "en", as in the reference.
    """
    if options.language is not None:
        return options.language
    chinese = len(_HAN.findall(text))
    if not options.keep_other_languages:
        return "zh" if chinese else "en"
    # A lone の is common in Chinese brand names.
    if _HANGUL.search(text) or 4 * len(_KANA.findall(text)) > chinese:
        return "other"
    if chinese:
        return "zh"
    return "other" if any(map(_is_foreign, _TAGS.sub("", text))) else "en"


def normalise(text: str, options: FrontendOptions = DEFAULT) -> str:
    """The text written out as words; text_normalize(split=False) in the reference.

    Where wetext is not installed, the first text that asks for it gives one `NoWetextWarning` a process.
    """
    if is_verbatim(text, options):
        return text
    text = text.strip()
    language = find_language(text, options)
    if language == "zh":
        return _chinese(text, options)
    if language == "en":
        return _between_tags(text, lambda piece: _english(piece, options), options)
    return " ".join(text.split())


def has_wetext() -> bool:
    """Whether wetext is installed; the first call that finds it missing gives the `NoWetextWarning`."""
    return _wetext_class() is not None


def _is_foreign(char: str) -> bool:
    if char.isascii() or char == _EMOJI_STYLE:
        return False
    return unicodedata.category(char)[0] in "LM" or char in _NOT_ENGLISH


def _between_tags(text: str, rule: Callable[[str], str], options: FrontendOptions) -> str:
    """The rule applied to all that is not a tag."""
    if not options.keep_tags:
        return rule(text)
    done, start = [], 0
    for tag in _TAGS.finditer(text):
        done += [rule(text[start : tag.start()]), tag.group()]
        start = tag.end()
    return "".join([*done, rule(text[start:])])


def _chinese(text: str, options: FrontendOptions) -> str:
    text = _between_tags(text, lambda piece: _wetext(piece, "zh", options), options)
    text = _BLANK_BESIDE_CHINESE.sub("", text.replace("\n", ""))
    text = re.sub(r"(?<!\d)\.|\.(?!\d)" if options.keep_decimals else r"\.", "。", text)
    text = text.replace(" - ", "，").translate(_CHINESE_SIGNS).replace("——", " ")
    return re.sub(r"[，,、]+$", "。", text)


def _english(text: str, options: FrontendOptions) -> str:
    mend = options.mend_english_numbers
    if mend:
        text = _DECADE.sub(_decade, text)
    spoken = _wetext(text, "zh" if text.isdigit() and not mend else "en", options)
    if mend and _GROUPED_THOUSAND.search(text) and "thousand" not in text.lower():
        spoken = re.sub(r"(?:(\w+) )?\bthousand\b", _one_thousand, spoken)
    number = _NUMBER if mend else _REFERENCE_NUMBER
    return number.sub(lambda found: _words(found.group().replace(",", "")), spoken)


def _decade(found: re.Match[str]) -> str:
    """1990s -> nineteen nineties, 1900s -> nineteen hundreds, 2000s -> two thousands."""
    century, ten = found.groups()
    if ten == "0":
        return "two thousands" if century == "20" else f"{_words(century)} hundreds"
    hundreds, tens = _words(century), _words(ten + "0")
    with _INFLECT:
        return f"{hundreds} {_inflect().plural(tens)}"


def _one_thousand(found: re.Match[str]) -> str:
    before = found.group(1)
    if before is None:
        return "one thousand"
    return found.group() if _COUNT.fullmatch(before.lower()) else f"{before} one thousand"


def _words(number: str) -> str:
    # inflect has no name for larger numbers: digit by digit.
    group = 0 if len(number) <= _INFLECT_DIGITS else 1
    with _INFLECT:  # its engine keeps what it counts in itself
        return _inflect().number_to_words(number, group=group)


def _wetext(text: str, language: str, options: FrontendOptions) -> str:
    """wetext's reading of a text, blanks around it kept; without wetext the text itself."""
    core = text.strip()
    if not core or not has_wetext():
        return text
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return before + _read(core, language, options) + after


def _read(text: str, language: str, options: FrontendOptions) -> str:
    """wetext's reading of the whole or, where it is too long or wetext refuses it ("5€"), of its halves."""
    spoken = _ask_wetext(text, language) if len(text) <= _WETEXT_LENGTH else ""
    if spoken:
        return re.sub(r'\\(["\\])', r"\1", spoken) if options.unescape and spoken != text else spoken
    for pattern in _BREAKS:
        breaks = [found for found in pattern.finditer(text) if found.start() > 0 and found.end() < len(text)]
        if breaks:
            half = min(breaks, key=lambda found: abs(found.start() - len(text) / 2))
            left, right = (_read(side, language, options) for side in (text[: half.start()], text[half.end() :]))
            return left + half.group() + right
    return text


def _ask_wetext(text: str, language: str) -> str:
    """The reading, or nothing where wetext has none: it then fails an assertion or returns an empty string."""
    normalizer = _wetext_class()(lang=language, remove_erhua=False)
    # English words with two blanks or a line end between them are refused; with one they are not.
    for candidate in (text, " ".join(text.split())):
        try:
            if spoken := normalizer.normalize(candidate):
                return spoken
        except AssertionError:
            continue
    return ""


@cache
def _wetext_class() -> Any:
    try:
        from wetext import Normalizer
    except ImportError:
        warnings.warn(
            "wetext is not installed, so dates, units and Chinese numbers are spoken as written: "
            "pip install 'cosy_jax[text]'.",
            NoWetextWarning,
            stacklevel=2,
        )
        return None
    return Normalizer


@cache
def _inflect() -> Any:
    # Imported here: it takes more than a second, and only texts with digits need it.
    import inflect

    return inflect.engine()
