"""Small ONNX files that onnxruntime runs."""

from pathlib import Path

import numpy as np

from tests.conversions.onnx_writer import FLOAT, message, number, raw_tensor, text

_OPSET = 13
_INTEGERS = 7  # type of an attribute


def write_product(path: Path, matrix: np.ndarray) -> Path:
    """x (1, n) to x @ matrix (n, m)."""
    node = text(1, "x") + text(1, "matrix") + text(2, "y") + text(4, "MatMul")
    weights = message(5, raw_tensor("matrix", matrix))
    return _write(path, node, weights, (1, len(matrix)), (1, matrix.shape[1]))


def write_maximum(path: Path, bands: int = 80) -> Path:
    """x (1, T, bands) to its largest values over time, (1, bands)."""
    return _write(path, _over_axis("ReduceMax", 1), b"", (1, "frames", bands), (1, bands))


def write_ends(path: Path) -> Path:
    """x (1, n) to its largest value, (1,)."""
    return _write(path, _over_axis("ReduceMax", 1), b"", (1, "samples"), (1,))


def _over_axis(kind: str, axis: int) -> bytes:
    axes = text(1, "axes") + number(8, axis) + number(20, _INTEGERS)
    keep = text(1, "keepdims") + number(3, 0) + number(20, 2)
    return text(1, "x") + text(2, "y") + text(4, kind) + message(5, axes) + message(5, keep)


def _write(path: Path, node: bytes, weights: bytes, given: tuple, found: tuple) -> Path:
    graph = message(1, node) + text(2, "graph") + weights
    graph += message(11, _value("x", given)) + message(12, _value("y", found))
    path.write_bytes(number(1, 8) + message(7, graph) + message(8, text(1, "") + number(2, _OPSET)))
    return path


def _value(name: str, shape: tuple) -> bytes:
    dims = b"".join(message(1, number(1, size) if isinstance(size, int) else text(2, size)) for size in shape)
    return text(1, name) + message(2, message(1, number(1, FLOAT) + message(2, dims)))
