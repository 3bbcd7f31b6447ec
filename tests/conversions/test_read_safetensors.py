import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from cosy_jax.conversions.read_safetensors import open_safetensors
from tests.conversions.hostile import refuse


def write(path, header, data=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if size is None else size).to_bytes(8, "little") + text + data)


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_reads_what_the_library_wrote(tmp_path):
    values = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(2.0), "c": np.zeros((0, 4), np.float32)}
    save_file(values, tmp_path / "a.safetensors")
    found = open_safetensors(tmp_path / "a.safetensors")
    assert found.keys() == values.keys()
    for name, tensor in found.items():
        np.testing.assert_array_equal(tensor.read(), values[name])


@pytest.mark.parametrize("size", [9 << 20, 99 << 20, 1 << 40, 2**64 - 1])
def test_a_long_header_is_not_read(tmp_path, size):
    """The format itself allows 100 MB of it."""
    path = tmp_path / "a.safetensors"
    write(path, b"{}" + b" " * ((9 << 20) - 2), size=size)
    refuse(open_safetensors, path, "is truncated or not a safetensors file")


HOSTILE = {
    "deep": b'{"__metadata__":' + b"[" * 100_000,
    "no object": b"[]",
    "overlapping": {"a": entry([2], 0, 8), "b": entry([2], 4, 12)},
    "beyond the end": {"a": entry([2], 0, 8), "b": entry([2], 8, 16)},
    "backwards": {"a": entry([2], 8, 0)},
    "a hole": {"a": entry([1], 0, 4), "b": entry([1], 8, 12)},
    "a negative axis": {"a": entry([-2], 0, 8)},
    "an axis beyond 64 bits": {"a": entry([2**70], 0, 8)},
    "axes whose product wraps": {"a": entry([2**62, 4, 3], 0, 12)},
    "a huge axis of nothing": {"a": entry([0, 10**18], 0, 0), "b": entry([3], 0, 12)},
    "many axes": {"a": entry([1] * 9 + [3], 0, 12)},
    "a long name": {"a" * 5000: entry([3], 0, 12)},
    "an escape sequence": {"\x1b[2Ja": entry([3], 0, 12)},
    "words": {"a": entry(["3"], 0, 12)},
    "unknown numbers": {"a": entry([3], 0, 12, "F31")},
}


@pytest.mark.parametrize("header", HOSTILE.values(), ids=HOSTILE)
def test_hostile_headers_are_one_short_sentence(tmp_path, header):
    path = tmp_path / "a.safetensors"
    write(path, header, bytes(12))
    refuse(open_safetensors, path)
