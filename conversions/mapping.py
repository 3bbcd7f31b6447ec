"""The engine of the conversion rules: names on both sides, the check that they fit, and the way back.

A rule says which source tensors make one of our parameters. The parameters that a model must have, with their shapes,
are those of its modules, so that each rule is applied from our side to the source's: what no rule asks for is
unknown, what a rule asks for and the file lacks is missing.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ml_dtypes
import numpy as np

from cosy_jax.checkpoint.reader import list_some, shape_difference
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError

from .source import LazyTensor
from .transforms import IDENTITY, Shape, Transform

_FLOAT32 = np.dtype(np.float32)
_LARGEST_CHECKED = 1 << 16  # values
_PLACEHOLDER = re.compile(r"\{(\w+)(?:\+(\d+))?\}")


@dataclass(frozen=True)
class Rule:
    """Source name (or names, where several tensors make one) -> our path, by a transform.

    `{n}` stands for a number, the same on both sides; a source may shift it: `{n+1}`. Several rules with one target are
    alternative spellings; the first is the one that `export` writes.
    """

    source: str | tuple[str, ...]
    target: str
    transform: Transform = IDENTITY

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,) if isinstance(self.source, str) else self.source


@dataclass(frozen=True)
class Ignore:
    """A source tensor that is not converted. `check` returns what is wrong with its values, or None.

    `restore` gives it back to a released file, from the configuration and the file's other tensors by released name.
    """

    source: str
    reason: str
    restore: Callable[[ModelConfig, Mapping[str, LazyTensor]], LazyTensor]
    check: Callable[[np.ndarray], str | None] | None = None


@dataclass(frozen=True)
class Parameter:
    """One of our parameters, its values not read yet. `read` returns float32 of that shape."""

    name: str
    shape: Shape
    read: Callable[[], np.ndarray]


def rename(source: str, values: Mapping[str, int]) -> str:
    """The source name with its placeholders filled in."""
    return _PLACEHOLDER.sub(lambda match: str(values[match[1]] + int(match[2] or 0)), source)


def match_target(rule: Rule, name: str) -> dict[str, int] | None:
    """The placeholders' values if the rule makes the parameter of that name."""
    pattern = "".join(
        part if index % 2 else re.escape(part) for index, part in enumerate(re.split(r"(\{\w+\})", rule.target))
    )
    found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>\\d+)", pattern), name)
    return {key: int(value) for key, value in found.groupdict().items()} if found else None


def alternatives(rules: Sequence[Rule], name: str) -> list[tuple[Transform, tuple[str, ...]]]:
    """Every spelling in which the sources of a parameter may appear."""
    matches = ((rule, match_target(rule, name)) for rule in rules)
    return [
        (rule.transform, tuple(rename(source, values) for source in rule.sources))
        for rule, values in matches
        if values is not None
    ]


def plan(
    file: Path,
    tensors: Mapping[str, LazyTensor],
    rules: Sequence[Rule | Ignore],
    expected: Mapping[str, Shape],
    prefix: str = "",
) -> list[Parameter]:
    """How each expected parameter comes out of the file's tensors; CosyError, with both sides, where they do not fit.

    `prefix` is one that every source name may carry. Only the tensors of `Ignore` rules with a check are read.
    """
    twice = sorted(name for name in tensors if prefix and prefix + name in tensors)
    tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    makers = [rule for rule in rules if isinstance(rule, Rule)]
    wanted: dict[str, Shape] = {}
    parameters = []
    for name, shape in expected.items():
        spellings = alternatives(makers, name)
        if not spellings:
            raise ValueError(f"no rule makes '{name}'")
        present = [spelling for spelling in spellings if any(source in tensors for source in spelling[1])]
        if len(present) > 1:
            twice.append(" and ".join(source for _, sources in present for source in sources))
        for transform, sources in present or spellings[:1]:
            wanted |= dict(zip(sources, transform.source_shapes(shape), strict=True))
        if present:
            transform, sources = present[0]
            parameters.append(_parameter(name, shape, transform, [tensors.get(source) for source in sources]))
    ignored = _check_ignored(file, tensors, [rule for rule in rules if isinstance(rule, Ignore)])
    found = {name: tensor.shape for name, tensor in tensors.items() if name not in ignored}
    not_float = [f"{name} is {tensor.dtype}" for name, tensor in tensors.items() if not _is_float(tensor.dtype)]
    lines = shape_difference(found, wanted)
    lines += [line for line in (list_some("given twice", twice), list_some("not floating point", not_float)) if line]
    if lines:
        head = f"{file} does not fit the configuration beside it: use the files of one CosyVoice 3 release together."
        raise CosyError("\n".join([head, *lines]))
    return parameters


def export(
    rules: Sequence[Rule | Ignore], params: Mapping[str, LazyTensor], config: ModelConfig, spelling: int = 0
) -> dict[str, LazyTensor]:
    """The inverse: our parameters (by path) as float32 under the released names, with the tensors that are not
    converted.

    `spelling` picks one of several alternative rules, the last one where there are fewer.
    """
    makers = [rule for rule in rules if isinstance(rule, Rule)]
    released: dict[str, LazyTensor] = {}
    for name, tensor in params.items():
        spellings = alternatives(makers, name)
        transform, sources = spellings[min(spelling, len(spellings) - 1)]
        for part, (source, shape) in enumerate(zip(sources, transform.source_shapes(tensor.shape), strict=True)):
            released[source] = LazyTensor(shape, _FLOAT32, partial(_invert, transform, tensor, part))
    left_out = [rule for rule in rules if isinstance(rule, Ignore)]
    return released | {rule.source: rule.restore(config, released) for rule in left_out}


def _invert(transform: Transform, tensor: LazyTensor, part: int) -> np.ndarray:
    return transform.inverse(tensor.read().astype(_FLOAT32, copy=False))[part]


def _parameter(name: str, shape: Shape, transform: Transform, sources: list[LazyTensor | None]) -> Parameter:
    def read() -> np.ndarray:
        arrays = [source.read() for source in sources if source is not None]
        return np.asarray(transform.forward(*arrays), dtype=np.float32)

    return Parameter(name, shape, read)


def _check_ignored(file: Path, tensors: Mapping[str, LazyTensor], rules: Sequence[Ignore]) -> set[str]:
    ignored = set()
    for rule in rules:
        if rule.source in tensors:
            ignored.add(rule.source)
            fault = _fault(rule, tensors[rule.source])
            if fault:
                raise CosyError(f"{file}: '{rule.source}' {fault}, so this is another model than CosyVoice 3.")
    return ignored


def _fault(rule: Ignore, tensor: LazyTensor) -> str | None:
    if rule.check is None:
        return None
    # No shape is expected of it, so that the file alone says how much would be read.
    return rule.check(tensor.read()) if math.prod(tensor.shape) <= _LARGEST_CHECKED else f"has shape {tensor.shape}"


def _is_float(dtype: np.dtype) -> bool:
    try:
        return bool(ml_dtypes.finfo(dtype).bits)
    except ValueError:
        return False
