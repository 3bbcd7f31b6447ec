"""Writes ONNX files with the nodes and initializers that the conversion looks at, and no more."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

FLOAT, INT64, FLOAT16 = 1, 7, 10
_SLOTS = {"weight": 1, "bias": 2, "running_mean": 3, "running_var": 4}


def write_onnx(path: Path, weights: Mapping[str, np.ndarray], inputs: tuple[str, ...] = ("x",)) -> None:
    """A graph with one node for each name before ':', its weights under anonymous names as an exporter leaves them."""
    nodes: dict[str, dict[int, str]] = {}
    initializers = []
    for number, (key, array) in enumerate(weights.items()):
        node, _, label = key.partition(":")
        anonymous = f"onnx::Any_{1000 + number}"
        nodes.setdefault(node, {})[_SLOTS.get(label, 0)] = anonymous
        initializers.append(message(5, raw_tensor(anonymous, array)))
    graph = [message(1, _node(name, slots)) for name, slots in nodes.items()]
    graph += initializers
    graph += [message(11, text(1, name)) for name in inputs] + [message(12, text(1, "y"))]
    path.write_bytes(model(b"".join(graph)))


def model(graph: bytes) -> bytes:
    return number(1, 8) + text(2, "pytorch") + message(7, graph)


def raw_tensor(name: str, array: np.ndarray) -> bytes:
    array = np.asarray(array, "<f4")
    dims = b"".join(number(1, size) for size in array.shape)
    return dims + number(2, FLOAT) + text(8, name) + message(9, array.tobytes())


def _node(name: str, slots: Mapping[int, str]) -> bytes:
    op_type = name.rpartition("/")[2].partition("_")[0]
    inputs = [slots.get(slot, f"{name}_input_{slot}") for slot in range(max(slots) + 1)]
    return b"".join(text(1, item) for item in inputs) + text(2, f"{name}_output") + text(3, name) + text(4, op_type)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def text(field: int, value: str) -> bytes:
    return message(field, value.encode())
