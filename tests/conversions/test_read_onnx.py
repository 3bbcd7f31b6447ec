import struct

import numpy as np
import pytest

from cosy_jax.conversions.read_onnx import Node, open_onnx, weights_by_node
from cosy_jax.errors import CosyError
from tests.conversions.hostile import refuse
from tests.conversions.onnx_writer import (
    FLOAT,
    FLOAT16,
    INT64,
    message,
    model,
    number,
    raw_tensor,
    text,
    varint,
    write_onnx,
)
from tests.reference import reference_dir, requires_reference

KERNEL = np.arange(12, dtype=np.float32).reshape(2, 2, 3)


def test_reads_nodes_and_weights(tmp_path):
    write_onnx(tmp_path / "a.onnx", {"/conv/Conv:weight": KERNEL, "/conv/Conv:bias": KERNEL[0, 0], "/ln/Add_1": KERNEL})
    graph = open_onnx(tmp_path / "a.onnx")
    assert graph.inputs == ["x"] and graph.outputs == ["y"]
    assert graph.nodes[0] == Node(
        "Conv", "/conv/Conv", ("/conv/Conv_input_0", "onnx::Any_1000", "onnx::Any_1001"), ("/conv/Conv_output",)
    )
    found = weights_by_node(graph)
    assert list(found) == ["/conv/Conv:weight", "/conv/Conv:bias", "/ln/Add_1"]
    assert found["/conv/Conv:weight"].shape == (2, 2, 3)
    np.testing.assert_array_equal(found["/conv/Conv:weight"].read(), KERNEL)


def test_reads_typed_data(tmp_path):
    floats = number(1, 2) + number(2, FLOAT) + text(8, "floats") + message(4, struct.pack("<2f", 1.5, -2))
    integers = number(1, 3) + number(2, INT64) + text(8, "integers") + message(7, varint(7) + varint(-1) + varint(300))
    single = number(2, INT64) + text(8, "single") + number(7, -5)
    halves = number(1, 2) + number(2, FLOAT16) + text(8, "halves") + message(5, varint(0x3C00) + varint(0xC000))
    packed_dims = message(1, varint(1) + varint(2)) + number(2, FLOAT) + text(8, "dims") + message(9, bytes(8))
    graph = b"".join(message(5, tensor) for tensor in (floats, integers, single, halves, packed_dims))
    (tmp_path / "a.onnx").write_bytes(model(graph))
    found = open_onnx(tmp_path / "a.onnx").initializers
    np.testing.assert_array_equal(found["floats"].read(), np.array([1.5, -2], np.float32))
    np.testing.assert_array_equal(found["integers"].read(), [7, -1, 300])
    assert found["single"].shape == () and found["single"].read() == -5
    np.testing.assert_array_equal(found["halves"].read(), np.array([1, -2], np.float16))
    assert found["dims"].shape == (1, 2)


def test_an_initializer_that_no_node_uses_keeps_its_name(tmp_path):
    (tmp_path / "a.onnx").write_bytes(model(message(5, raw_tensor("lonely", KERNEL))))
    assert list(weights_by_node(open_onnx(tmp_path / "a.onnx"))) == ["lonely"]


def test_no_weight_hides_another(tmp_path):
    node = text(1, "a") + text(1, "b") + text(3, "/x/Add") + text(4, "Add")
    weights = message(5, raw_tensor("a", KERNEL)) + message(5, raw_tensor("b", KERNEL))
    (tmp_path / "a.onnx").write_bytes(model(message(1, node) + weights))
    assert list(weights_by_node(open_onnx(tmp_path / "a.onnx"))) == ["/x/Add", "/x/Add:1"]


def test_refuses_weights_in_another_file(tmp_path):
    tensor = number(1, 2) + number(2, FLOAT) + text(8, "w") + message(13, text(1, "location")) + number(14, 1)
    (tmp_path / "a.onnx").write_bytes(model(message(5, tensor)))
    with pytest.raises(CosyError, match="keeps 'w' in another file"):
        open_onnx(tmp_path / "a.onnx")


