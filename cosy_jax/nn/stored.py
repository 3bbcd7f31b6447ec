"""What is kept from one run to the next beside JAX's own cache, which still has a program traced to find it: whole
programs (`programs`), and what parameters a stage has.

A file has one line of JSON in front of its content: where it comes from, and a digest. Both tell what is stale, cut off
or another program's, not who wrote it: the folder is as trusted as that of compiled programs, of which it is a part.
"""

import functools
import hashlib
import json
import os
import platform
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import jax

from cosy_jax.errors import CosyError
from cosy_jax.files import write_whole
from cosy_jax.nn import backend

_FORMAT = 1
_FOLDER = "programs"
_PACKAGE = Path(__file__).parents[1]
_SOURCES = ("config.py", "nn", "llm", "flow", "vocoder", "prompt", "checkpoint/stages.py")  # what is traced
_VERSIONS = ("jax", "jaxlib", "flax", "numpy", "ml-dtypes")
_VARIABLES = ("XLA_", "JAX_", "LIBTPU_", "NVIDIA_TF32")  # they change what is compiled


class StoreWarning(UserWarning):
    """Something stored is of no use, or nothing can be stored."""


@dataclass(frozen=True)
class Store:
    """A folder of files."""

    folder: Path

    def read(self, file: str) -> bytes | None:
        """What `write` was given; None where there is nothing, and with a `StoreWarning` where it is stale, damaged or
        something else."""
        try:
            head, _, content = (self.folder / file).read_bytes().partition(b"\n")
            if not (trouble := _trouble(head, content)):
                return content
        except FileNotFoundError:
            return None
        except OSError as error:
            trouble = f"cannot be read ({error.strerror})"
        # Without a name: Python then says it once.
        warnings.warn(f"Stored programs {trouble}: they are made anew.", StoreWarning, stacklevel=1)
        return None

    def write(self, file: str, content: bytes) -> None:
        """Keeps `content`, in place of what is there; a `StoreWarning` where that fails."""
        header = {"origin": origin(), "sha256": hashlib.sha256(content).hexdigest()}
        try:
            write_whole(self.folder / file, json.dumps(header).encode() + b"\n" + content)
        except CosyError as error:
            warnings.warn(f"Programs cannot be kept: {error}", StoreWarning, stacklevel=3)


def file_name(name: str, key: str) -> str:
    """Of what depends on the key."""
    return f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:40]}"


_current: Store | None = None


def keep_in(cache: Path | None) -> None:
    """Store what is traced from now on in a folder of compiled programs, or nowhere."""
    global _current
    _current = None if cache is None else Store(cache / _FOLDER)


def current() -> Store | None:
    """Where things are stored, None where nothing is."""
    return _current


def _trouble(head: bytes, content: bytes) -> str:
    """Why this is of no use; "" where it is."""
    try:
        header = json.loads(head)
        found, digest = header["origin"], header["sha256"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return "are none of cosy_jax"
    if found != origin():
        return "are of another version or machine"
    return "" if digest == hashlib.sha256(content).hexdigest() else "are damaged"


@functools.cache
def origin() -> str:
    """A digest of all that a program depends on beside what it is asked for: this package's source, versions, the
    device, the processor and how many threads there are, and the variables that XLA heeds."""
    device = jax.devices()[0]
    variables = sorted((k, v) for k, v in os.environ.items() if k.startswith(_VARIABLES) and k != "JAX_PLATFORMS")
    parts = (
        _FORMAT,
        _source_digest(),
        [metadata.version(name) for name in _VERSIONS],
        (device.platform, device.device_kind, device.client.platform_version, jax.device_count()),
        (platform.machine(), _processor(), backend.host_cores(), os.environ.get("NPROC")),
        [(name, value) for name, value in variables if "CACHE" not in name],
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _source_digest() -> str:
    whole = hashlib.sha256()
    for name in _SOURCES:
        place = _PACKAGE / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            whole.update(str(path.relative_to(_PACKAGE)).encode() + path.read_bytes())
    return whole.hexdigest()


def _processor() -> str:
    """What kind it is and what instructions it has: machine code of one stops another."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(line for line in lines if line.startswith(wanted))
