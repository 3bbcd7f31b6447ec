"""Text of others that is shown or kept: it may hold what a terminal obeys."""

import json
import re
import unicodedata

_BEYOND_ASCII = re.compile(r"[^ -~]")
_JOINERS = "\u200c\u200d"  # without which Persian words and many emoji fall apart


def escaped(text: str, keep: str = "") -> str:
    """Control characters, line ends, marks that turn the direction of writing, halves of characters and all else that
    cannot be seen, as JSON escapes them (`\\u001b`); blanks, joiners, what has a shape and what is in `keep` stay."""

    def one(found: re.Match[str]) -> str:
        char = found[0]
        stays = char.isprintable() or char in _JOINERS or char in keep or unicodedata.category(char) == "Zs"
        return char if stays else json.dumps(char)[1:-1]

    return _BEYOND_ASCII.sub(one, text)
