"""Mutated weights of a release: `.pt`, `.safetensors` and `.onnx`."""

import dataclasses
import io
import math
import zipfile
from typing import Any

import numpy as np

from cosy_jax.conversions.read_onnx import open_onnx, weights_by_node
from cosy_jax.conversions.read_pt import open_pt
from cosy_jax.conversions.read_safetensors import open_safetensors
from tests.conversions import onnx_writer as onnx
from tests.conversions.pt_writer import ORDERED_DICT, Call, Global, Storage, dump, storage_of, tensor
from tests.fuzz.harness import FUZZED, INPUTS, damaged, framed, fuzz, some_header

pytestmark = FUZZED

VALUES = np.arange(24, dtype=np.float32)
STATE = {
    "x": tensor(storage_of(VALUES, "0"), 0, (4, 6), (6, 1)),
    "part": tensor(storage_of(VALUES, "0"), 6, (3,), (2,)),
    "y": tensor(storage_of(VALUES[:2].astype(np.int64), "1"), 0, (2,), (1,)),
    "again": Call(Global("torch._utils", "_rebuild_parameter"), (tensor(storage_of(VALUES, "0"), 0, (), ()), True)),
    "epoch": 3,
}
PICKLED: list[Any] = [
    *(None, True, 0, -1, 1, 2, 24, 2**31, 2**62, 0.5, math.nan, "", "0", "1", "é", "x" * 300, (), (1, 2), (2**40,) * 3),
    *([], {}, {"a": (1,)}, ORDERED_DICT, Global("os", "system"), Call(Global("os", "system"), ("ls",)), (1,) * 1000),
    *(Global("torch", name) for name in ("Size", "UntypedStorage", "HalfStorage", "BoolStorage", "float16")),
    *(Storage(Global("torch", "FloatStorage"), "0", count) for count in (0, 24, 2**40)),
]
PICKLES = [
    *(
        b"\x80\x02",
        b"(",
        b"t",
        b"l",
        b"d",
        b"}",
        b"]",
        b")",
        b"R",
        b"Q",
        b"q\x00",
        b"h\x00",
        b"0",
        b"2",
        b".",
        b"s",
        b"u",
    ),
    *(
        b"r\xff\xff\xff\x7f",
        b"\x8b\x00\x10\x00\x00",
        b"X\xff\xff\xff\xff",
        b"cos\nsystem\n",
        b"h\x00h\x00\x86q\x00" * 60,
    ),
    *(
        b"(" * 20_000,
        b"N" * 600_000,
        b"\x8a\xff" + b"\x7f" * 255,
        b"B\xff\xff\xff\x7f",
        b"\x8e" + b"\xff" * 8,
        b"\x81",
        b"i",
    ),
]
BYTES = [
    *(
        b"\0",
        b"\xff",
        b"\0" * 8,
        b"\xff" * 8,
        b"\0\0\0\x80",
        b"PK\x03\x04",
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"PK\x06\x06",
    ),
    *(b"{", b"}", b"[", b"]", b'"', b",", b"x" * 100_000, b"[" * 20_000, b"\x80" * 12, b"\x0a\xff\xff\xff\xff\x0f"),
]


def altered(value, dice):
    """A copy of what a pickle holds, of which a part is something else."""
    if dice.random() < 0.01:
        return dice.choice(PICKLED)
    if isinstance(value, tuple | list):
        return type(value)(altered(item, dice) for item in value)
    if isinstance(value, dict):
        return {
            altered(name, dice) if dice.random() < 0.05 else name: altered(item, dice) for name, item in value.items()
        }
    if isinstance(value, Call | Storage):
        fields = dataclasses.fields(value)
        return type(value)(*(altered(getattr(value, field.name), dice) for field in fields))
    return value


def pickled(dice):
    """A state dict with something else in it, or with other opcodes."""
    while True:
        try:
            content = dump(altered(STATE, dice) if dice.random() < 0.8 else STATE)
        except (TypeError, AttributeError):  # no pickle can hold it
            continue
        return damaged(content, dice, PICKLES, (0, 0, 0, 0, 1, 3))


