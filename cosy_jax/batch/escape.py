"""Text of others that is shown or kept: a key may hold what a terminal obeys."""

import json
import re

_BEYOND_ASCII = re.compile(r"[^ -~]")


def escaped(text: str) -> str:
    """Control characters, line ends, marks that turn the direction of writing, halves of characters and all else that
    cannot be seen, as JSON escapes them (`\\u001b`); what has a shape stays."""
    return _BEYOND_ASCII.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)
