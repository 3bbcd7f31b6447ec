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

TAG = "!tag"
_MAX_REF_DEPTH = 16


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
    numbers, are resolved; others stay text. CosyError for a missing file or one that is not YAML.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainLoader)  # noqa: S506 (derived from SafeLoader)
    except FileNotFoundError as error:
        raise CosyError(f"{path} is missing: download the whole model folder.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise CosyError(f"{path} is not readable as YAML ({reason}): download it again.") from error
    if not isinstance(data, dict):
        raise CosyError(f"{path} is not a mapping of settings: download it again.")
    return {key: _resolve(value, data) for key, value in data.items()}


def _resolve(value: Any, root: dict[str, Any]) -> Any:
    if isinstance(value, _Ref):
        return _resolve_ref(value, root, 0)
    if isinstance(value, dict):
        return {key: _resolve(item, root) for key, item in value.items()}
    return [_resolve(item, root) for item in value] if isinstance(value, list) else value


def _resolve_ref(text: str, root: dict[str, Any], depth: int) -> Any:
    factors = [_factor(part.strip(), root, depth) for part in text.split("*")]
    if len(factors) == 1:
        return factors[0] if factors[0] is not None else str(text)
    if all(isinstance(factor, int | float) for factor in factors):
        return math.prod(factors)
    return str(text)


def _factor(text: str, root: dict[str, Any], depth: int) -> Any:
    name = re.fullmatch(r"<(\w+)>", text)
    if name is None:
        return int(text) if re.fullmatch(r"\d+", text) else None
    value = root.get(name[1])
    if isinstance(value, _Ref):
        return _resolve_ref(value, root, depth + 1) if depth < _MAX_REF_DEPTH else None
    return value if isinstance(value, str | int | float) else None