def archive(dice):
    """A zip file whose checksums are right, in which members may be missing, others, or called otherwise."""
    members = {"data.pkl": pickled(dice), "byteorder": b"little", "data/0": VALUES.tobytes(), "data/1": bytes(16)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            fate = dice.random()
            if fate < 0.02:
                continue
            name = dice.choice(("a/data.pkl", "a/data/0", "/", "a/" * 100, "../a")) if fate > 0.98 else f"a/{name}"
            content = (
                dice.choice((b"", b"big", bytes(96), content * 2, content[:-1])) if 0.96 < fate < 0.98 else content
            )
            method = zipfile.ZIP_DEFLATED if dice.random() < 0.3 else zipfile.ZIP_STORED
            file.writestr(name, content, method, compresslevel=1)
    return damaged(buffer.getvalue(), dice, BYTES, (0, 0, 0, 1, 2))


def check(tensors, most=2**24):
    """Every tensor is what was announced; gives how many files were read."""
    for name, lazy in tensors.items():
        assert isinstance(name, str) and math.prod(lazy.shape) <= most
        found = lazy.read()
        assert (found.shape, found.dtype) == (lazy.shape, lazy.dtype)
    return ["read"]


def test_pt_files(tmp_path, capsys):
    path = tmp_path / "a.pt"

    def read(content):
        path.write_bytes(content)
        return check(open_pt(path))

    counts = fuzz("pt", archive, read, capsys)
    assert min(counts["read"], counts["refused"]) > INPUTS / 20


def test_safetensors_files(tmp_path, capsys):
    path = tmp_path / "a.safetensors"

    def read(content):
        path.write_bytes(content)
        return check(open_safetensors(path))

    def mutated(dice):
        header, data = some_header(
            dice, {"x": ("F32", (2, 3)), "y": ("BF16", (4,)), "z": ("I64", ()), "u": ("U8", (0,))}
        )
        return damaged(framed(header, data), dice, BYTES)

    counts = fuzz("safetensors", mutated, read, capsys)
    assert min(counts["read"], counts["refused"]) > INPUTS / 20


def some_tensor(dice):
    """An ONNX tensor, its values in one of the ways there are."""
    shape = dice.choice(
        ((2, 3), (2, 3), (6,), (6,), (1, 6), (), (), (0, 4), (-1, 2), (2**31, 2**31), (1,) * 12, (2**63,))
    )
    kind = dice.choice((1, 1, 1, 1, 6, 7, 7, 10, 11, 16, 2, 9, 0, 99))
    width = {1: 4, 6: 4, 7: 8, 10: 2, 11: 8, 16: 2}.get(kind, 1)
    count = 6 if max(shape, default=1) > 6 or min(shape, default=1) < 0 else math.prod(shape)
    values = b"".join(onnx.varint(dice.choice((0, 1, -1, 2**31, 70000))) for _ in range(count))
    parts = [
        *(onnx.number(1, size) for size in shape),
        onnx.number(2, kind),
        onnx.text(8, dice.choice(("a", "b", "c", "", "\x1b[31m", "x" * 500))),
        dice.choice(
            (
                *[onnx.message(9, bytes(count * width))] * 5,
                onnx.message(4, bytes(4 * count)),
                onnx.message(dice.choice((5, 7)), values),
                onnx.message(10, bytes(8 * count)),
                onnx.number(5, 1) * count,
                onnx.message(9, b""),
            )
        ),
    ]
    if dice.random() < 0.03:
        parts.append(dice.choice((onnx.number(14, 1), onnx.message(1, b"\x80" * 9), onnx.number(9, 3))))
    dice.shuffle(parts)
    return b"".join(parts)


def some_node(dice):
    inputs = dice.choices(("a", "b", "c", "x", "", "é"), k=dice.randrange(4))
    kind = dice.choice(("Conv", "MatMul", "Gemm", "BatchNormalization", "Add", ""))
    return b"".join(onnx.text(1, name) for name in inputs) + onnx.text(3, f"/{kind}") + onnx.text(4, kind)


def test_onnx_files(tmp_path, capsys):
    path = tmp_path / "a.onnx"

    def read(content):
        path.write_bytes(content)
        graph = open_onnx(path)
        return check(weights_by_node(graph) | graph.initializers)

    def mutated(dice):
        nodes = [onnx.message(1, some_node(dice)) for _ in range(dice.randrange(4))]
        tensors = [onnx.message(5, some_tensor(dice)) for _ in range(dice.choice((1, 1, 2)))]
        ends = [onnx.message(11, onnx.text(1, "x")), onnx.message(12, onnx.text(1, "y"))]
        return damaged(onnx.model(b"".join(nodes + tensors + ends)), dice, BYTES, (0, 0, 0, 1, 3))

    counts = fuzz("onnx", mutated, read, capsys)
    assert min(counts["read"], counts["refused"]) > INPUTS / 20
