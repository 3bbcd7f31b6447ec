"""Reads graph structure and weights of an ONNX file: a small protobuf reader, since nothing else of ONNX is needed.

Field numbers are those of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3). A message is a run of
(field number, wire type, value); wire type 0 is a varint, 1 eight bytes, 2 length-delimited, 5 four bytes
(https://protobuf.dev/programming-guides/encoding/).
"""

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import ml_dtypes
import numpy as np

from cosy_jax.errors import CosyError

from .source import MAX_AXES, LazyTensor, brief, check_tensor, check_weight_file, read_range

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OP_TYPE = 1, 2, 3, 4
_VALUE_NAME = 1
_TENSOR_DIMS, _TENSOR_DATA_TYPE, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_LOCATION = 1, 2, 8, 9, 14

_DATA_TYPES = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
    16: ml_dtypes.bfloat16,
}
# Where a tensor has no raw_data: float_data, int64_data, double_data, or int32_data for all narrower types; each
# repeated or packed, floating point as it is, whole numbers as varints.
_INT32_DATA = 5
_TYPED_FIELDS = {np.dtype(np.float32): 4, np.dtype(np.int64): 7, np.dtype(np.float64): 10}

# Bounds on what takes more memory here than in the file; the released graphs have some 3000 nodes.
_MAX_ITEMS = 100_000  # nodes, initializers, names of one message
_MAX_VARINTS = 1 << 20  # weights are raw or float_data

_HALF_TYPES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))

Span = tuple[int, int]


@dataclass(frozen=True)
class Node:
    """One operation of the graph."""

    op_type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass
class Graph:
    """Names of inputs and outputs, the nodes in order, and the initializers by name."""

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    initializers: dict[str, LazyTensor] = field(default_factory=dict)


def open_onnx(path: Path) -> Graph:
    """The main graph of an ONNX file; CosyError for a damaged file and for weights kept outside of it."""
    check_weight_file(path)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse_graph(path, data)
    except (ValueError, IndexError, OSError, OverflowError) as error:
        raise CosyError(f"{path} is truncated or not an ONNX file ({brief(error)}): download it again.") from error


def _parse_graph(path: Path, data: mmap.mmap) -> Graph:
    spans = [value for number, value in _fields(data, (0, len(data))) if number == _MODEL_GRAPH]
    if len(spans) != 1:
        raise ValueError("it has no graph")
    graph = Graph()
    for number, value in _fields(data, _span(spans[0])):
        if len(graph.nodes) + len(graph.initializers) + len(graph.inputs) + len(graph.outputs) > _MAX_ITEMS:
            raise ValueError("it has too many nodes")
        if number == _GRAPH_NODE:
            graph.nodes.append(_parse_node(data, _span(value)))
        elif number == _GRAPH_INITIALIZER:
            name, tensor = _parse_tensor(path, data, _span(value))
            if name in graph.initializers:
                raise ValueError(f"two weights are named '{name}'")
            graph.initializers[name] = tensor
        elif number in (_GRAPH_INPUT, _GRAPH_OUTPUT):
            names = graph.inputs if number == _GRAPH_INPUT else graph.outputs
            names.extend(_texts(data, _span(value), _VALUE_NAME)[_VALUE_NAME])
    return graph


def _parse_node(data: mmap.mmap, span: Span) -> Node:
    texts = _texts(data, span, _NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OP_TYPE)
    return Node(
        op_type="".join(texts[_NODE_OP_TYPE]),
        name="".join(texts[_NODE_NAME]),
        inputs=tuple(texts[_NODE_INPUT]),
        outputs=tuple(texts[_NODE_OUTPUT]),
    )


def _parse_tensor(path: Path, data: mmap.mmap, span: Span) -> tuple[str, LazyTensor]:
    name = "".join(_texts(data, span, _TENSOR_NAME)[_TENSOR_NAME])
    dims: list[int] = []
    data_type, raw, typed = 0, None, []
    for number, value in _fields(data, span):
        if number == _TENSOR_DIMS:
            dims.extend([value] if isinstance(value, int) else _varints(data, value))
        elif number == _TENSOR_DATA_TYPE and isinstance(value, int):
            data_type = value
        elif number == _TENSOR_RAW:
            raw = _span(value)
        elif number == _TENSOR_LOCATION and value:
            raise CosyError(f"{path} keeps '{brief(name)}' in another file: use the ONNX file with the weights inside.")
        elif number in (_INT32_DATA, *_TYPED_FIELDS.values()):
            typed.append((number, value))
        if len(dims) > MAX_AXES or len(typed) > _MAX_ITEMS:
            raise ValueError("a tensor has too many parts")
    shape = tuple(dims)
    if min(shape, default=0) < 0:
        raise ValueError(f"'{brief(name)}' has shape {shape}")
    check_tensor(path, name, shape)
    if data_type not in _DATA_TYPES:
        raise CosyError(f"{path} holds '{name}' in ONNX data type {data_type}, which is not supported.")
    dtype, count = np.dtype(_DATA_TYPES[data_type]), math.prod(shape)
    if raw is None:
        values = _typed_values(data, typed, dtype).reshape(shape)
        return name, LazyTensor(shape, dtype, values.copy)
    if raw[1] - raw[0] != count * dtype.itemsize:
        raise ValueError(f"'{name}' has {raw[1] - raw[0]} bytes for shape {shape}")
    start = raw[0]
    return name, LazyTensor(shape, dtype, lambda: read_range(path, start, dtype, count).reshape(shape))