def test_refuses_unknown_types_and_wrong_sizes(tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(model(message(5, number(1, 2) + number(2, 8) + text(8, "words"))))
    with pytest.raises(CosyError, match="'words' in ONNX data type 8"):
        open_onnx(path)
    negative = number(1, -1) + number(1, -1) + number(2, FLOAT) + message(9, bytes(4))
    short = number(1, 2) + number(2, FLOAT) + message(4, bytes(4))
    for tensor in (raw_tensor("w", KERNEL) + number(1, 2), short, negative):
        path.write_bytes(model(message(5, tensor)))
        with pytest.raises(CosyError, match="not an ONNX file"):
            open_onnx(path)


@pytest.mark.parametrize("keep", [0, 1, 40, 200, -1])
def test_refuses_truncated_files(tmp_path, keep):
    write_onnx(tmp_path / "a.onnx", {"/conv/Conv:weight": KERNEL, "/conv/Conv:bias": KERNEL})
    (tmp_path / "a.onnx").write_bytes((tmp_path / "a.onnx").read_bytes()[:keep])
    with pytest.raises(CosyError, match="truncated or not an ONNX file"):
        open_onnx(tmp_path / "a.onnx")


def test_refuses_noise(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(50):
        (tmp_path / "a.onnx").write_bytes(rng.bytes(200))
        with pytest.raises(CosyError, match="truncated or not an ONNX file"):
            open_onnx(tmp_path / "a.onnx")


def field(number_, wire, rest):
    return varint(number_ << 3 | wire) + rest


BACKWARDS = field(20, 2, varint(-12))  # twelve bytes whose length leads back to their start
TENSOR = number(2, FLOAT) + text(8, "w")
HOSTILE = {
    "a length that leads back": model(BACKWARDS),
    "a length beyond 64 bits": model(field(1, 2, b"\xff" * 9 + b"\x7f")),
    "a number of eleven bytes": model(field(1, 0, b"\x80" * 10 + b"\x01")),
    "a number that runs into the next field": model(message(5, TENSOR + b"\x08\x80") + text(11, "x")),
    "a huge axis": model(message(5, number(1, 10**18) + TENSOR + message(9, bytes(8)))),
    "huge axes and nothing": model(message(5, number(1, 10**18) + number(1, 0) + TENSOR)),
    "many axes": model(message(5, number(1, 1) * 9 + TENSOR + message(9, bytes(4)))),
    "a negative axis": model(message(5, number(1, -1) + TENSOR + message(9, bytes(4)))),
    "more packed axes than a list may have": model(message(5, message(1, bytes(2 << 20)) + TENSOR)),
    "whole numbers in a float tensor": model(message(5, number(1, 1) + TENSOR + message(7, varint(1)))),
    "floats in an integer tensor": model(message(5, number(1, 1) + number(2, INT64) + message(4, bytes(4)))),
    "many packed numbers": model(message(5, number(1, 2 << 20) + number(2, INT64) + message(7, bytes(2 << 20)))),
    "a name twice": model(message(5, raw_tensor("w", KERNEL)) * 2),
    "many nodes": model(message(1, b"") * 200_000),
    "many inputs of one node": model(message(1, text(1, "") * 200_000)),
    "many inputs": model(message(11, text(1, "x")) * 200_000),
    "an escape sequence": model(message(5, raw_tensor("\x1b[2Jw", KERNEL))),
    "a long name": model(message(5, raw_tensor("w" * 5000, KERNEL))),
    "a long name elsewhere": model(message(5, text(8, "w" * 5000) + number(14, 1))),
    "two graphs": model(b"") + message(7, b""),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_one_short_sentence(tmp_path, content):
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    refuse(open_onnx, path)


@requires_reference
@pytest.mark.parametrize("name, count", [("campplus.onnx", 617), ("speech_tokenizer_v3.onnx", 38)])
def test_keys_every_weight_of_an_exported_file(name, count):
    graph = open_onnx(reference_dir() / "model" / name)
    found = weights_by_node(graph)
    assert len(graph.initializers) == len(found) == count
    assert not any("onnx::" in key for key in found)
    assert all(tensor.read().shape == tensor.shape for tensor in found.values())
