"""Whether the config.json of a converted folder says what a model can be built from.

All of it is checked before anything is built: a size out of bounds would otherwise take all time or memory there is,
and one that does not fit would show as a shape error somewhere inside the network.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, get_args, get_origin

from cosy_jax.checkpoint.bounds import BOUNDS, LONGEST_LISTS, RELATIONS
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError

_LONGEST_LIST = 16
_SHOWN = 40  # characters of a value in an error
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class FileRecord:
    """What config.json says of a file."""

    sha256: str
    bytes: int


def check_model(data: Any, path: Path) -> ModelConfig:
    """The sizes and settings in `data`, of the file `path`; one that is left out has its default. CosyError names the
    setting that is unknown, of another type, out of its bounds, or does not fit another one."""
    config = _section(data, ModelConfig, "", path)
    for name, what, holds in RELATIONS:
        if not holds(config):
            raise CosyError(f"{path}: the setting {name} {what}: convert the model again.")
    return config


def check_records(data: Any, path: Path) -> dict[str, FileRecord]:
    """Digest and size of files by their name in the folder, as `data` in the file `path` has them; CosyError for
    anything else, or a name that leaves the folder."""
    if not isinstance(data, Mapping):
        _refuse_record(path, "files")
    return {name: _record(name, entry, path) for name, entry in data.items()}


def _record(name: str, entry: Any, path: Path) -> FileRecord:
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or "\0" in name or not isinstance(entry, Mapping):
        _refuse_record(path, name)
    digest, size = entry.get("sha256"), entry.get("bytes")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest) or type(size) is not int or size < 0:
        _refuse_record(path, name)
    return FileRecord(digest, size)


def _refuse_record(path: Path, name: str) -> NoReturn:
    raise CosyError(f"{path} has no readable digest and size of {_shown(name)}: convert the model again.")


def _section(data: Any, kind: type, prefix: str, path: Path) -> Any:
    """An instance of the dataclass `kind`, whose settings are named with `prefix` in front."""
    if not isinstance(data, Mapping):
        name = prefix.rstrip(".") or "model"
        raise CosyError(f"{path}: {name} is {_shown(data)}, not a set of settings: convert the model again.")
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    unknown = sorted(data.keys() - types.keys())
    if unknown:
        raise CosyError(
            f"{path} has a setting {_shown(prefix + unknown[0])}, which this program does not know: update it, or "
            "convert the model again."
        )
    return kind(**{name: _setting(value, types[name], prefix + name, path) for name, value in data.items()})


def _setting(value: Any, kind: Any, name: str, path: Path) -> Any:
    if dataclasses.is_dataclass(kind):
        assert isinstance(kind, type)
        return _section(value, kind, f"{name}.", path)
    if get_origin(kind) is tuple:
        return _list(value, get_args(kind)[0], name, path)
    if value is None and type(None) in get_args(kind):
        return None
    whole, (least, most) = kind is int, BOUNDS[name]
    # A bool is an int, and NaN is within no bounds.
    if type(value) not in ((int,) if whole else (int, float)) or not least <= value <= most:
        number = "a whole number" if whole else "a number"
        span = f"{least:g}" if least == most else f"from {_written(least)} to {_written(most)}"
        wanted = f"not {number} {span}" if least != most else f"not {span}"
        raise CosyError(f"{path}: the setting {name} is {_shown(value)}, {wanted}: convert the model again.")
    return value if whole else float(value)


def _list(value: Any, kind: Any, name: str, path: Path) -> tuple:
    most = LONGEST_LISTS.get(name, _LONGEST_LIST)
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise CosyError(
            f"{path}: the setting {name} is {_shown(value)}, not a list of 1 to {most}: convert the model again."
        )
    return tuple(_setting(item, kind, name, path) for item in value)


def _written(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _shown(value: Any) -> str:
    """A value as it stands in an error, shortened: it may be of any length and depth."""
    if isinstance(value, dict | list):
        return f"a {'set' if isinstance(value, dict) else 'list'} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:
        return f"a number of some {int(math.log10(abs(value))) + 1} digits"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
