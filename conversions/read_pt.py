"""Reads PyTorch `.pt` files without PyTorch, and without running anything that is in them.

The zip format of `torch.save` (https://docs.pytorch.org/docs/stable/notes/serialization.html): `<prefix>/data.pkl` is
a pickle whose tensors refer to storages by persistent id, `<prefix>/data/<key>` holds the bytes of one storage, and
`<prefix>/byteorder` says how they were written.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ml_dtypes
import numpy as np

from cosy_jax.errors import CosyError

from .read_pickle import read_pickle
from .read_zip import DamagedZip, Zip
from .source import MAX_AXES, LazyTensor, brief, check_tensor, check_weight_file

_MAX_PICKLE = 4 << 20  # bytes; the released hift.pt has 45 kB
# A view may span more of its storage than its own elements, or repeat them: up to here, or so many times.
_SMALL = 1 << 20
_MAX_SPREAD = 16

_STORAGE_TYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
_DTYPES = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "int64": np.int64,
    "int32": np.int32,
    "int16": np.int16,
    "int8": np.int8,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.bool_,
}


@dataclass(frozen=True)
class _ElementType:
    """Stands for a `torch.*Storage` type or a `torch` dtype; None is UntypedStorage, which counts in bytes."""

    dtype: np.dtype | None


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype | None
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    dtype: np.dtype
    offset: int  # elements
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # elements


@dataclass(frozen=True)
class _Function:
    """What the pickle may call."""

    call: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        return self.call(*args)


def _rebuild_tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> _Tensor:
    if storage.dtype is None:
        raise ValueError("a tensor on an untyped storage says no element type")
    return _make_tensor(storage, storage.dtype, offset, shape, strides)


def _rebuild_tensor_v3(
    storage: _Storage, offset: int, shape: tuple, strides: tuple, grad: Any, hooks: Any, kind: _ElementType, *_: Any
) -> _Tensor:
    if kind.dtype is None:
        raise ValueError("a tensor says no element type")
    return _make_tensor(storage, kind.dtype, offset, shape, strides)


def _make_tensor(storage: _Storage, dtype: np.dtype, offset: int, shape: tuple, strides: tuple) -> _Tensor:
    if not isinstance(storage, _Storage) or len(shape) != len(strides) or len(shape) > MAX_AXES:
        raise ValueError("a tensor has an impossible shape")
    if not all(type(number) is int and number >= 0 for number in (offset, *shape, *strides)):
        raise ValueError("a tensor has an impossible shape")
    return _Tensor(storage, dtype, offset, tuple(shape), tuple(strides))


def _empty_dict() -> dict[Any, Any]:
    return {}


def _size(shape: tuple) -> tuple:
    if not isinstance(shape, tuple):
        raise ValueError("a size is no tuple")
    return shape


_GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Function(_empty_dict),
    ("torch", "Size"): _Function(_size),
    ("torch", "UntypedStorage"): _ElementType(None),
    ("torch.storage", "UntypedStorage"): _ElementType(None),
    ("torch._utils", "_rebuild_tensor"): _Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): _Function(_rebuild_tensor_v3),
    ("torch._utils", "_rebuild_parameter"): _Function(lambda tensor, *_: tensor),
    ("torch.serialization", "_get_layout"): _Function(lambda name: name),
    **{("torch", name): _ElementType(np.dtype(kind)) for name, kind in (_STORAGE_TYPES | _DTYPES).items()},
}


def open_pt(path: Path) -> dict[str, LazyTensor]:
    """The tensors of a `.pt` file by name, read when asked for.

    Entries that are no tensors (`epoch`, `step`) are left out. Where the top level has no tensor, the one dict in it
    that has some is taken. CosyError for anything but a complete file in torch's zip format that holds plain weights;
    reading a tensor is one where the bytes do not match the file's checksum of them.
    """
    check_weight_file(path)
    try:
        archive = Zip(path)
        prefix, content = _unpickle(archive)
        storages = _Storages(path, prefix, archive)
    except CosyError as error:
        raise CosyError(f"{path} {error}: use a file that holds only a state dict.") from error
    except (DamagedZip, OSError) as error:
        fault = f"truncated or not in PyTorch's zip format, torch >= 1.6 ({brief(error)})"
        raise CosyError(f"{path} is {fault}: copy it again.") from error
    return {name: storages.tensor(name, value) for name, value in _tensors(path, content).items()}


def _unpickle(archive: Zip) -> tuple[str, Any]:
    pickles = [name for name in archive.members if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CosyError("is a zip file but has no data.pkl")
    pickled = archive.read(pickles[0], _MAX_PICKLE)
    try:
        content = read_pickle(pickled, _find, _refer, _Function)
    except CosyError:
        raise
    # A damaged or hostile pickle can fail in any way: each one means the same to the user.
    except Exception as error:
        raise CosyError(f"has a damaged table of contents ({brief(error)})") from error
    return pickles[0].removesuffix("data.pkl"), content


def _find(module: str, name: str) -> Any:
    """The inert stand-in for one of the few names that weights need."""
    if (module, name) not in _GLOBALS:
        name = brief(f"{module}.{name}")
        raise CosyError(f"refers to '{name}', which is not part of plain weights, so it was not opened")
    return _GLOBALS[module, name]


def _refer(pid: Any) -> _Storage:
    kind, element, key, _, count = pid
    if kind != "storage" or not isinstance(element, _ElementType):
        raise ValueError("an unknown kind of reference")
    if not isinstance(key, str) or type(count) is not int or count < 0:
        raise ValueError("an impossible storage")
    return _Storage(key, element.dtype, count)


def _tensors(path: Path, content: Any) -> dict[str, _Tensor]:
    if not isinstance(content, Mapping):
        raise CosyError(f"{path} holds a {type(content).__name__}, not a state dict: save `model.state_dict()`.")
    found = _tensors_of(content)
    if found:
        return found
    candidates = [
        tensors for value in content.values() if isinstance(value, Mapping) and (tensors := _tensors_of(value))
    ]
    if len(candidates) != 1:
        raise CosyError(f"{path} holds {len(candidates)} state dicts where one is needed: save `model.state_dict()`.")
    return candidates[0]


def _tensors_of(content: Mapping[Any, Any]) -> dict[str, _Tensor]:
    return {str(name): value for name, value in content.items() if isinstance(value, _Tensor)}


class _Storages:
    """Where the bytes of each storage are."""

    def __init__(self, path: Path, prefix: str, archive: Zip) -> None:
        self.path = path
        self.prefix = prefix
        self.archive = archive
        byteorder = prefix + "byteorder"
        big = byteorder in archive.members and archive.read(byteorder, 16).strip() == b"big"
        self.byteorder: Literal["<", ">"] = ">" if big else "<"

    def tensor(self, name: str, tensor: _Tensor) -> LazyTensor:
        """Checks that the tensor lies inside its storage, and the storage inside the file."""
        check_tensor(self.path, name, tensor.shape)
        storage = tensor.storage
        member = f"{self.prefix}data/{storage.key}"
        if member not in self.archive.members:
            raise CosyError(f"{self.path} has no data for '{name}': copy it again.")
        size = self.archive.size(member)
        needed = (tensor.offset + _extent(tensor)) * tensor.dtype.itemsize
        if size != storage.count * (1 if storage.dtype is None else storage.dtype.itemsize) or needed > size:
            raise CosyError(f"{self.path} has {size} bytes for '{name}', which do not fit it: copy it again.")
        self._check_spread(name, tensor, size if self.archive.is_deflated(member) else 0)
        return LazyTensor(tensor.shape, tensor.dtype, lambda: self._read(member, tensor))

    def _check_spread(self, name: str, tensor: _Tensor, inflated: int) -> None:
        """CosyError for a view that takes far more bytes than the tensor has, or makes far more of them."""
        few, many = sorted(count * tensor.dtype.itemsize for count in (math.prod(tensor.shape), _extent(tensor)))
        if max(many, inflated) > max(_SMALL, _MAX_SPREAD * few):
            raise CosyError(f"{self.path} keeps '{name}' as a part of far more data: save it contiguous.")

    def _read(self, member: str, tensor: _Tensor) -> np.ndarray:
        extent = _extent(tensor)
        dtype = tensor.dtype.newbyteorder(self.byteorder)
        start = tensor.offset * tensor.dtype.itemsize
        try:
            if self.archive.is_deflated(member):
                content = self.archive.read(member, self.archive.size(member))
                flat = np.frombuffer(content, dtype=dtype, count=extent, offset=start)
            else:
                flat = self.archive.read_range(member, start, dtype, extent)
        except (DamagedZip, OSError) as error:
            raise CosyError(f"{self.path} is truncated or damaged ({brief(error)}): copy it again.") from error
        steps = tuple(stride * dtype.itemsize for stride in tensor.strides)
        view = np.lib.stride_tricks.as_strided(flat, tensor.shape, steps, writeable=False)
        return np.ascontiguousarray(view, dtype=tensor.dtype).reshape(tensor.shape)


def _extent(tensor: _Tensor) -> int:
    """How many elements of the storage the tensor spans, from its offset."""
    if math.prod(tensor.shape) == 0:
        return 0
    return 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
