import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open

from cosy_jax.checkpoint.reader import read_header
from cosy_jax.conversions.write_safetensors import write

ARRAYS = {
    "a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "b/odd": np.arange(3).astype(ml_dtypes.bfloat16),
    "c/scalar": np.array(2.5, np.float32),
    "d/none": np.zeros((0, 4), np.float32),
    "e/wide": np.arange(2, dtype=np.float64),
}


def entries(arrays):
    return [(name, array.shape, array.dtype, lambda array=array: array) for name, array in arrays.items()]


def test_the_library_reads_what_we_write(tmp_path):
    path = tmp_path / "a.safetensors"
    size = write(path, entries(ARRAYS))
    assert size == path.stat().st_size
    with safe_open(path, framework="numpy") as file:
        assert set(file.keys()) == ARRAYS.keys()
        for name, array in ARRAYS.items():
            assert file.get_tensor(name).dtype == array.dtype
            np.testing.assert_array_equal(file.get_tensor(name), array)
    assert all(stored.offset % stored.dtype.itemsize == 0 for stored in read_header(path).values())


def test_values_are_cast_and_progress_is_told(tmp_path):
    told = []
    cast = [("a", (2, 2), np.dtype(ml_dtypes.bfloat16), lambda: np.full((2, 2), 1.001, np.float32))]
    write(tmp_path / "a.safetensors", cast, lambda done, total: told.append((done, total)))
    assert told == [(8, 8)]
    with safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("a").astype(np.float32), np.ones((2, 2)))


def test_refuses_another_shape(tmp_path):
    with pytest.raises(ValueError, match="'a' has shape"):
        write(tmp_path / "a.safetensors", [("a", (2, 3), np.dtype(np.float32), lambda: np.zeros((3, 2)))])
