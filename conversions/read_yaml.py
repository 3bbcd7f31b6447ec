"""Reads cosyvoice3.yaml as plain data: its HyperPyYAML tags are kept as text, nothing they name is imported or called.

HyperPyYAML (https://github.com/speechbrain/HyperPyYAML) writes objects as `!new:module.Class`, functions as
`!name:module.function`, calls as `!apply:module.function` and references as `!ref <name>` or `!ref <a> * <b>`.
"""

import math
import re
from pathlib import Path
from typing import Any

import yaml

from cosy_jax.errors import CosyError

from .source import brief, read_small

TAG = "!tag"
# The released file has some 300 nodes on six levels.
_MAX_BYTES = 256 << 10
_MAX_NODES = 10_000
_MAX_DEPTH = 32
_MAX_LENGTH = 1000  # of a value: Python refuses to print numbers of more than 4300 digits
_MAX_ROUNDS = 16  # of references to references
_MAX_FACTORS = 8
_LARGEST = 2.0**63


class _Ref(str):
    """The text of a `!ref`, until it is resolved."""


class _PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader, to which an unknown tag is a piece of data."""


def _construct_tagged(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {TAG: tag, **loader.construct_mapping(node, deep=True)}
    if isinstance(node, yaml.SequenceNode):
        return {TAG: tag, "args": loader.construct_sequence(node, deep=True)}
    text = str(loader.construct_scalar(node))  # type: ignore[arg-type]
    if tag == "ref":
        return _Ref(text)
    return {TAG: tag, "args": [text]} if text else {TAG: tag}


_PlainLoader.add_multi_constructor("!", _construct_tagged)


def read_yaml(path: Path) -> dict[str, Any]:
    """The file as nested dicts, lists and scalars.

    A tagged value becomes a dict with its tag under "!tag" (such as "new:cosyvoice.llm.llm.CosyVoice3LM"); a tagged
    list or scalar has its items under "args". References to top-level numbers and strings, and products of such
    numbers, are resolved; others stay text. CosyError for a missing file, one that is not YAML, and one larger or
    deeper than settings are, its aliases written out.
    """
    content = read_small(path, _MAX_BYTES)
    try:
        text = content.decode("utf-8")
        _check_size(text)
        data = yaml.load(text, Loader=_PlainLoader)  # noqa: S506 (derived from SafeLoader)
    # PyYAML lets through whatever int(), chr() or datetime() raise: each one means the same to the user.
    except Exception as error:
        raise CosyError(f"{path} is not readable as YAML ({brief(error)}): download it again.") from error
    if not isinstance(data, dict):
        raise CosyError(f"{path} is not a mapping of settings: download it again.")
    known = _top_level(data)
    return {key: _resolve(value, known) for key, value in data.items()}


def _check_size(text: str) -> None:
    """YAMLError for more nesting or nodes, each alias counted as what it stands for, than settings have."""
    anchored: dict[str | None, int] = {}  # nodes from the anchor down
    opened: list[tuple[str | None, int]] = []
    nodes = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            anchored[anchor] = nodes - before
            continue
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, nodes))
        elif isinstance(event, yaml.ScalarEvent):
            anchored[event.anchor] = 1
            if len(event.value) > _MAX_LENGTH:
                raise yaml.YAMLError(f"a value of more than {_MAX_LENGTH} characters")
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchored:
                raise yaml.YAMLError(f"the alias *{event.anchor} stands before or within what it names")
            nodes += anchored[event.anchor] - 1
        else:
            continue
        nodes += 1
        if nodes > _MAX_NODES or len(opened) > _MAX_DEPTH:
            raise yaml.YAMLError(f"more than {_MAX_NODES} values or {_MAX_DEPTH} levels")


def _top_level(data: dict[Any, Any]) -> dict[Any, Any]:
    """The top-level numbers and strings by name, references to them followed."""
    pending = {name: value for name, value in data.items() if isinstance(value, _Ref)}
    known = {
        name: value for name, value in data.items() if isinstance(value, str | int | float) and name not in pending
    }
    for _ in range(_MAX_ROUNDS):
        for name, text in pending.items():
            value = _evaluate(text, known)
            if value is not None:
                known[name] = value
    return known


def _resolve(value: Any, known: dict[Any, Any]) -> Any:
    if isinstance(value, _Ref):
        found = _evaluate(value, known)
        return str(value) if found is None else found
    if isinstance(value, dict):
        return {key: _resolve(item, known) for key, item in value.items()}
    return [_resolve(item, known) for item in value] if isinstance(value, list) else value


def _evaluate(text: str, known: dict[Any, Any]) -> Any:
    """What the reference stands for; None where that is not known, or no number of this world."""
    parts = text.split("*")
    if len(parts) > _MAX_FACTORS:
        return None
    factors = [_factor(part.strip(), known) for part in parts]
    if len(factors) == 1:
        return factors[0]
    if not all(isinstance(factor, int | float) and abs(factor) < _LARGEST for factor in factors):
        return None
    product = math.prod(factors)
    return product if abs(product) < _LARGEST else None


def _factor(text: str, known: dict[Any, Any]) -> Any:
    name = re.fullmatch(r"<(\w+)>", text)
    if name is not None:
        return known.get(name[1])
    return int(text) if re.fullmatch(r"\d{1,18}", text) else None
