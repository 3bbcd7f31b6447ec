"""The part of cosyvoice3.yaml that is wanted, cut out as text."""

import re
from collections.abc import Collection

_ENTRY = re.compile(r"^(\w+):\s*(.*)$")


def prune(text: str, wanted: Collection[str]) -> str:
    """A HyperPyYAML text with its seeds, its plain values and the entries named in `wanted`, in their order.

    What else stands there (GAN, data pipeline, training) would need packages that speaking does not.
    """
    kept, keep = [], True
    for line in text.splitlines():
        if match := _ENTRY.match(line):
            name, value = match.groups()
            keep = name in wanted or name.startswith("__set_seed") or _is_plain(value)
        if keep:
            kept.append(line)
    return "\n".join(kept) + "\n"


def _is_plain(value: str) -> bool:
    return bool(value) and value[0] not in "!&*[{|>#"