def _typed_values(data: mmap.mmap, typed: list[tuple[int, "int | Span"]], dtype: np.dtype) -> np.ndarray:
    field_number = _TYPED_FIELDS.get(dtype, _INT32_DATA)
    if any(number != field_number for number, _ in typed):
        raise ValueError("a tensor has values of another type than its own")
    floating = dtype in _TYPED_FIELDS and dtype.kind == "f"
    kind = dtype.newbyteorder("<") if floating else np.dtype(np.int64)
    parts: list[np.ndarray] = [np.empty(0, kind)]
    for _, value in typed:
        if isinstance(value, int):
            parts.append(np.array([value], kind))
        elif floating:
            parts.append(np.frombuffer(data[value[0] : value[1]], kind))
        else:
            parts.append(np.array(_varints(data, value), kind))
    values = np.concatenate(parts)
    if dtype in _HALF_TYPES:  # int32_data holds their bit patterns
        return values.astype(np.uint16).view(dtype)
    return values.astype(dtype)


def _fields(data: mmap.mmap, span: Span) -> Iterator[tuple[int, "int | Span"]]:
    """The fields of the message at these bytes: a varint as its number, anything else as the span of its bytes."""
    position, end = span
    while position < end:
        key, position = _varint(data, position, end)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(data, position, end)
            yield number, _signed(value)
            continue
        if wire == _BYTES:
            size, position = _varint(data, position, end)
        elif wire in _FIXED_SIZES:
            size = _FIXED_SIZES[wire]
        else:
            raise ValueError(f"unknown wire type {wire}")
        if position + size > end:
            raise ValueError("a field runs past its end")
        yield number, (position, position + size)
        position += size


def _varint(data: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    """The unsigned number at `position`, and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise ValueError("a number runs past its end")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, position
    raise ValueError("a number is too long")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _varints(data: mmap.mmap, span: Span) -> list[int]:
    if span[1] - span[0] > _MAX_VARINTS:
        raise ValueError("it has too many numbers of varying length")
    values = []
    position, end = span
    while position < end:
        value, position = _varint(data, position, end)
        values.append(_signed(value))
    return values


def _texts(data: mmap.mmap, span: Span, *wanted: int) -> dict[int, list[str]]:
    """The message's texts by field number, those of the wanted fields."""
    texts: dict[int, list[str]] = {number: [] for number in wanted}
    count = 0
    for number, value in _fields(data, span):
        if number in texts:
            start, end = _span(value)
            texts[number].append(data[start:end].decode("utf-8"))
            count += 1
            if count > _MAX_ITEMS:
                raise ValueError("it has too many names")
    return texts


def _span(value: "int | Span") -> Span:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


_SLOT_NAMES = {
    "Conv": {1: "weight", 2: "bias"},
    "BatchNormalization": {1: "weight", 2: "bias", 3: "running_mean", 4: "running_var"},
    "LayerNormalization": {1: "weight", 2: "bias"},
    "MatMul": {1: "weight"},
    "Gemm": {1: "weight", 2: "bias"},
}


def weights_by_node(graph: Graph) -> dict[str, LazyTensor]:
    """The initializers under names made from the nodes that use them, such as `/head/conv1/Conv:weight`.

    Exporters number the initializers that they fold or transpose (`onnx::MatMul_805`), and the numbers change with
    every export; node names follow the modules. The two operands of an addition or product may come in either order,
    so their key is the node name alone. An initializer that no node uses keeps its own name.
    """
    keyed: dict[str, LazyTensor] = {}
    used = set()
    for node in graph.nodes:
        for slot, name in enumerate(node.inputs):
            if name in graph.initializers:
                label = _SLOT_NAMES.get(node.op_type, {}).get(slot)
                key = f"{node.name}:{label}" if label else node.name
                keyed[f"{key}:{slot}" if key in keyed else key] = graph.initializers[name]
                used.add(name)
    return keyed | {name: tensor for name, tensor in graph.initializers.items() if name not in used}
