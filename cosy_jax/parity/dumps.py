"""The one reader of dumps: what cannot be compared is a sentence (CosyError), which is another thing than a limit that
is missed."""

import json
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.nn.buckets import SPEECH_TOKENS
from cosy_jax.parity.contents import CASES, TENSORS, sizes, vocabularies

_AGAIN = "capture or copy it again"
_KINDS = {"float": "f", "bool": "b"}  # of a numpy type; all others are integers
_TRUTH, _POSITIONS = "_f64", ".positions"
_LARGEST_JSON = 2**24  # bytes


class Dump(dict[str, np.ndarray]):
    """A dump's tensors by name; CosyError where one is asked for that it lacks."""

    def __init__(self, path: Path, tensors: Mapping[str, np.ndarray]) -> None:
        super().__init__(tensors)
        self.path = path

    def __missing__(self, name: str) -> np.ndarray:
        raise _lacks(self.path, name)


def read_dump(path: Path, config: ModelConfig) -> Dump:
    """The tensors of a safetensors dump, which are such as `contents` describes, for a model of this configuration.

    CosyError where the file cannot be read, is truncated, or holds other types, shapes or values than its name says.
    """
    try:
        with safe_open(path, "numpy") as file:
            dump = Dump(path, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    # The last two: a type that NumPy has not.
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from error
    _check_tensors(dump, config)
    _check_lengths(dump, config)
    return dump


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors dump says of its run; CosyError where it cannot be read."""
    try:
        with safe_open(path, "numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def read_shape(path: Path, name: str) -> tuple[int, ...]:
    """The shape of a tensor of at least one axis, itself unread; CosyError where the dump lacks it."""
    try:
        with safe_open(path, "numpy") as file:
            shape = tuple(file.get_slice(name).get_shape()) if name in file.keys() else ()  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error
    if not shape:
        raise _lacks(path, name)
    return shape


def read_flag(path: Path, name: str) -> bool:
    """A setting of a dump's run that its metadata give as "True" or "False"; CosyError where they do not."""
    value = read_metadata(path).get(name)
    if value not in ("True", "False"):
        raise CosyError(f"{path} does not say of its run whether {name!r}: {_AGAIN}.")
    return value == "True"


def read_count(path: Path, name: str, otherwise: int) -> int:
    """A number of steps that a dump's metadata give, `otherwise` where they do not; CosyError where it is none."""
    value = read_metadata(path).get(name, str(otherwise))
    if not re.fullmatch("[0-9]{1,9}", value):
        raise CosyError(f"{path} says {value[:40]!r} for {name!r}, which is no number of steps: {_AGAIN}.")
    return int(value)


def inputs_of(trace: Path) -> Path:
    """The dump that a trace was made from, which lies beside it; CosyError where the trace does not name one."""
    name = read_metadata(trace).get("inputs", "")
    if not fnmatchcase(name, "*.safetensors") or Path(name).name != name:
        raise CosyError(f"{trace} does not say which dump it was traced from: {_AGAIN}.")
    return trace.with_name(name)


def read_cases(path: Path) -> dict[str, Any]:
    """The content of a JSON dump, with at least one case; CosyError where it is not what `contents` describes."""
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise ValueError(f"more than {_LARGEST_JSON} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from error
    wrong = _misfit(content, CASES[path.name], "the file")
    if wrong or not content["cases"]:
        raise CosyError(f"{path}: {wrong or 'it holds no case'}: {_AGAIN}.")
    return content


def _lacks(path: Path, name: str) -> CosyError:
    return CosyError(f"{path} lacks {name!r}: {_AGAIN}.")


def _unreadable(path: Path, error: Exception) -> CosyError:
    if isinstance(error, OSError) and error.strerror:
        return CosyError(f"Cannot read {path}: {error.strerror}.")
    return CosyError(f"{path} is truncated or no dump ({_first_line(error)}): {_AGAIN}.")


def _quoted(name: str) -> str:
    """A name that a dump gives, which may be of any length."""
    return repr(name[:60])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]


def _misfit(value: Any, wanted: Any, where: str) -> str:
    """What is wrong with a JSON value, "" where it is as wanted."""
    if wanted is str:
        whole = isinstance(value, str) and not re.search("[\ud800-\udfff]", value)
        return "" if whole else f"{where} is no text of whole characters"
    if wanted is int:
        return "" if type(value) is int and 0 <= value < 2**31 else f"{where} is no whole number from 0 to 2147483647"
    if not isinstance(value, type(wanted)):
        return f"{where} is no {'list' if isinstance(wanted, list) else 'object'}"
    parts: list[tuple[Any, Any, str]]
    if isinstance(wanted, list):
        parts = [(item, wanted[0], f"an entry of {where}") for item in value]
    elif list(wanted) == [str]:
        parts = [(name, str, f"a name in {where}") for name in value]
        parts += [(item, wanted[str], _quoted(name)) for name, item in value.items()]
    elif missing := sorted(wanted.keys() - value.keys()):
        return f"{where} lacks {missing[0]!r}"
    else:
        parts = [(value[name], wanted[name], f"{name!r}") for name in wanted]
    return next((wrong for part in parts if (wrong := _misfit(*part))), "")


def _check_tensors(dump: Dump, config: ModelConfig) -> None:
    known = dict(sizes(config))
    for name, values in dump.items():
        words = _description(dump, name)
        if words is None:
            continue
        kind, *axes = words.split()
        shape = [_length(axis, size, known) for axis, size in zip(axes, values.shape, strict=False)]
        if len(axes) != values.ndim or shape != list(values.shape):
            wanted = ", ".join(str(size) for size in shape) if len(axes) == values.ndim else f"{len(axes)} axes"
            raise CosyError(
                f"{dump.path} holds {_quoted(name)} as {values.shape}, not ({wanted}): {_AGAIN}, for this model."
            )
        _check_values(dump.path, name, values, kind, vocabularies(config))


def _description(dump: Dump, name: str) -> str | None:
    """How `contents` describes a tensor, None where it says nothing; a trace describes itself."""
    if dump.path.name.startswith("trace_"):
        return "int *" if name.endswith(_POSITIONS) else "float * * *"
    kinds = next((kinds for pattern, kinds in TENSORS.items() if fnmatchcase(dump.path.name, pattern)), {})
    names = (name, name.removesuffix(_TRUTH))
    return next((kinds[glob] for each in names for glob in kinds if fnmatchcase(each, glob)), None)


def _length(axis: str, size: int, known: dict[str, int]) -> int:
    """What the length of an axis should be, which is `size` wherever it is free."""
    if axis.isdigit():
        return int(axis)
    if axis == "*":
        return size
    if axis == "rl":
        return known["r"] * known.setdefault("l", max(size // known["r"], 1))
    return known.setdefault(axis, max(size, 1))


def _check_values(path: Path, name: str, values: np.ndarray, kind: str, vocabulary: Mapping[str, int]) -> None:
    wanted = _KINDS.get(kind, "iu")
    if values.dtype.kind not in wanted:
        raise CosyError(f"{path} holds {_quoted(name)} as {values.dtype}: {_AGAIN}.")
    if wanted == "f" and not np.isfinite(values).all():
        raise CosyError(f"{path} holds NaN or infinite values in {_quoted(name)}: {_AGAIN}.")
    if wanted == "iu" and values.size and not (values.min() >= 0 and values.max() < vocabulary[kind]):
        raise CosyError(
            f"{path} holds ids in {_quoted(name)} that this model does not know: use dumps of the same model."
        )


def _check_lengths(dump: Dump, config: ModelConfig) -> None:
    """What one tensor's shape or values mean for another's."""
    for name, values in dump.items():
        truth, positions = dump.get(f"{name}{_TRUTH}", values), dump.get(f"{name}{_POSITIONS}")
        if truth.shape != values.shape or (positions is not None and len(positions) != values.shape[1]):
            raise CosyError(f"{dump.path} holds {_quoted(name)} in two shapes: {_AGAIN}.")
    rules = (
        ("step_x", "step_t", lambda steps, times: len(steps) <= len(times)),
        ("fallback", "noise_full", lambda fell_back, noise: int(fell_back.sum()) <= len(noise)),
        ("speech", "mel", lambda speech, mel: speech.shape[1] == config.prompt_mel.hop * max(mel.shape[1], 2)),
        ("batch_mel", "batch_mel_len", lambda mel, lengths: lengths.min() >= 1 and lengths.max() <= mel.shape[2]),
    )
    for first, second, holds in rules:
        if first in dump and second in dump and not holds(dump[first], dump[second]):
            raise CosyError(f"{dump.path} holds {first!r} and {second!r} that do not fit each other: {_AGAIN}.")
    tokens = sum(dump[name].shape[1] for name in ("prompt_token", "token", "speech_token") if name in dump)
    least = config.vocoder.lookahead + config.vocoder.f0_lookahead + 2
    if tokens > SPEECH_TOKENS[-1] or ("prompt_token" in dump and tokens <= config.flow.lookahead + 1):
        raise CosyError(f"{dump.path} holds {tokens} speech tokens, too many or too few for a run: {_AGAIN}.")
    if fnmatchcase(dump.path.name, "hift_[!n]*") and "mel" in dump and dump["mel"].shape[2] < least:
        raise CosyError(f"{dump.path} holds a mel of fewer than {least} frames: {_AGAIN}.")
