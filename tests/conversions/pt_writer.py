"""Writes files in the zip format of `torch.save` without torch, also ones that torch would never write."""

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


@dataclass(frozen=True)
class Global:
    """A name that the pickle imports."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """A call that the pickle makes when it is loaded."""

    function: Global
    args: tuple


@dataclass(frozen=True)
class Storage:
    """A reference to the bytes under `data/<key>`."""

    kind: Global
    key: str
    count: int


ORDERED_DICT = Call(Global("collections", "OrderedDict"), ())


def tensor(storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Call:
    """A view of a storage, offset and strides in elements."""
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), (storage, offset, shape, strides, False, ORDERED_DICT))


def storage_of(array: np.ndarray, key: str) -> Storage:
    return Storage(Global("torch", STORAGES[array.dtype.name]), key, array.size)


def write_pt(path: Path, tensors: Mapping[str, np.ndarray], others: Mapping[str, Any] | None = None) -> None:
    """A state dict, one contiguous storage a tensor, and further entries."""
    content: dict[str, Any] = dict(others or {})
    data = {}
    for key, (name, array) in enumerate(tensors.items()):
        array = np.asarray(array)
        strides = tuple(step // array.itemsize for step in np.ascontiguousarray(array).reshape(array.shape).strides)
        content[name] = tensor(storage_of(array, str(key)), 0, array.shape, strides)
        data[str(key)] = array.tobytes()
    write_archive(path, dump(content), data)


def write_archive(
    path: Path,
    pickled: bytes,
    data: Mapping[str, bytes],
    byteorder: str = "little",
    compression: int = zipfile.ZIP_STORED,
) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{path.stem}/data.pkl", pickled)
        archive.writestr(f"{path.stem}/byteorder", byteorder)
        for key, content in data.items():
            archive.writestr(f"{path.stem}/data/{key}", content)
        archive.writestr(f"{path.stem}/version", "3\n")


def dump(value: Any) -> bytes:
    """The pickle, protocol 2, of plain data and of the classes above."""
    return b"\x80\x02" + emit(value) + b"."


def emit(value: Any) -> bytes:
    """The opcodes that leave the value on the unpickler's stack."""
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        return b"\x8a\x08" + struct.pack("<q", value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return b"X" + struct.pack("<I", len(text)) + text
    if isinstance(value, tuple | list):
        return b"(" + b"".join(map(emit, value)) + (b"t" if isinstance(value, tuple) else b"l")
    if isinstance(value, dict):
        return b"(" + b"".join(emit(key) + emit(item) for key, item in value.items()) + b"d"
    if isinstance(value, Global):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Call):
        return emit(value.function) + emit(value.args) + b"R"
    if isinstance(value, Storage):
        return emit(("storage", value.kind, value.key, "cpu", value.count)) + b"Q"
    raise TypeError(type(value))
