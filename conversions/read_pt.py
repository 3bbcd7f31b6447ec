"""Reads PyTorch `.pt` files without PyTorch, and without running anything that is in them.

The zip format of `torch.save` (https://docs.pytorch.org/docs/stable/notes/serialization.html): `<prefix>/data.pkl` is
a pickle whose tensors refer to storages by persistent id, `<prefix>/data/<key>` holds the bytes of one storage, and
`<prefix>/byteorder` says how they were written.
"""

import math
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import ml_dtypes
import numpy as np

from cosy_jax.errors import CosyError

from .source import LazyTensor, check_weight_file, read_range

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
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, then the lengths of name and extra field


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


class _Inert:
    """A callable for the unpickler that a file can neither change nor see into."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise pickle.UnpicklingError("the file tries to change its reader")

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)


def _rebuild_tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> _Tensor:
    if storage.dtype is None:
        raise pickle.UnpicklingError("a tensor on an untyped storage says no element type")
    return _make_tensor(storage, storage.dtype, offset, shape, strides)


def _rebuild_tensor_v3(
    storage: _Storage, offset: int, shape: tuple, strides: tuple, grad: Any, hooks: Any, kind: _ElementType, *_: Any
) -> _Tensor:
    if kind.dtype is None:
        raise pickle.UnpicklingError("a tensor says no element type")
    return _make_tensor(storage, kind.dtype, offset, shape, strides)


def _make_tensor(storage: _Storage, dtype: np.dtype, offset: int, shape: tuple, strides: tuple) -> _Tensor:
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise pickle.UnpicklingError("a tensor has an impossible shape")
    return _Tensor(storage, dtype, offset, tuple(shape), tuple(strides))


_GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): _Inert(tuple),
    ("torch", "UntypedStorage"): _ElementType(None),
    ("torch.storage", "UntypedStorage"): _ElementType(None),
    ("torch._utils", "_rebuild_tensor"): _Inert(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Inert(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): _Inert(_rebuild_tensor_v3),
    ("torch._utils", "_rebuild_parameter"): _Inert(lambda tensor, *_: tensor),
    ("torch.serialization", "_get_layout"): _Inert(lambda name: name),
    **{("torch", name): _ElementType(np.dtype(kind)) for name, kind in (_STORAGE_TYPES | _DTYPES).items()},
}


class _Unpickler(pickle.Unpickler):
    """Knows the few names that weights need, each as an inert stand-in, and refuses all others."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _GLOBALS:
            raise CosyError(f"refers to '{module}.{name}', which is not part of plain weights, so it was not opened")
        return _GLOBALS[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, element, key, _, count = pid
        if kind != "storage" or not isinstance(element, _ElementType) or not isinstance(count, int):
            raise pickle.UnpicklingError("an unknown kind of reference")
        return _Storage(str(key), element.dtype, count)


def open_pt(path: Path) -> dict[str, LazyTensor]:
    """The tensors of a `.pt` file by name, read when asked for.

    Entries that are no tensors (`epoch`, `step`) are left out. Where the top level has no tensor, the one dict in it
    that has some is taken. CosyError for anything but a complete file in torch's zip format that holds plain weights.
    """
    check_weight_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            prefix, content = _unpickle(archive)
            storages = _Storages(path, prefix, archive)
    except CosyError as error:
        raise CosyError(f"{path} {error}: use a file that holds only a state dict.") from error
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise CosyError(f"{path} is truncated or not in PyTorch's zip format (torch >= 1.6): copy it again.") from error
    return {name: storages.tensor(name, value) for name, value in _tensors(path, content).items()}


def _unpickle(archive: zipfile.ZipFile) -> tuple[str, Any]:
    pickles = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CosyError("is a zip file but has no data.pkl")
    try:
        with archive.open(pickles[0]) as file:
            content = _Unpickler(file).load()
    except CosyError:
        raise
    # A damaged or hostile pickle can fail in any way: each one means the same to the user.
    except Exception as error:
        raise CosyError(f"has a damaged table of contents ({error})") from error
    return pickles[0].removesuffix("data.pkl"), content


def _tensors(path: Path, content: Any) -> dict[str, _Tensor]:
    if not isinstance(content, Mapping):
        raise CosyError(f"{path} holds a {type(content).__name__}, not a state dict: save `model.state_dict()`.")
    found = {str(name): value for name, value in content.items() if isinstance(value, _Tensor)}
    if found:
        return found
    inner = [value for value in content.values() if isinstance(value, Mapping)]
    candidates = [value for value in inner if any(isinstance(item, _Tensor) for item in value.values())]
    if len(candidates) != 1:
        raise CosyError(f"{path} holds {len(candidates)} state dicts where one is needed: save `model.state_dict()`.")
    return {str(name): value for name, value in candidates[0].items() if isinstance(value, _Tensor)}


class _Storages:
    """Where the bytes of each storage are."""

    def __init__(self, path: Path, prefix: str, archive: zipfile.ZipFile) -> None:
        self.path = path
        self.prefix = prefix
        self.members = {info.filename: info for info in archive.infolist()}
        byteorder = prefix + "byteorder"
        big = byteorder in self.members and archive.read(byteorder).strip() == b"big"
        self.byteorder: Literal["<", ">"] = ">" if big else "<"

    def tensor(self, name: str, tensor: _Tensor) -> LazyTensor:
        """Checks that the tensor lies inside its storage, and the storage inside the file."""
        storage = tensor.storage
        info = self.members.get(f"{self.prefix}data/{storage.key}")
        if info is None:
            raise CosyError(f"{self.path} has no data for '{name}': copy it again.")
        item = 1 if storage.dtype is None else storage.dtype.itemsize
        needed = (tensor.offset + _extent(tensor)) * tensor.dtype.itemsize
        if info.file_size != storage.count * item or needed > info.file_size:
            raise CosyError(f"{self.path} has {info.file_size} bytes for '{name}', which do not fit it: copy it again.")
        return LazyTensor(tensor.shape, tensor.dtype, lambda: self._read(info, tensor))

    def _read(self, info: zipfile.ZipInfo, tensor: _Tensor) -> np.ndarray:
        extent = _extent(tensor)
        dtype = tensor.dtype.newbyteorder(self.byteorder)
        start = tensor.offset * tensor.dtype.itemsize
        if info.compress_type == zipfile.ZIP_STORED:
            flat = read_range(self.path, self._data_offset(info) + start, dtype, extent)
        else:
            flat = np.frombuffer(self._decompress(info), dtype=dtype, count=extent, offset=start)
        steps = tuple(stride * dtype.itemsize for stride in tensor.strides)
        view = np.lib.stride_tricks.as_strided(flat, tensor.shape, steps, writeable=False)
        return np.ascontiguousarray(view, dtype=tensor.dtype).reshape(tensor.shape)

    def _decompress(self, info: zipfile.ZipInfo) -> bytes:
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(info)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            raise CosyError(f"{self.path} is truncated or damaged: copy it again.") from error

    def _data_offset(self, info: zipfile.ZipInfo) -> int:
        # The central directory's extra field may differ in length from the local one, which torch pads for alignment.
        with self.path.open("rb") as file:
            file.seek(info.header_offset)
            header = file.read(_LOCAL_HEADER.size)
        if len(header) != _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise CosyError(f"{self.path} is truncated or damaged: copy it again.")
        _, name, extra = _LOCAL_HEADER.unpack(header)
        return info.header_offset + _LOCAL_HEADER.size + name + extra


def _extent(tensor: _Tensor) -> int:
    """How many elements of the storage the tensor spans, from its offset."""
    if math.prod(tensor.shape) == 0:
        return 0
    return 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
