import contextlib
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

from cosy_jax.conversions.read_pt import open_pt
from cosy_jax.conversions.read_safetensors import open_safetensors
from cosy_jax.errors import CosyError
from tests.conversions.pt_writer import Call, Global, Storage, dump, emit, storage_of, tensor, write_archive, write_pt
from tests.reference import reference_dir, requires_reference

VALUES = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize(
    "dtype",
    ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"],
)
def test_reads_every_storage_type(tmp_path, dtype):
    values = VALUES.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    write_pt(tmp_path / "a.pt", {"x": values})
    found = open_pt(tmp_path / "a.pt")["x"]
    assert found.shape == (2, 3, 4) and found.dtype == values.dtype
    assert found.read().dtype == values.dtype
    np.testing.assert_array_equal(found.read(), values)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.float64])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_reads_views_of_a_shared_storage(tmp_path, dtype, compression):
    flat = np.arange(24).astype(dtype)
    storage = storage_of(flat, "7")
    content = {
        "whole": tensor(storage, 0, (4, 6), (6, 1)),
        "transposed": tensor(storage, 0, (6, 4), (1, 6)),
        "part": tensor(storage, 5, (2, 3), (6, 1)),
        "every_second": tensor(storage, 1, (12,), (2,)),
        "expanded": tensor(storage, 3, (2, 2), (0, 1)),
        "scalar": tensor(storage, 9, (), ()),
        "empty": tensor(storage, 24, (0, 4), (4, 1)),
    }
    write_archive(tmp_path / "a.pt", dump(content), {"7": flat.tobytes()}, compression=compression)
    found = {name: lazy.read() for name, lazy in open_pt(tmp_path / "a.pt").items()}
    square = flat.reshape(4, 6)
    np.testing.assert_array_equal(found["whole"], square)
    np.testing.assert_array_equal(found["transposed"], square.T)
    np.testing.assert_array_equal(found["part"], flat[[5, 6, 7, 11, 12, 13]].reshape(2, 3))
    np.testing.assert_array_equal(found["every_second"], flat[1::2])
    np.testing.assert_array_equal(found["expanded"], [flat[3:5], flat[3:5]])
    assert found["scalar"].shape == () and found["scalar"] == flat[9]
    assert found["empty"].shape == (0, 4)


@pytest.mark.parametrize("dtype", [np.float32, np.int16, ml_dtypes.bfloat16])
def test_reads_big_endian_files(tmp_path, dtype):
    values = np.array([1, 2, -300], dtype)
    swapped = values.view(f"u{values.itemsize}").byteswap().tobytes()
    content = {"x": tensor(storage_of(values, "0"), 0, (3,), (1,))}
    write_archive(tmp_path / "a.pt", dump(content), {"0": swapped}, byteorder="big")
    np.testing.assert_array_equal(open_pt(tmp_path / "a.pt")["x"].read(), values)


def test_reads_parameters_and_untyped_storages(tmp_path):
    values = np.array([1.5, -2.0], np.float32)
    parameter = Call(
        Global("torch._utils", "_rebuild_parameter"), (tensor(storage_of(values, "0"), 0, (2,), (1,)), True, {})
    )
    untyped = Storage(Global("torch.storage", "UntypedStorage"), "0", values.nbytes)
    args = (untyped, 0, (2,), (1,), False, {}, Global("torch", "float32"))
    content = {"parameter": parameter, "untyped": Call(Global("torch._utils", "_rebuild_tensor_v3"), args)}
    write_archive(tmp_path / "a.pt", dump(content), {"0": values.tobytes()})
    for found in open_pt(tmp_path / "a.pt").values():
        np.testing.assert_array_equal(found.read(), values)


def test_leaves_out_what_is_no_tensor_and_finds_a_nested_state_dict(tmp_path):
    write_pt(tmp_path / "a.pt", {"x": VALUES}, {"epoch": 3, "loss": 0.5, "name": "a", "none": None, "list": [1, True]})
    assert list(open_pt(tmp_path / "a.pt")) == ["x"]
    inner = {"x": tensor(storage_of(VALUES, "0"), 0, (24,), (1,))}
    write_archive(tmp_path / "b.pt", dump({"epoch": 3, "model": inner}), {"0": VALUES.tobytes()})
    assert list(open_pt(tmp_path / "b.pt")) == ["x"]


@pytest.mark.parametrize(
    "module, name",
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch.storage", "_load_from_bytes"),
        ("torch", "load"),
        ("collections", "OrderedDict.__init__"),
    ],
)
def test_refuses_foreign_names_and_runs_nothing(tmp_path, module, name):
    marker = tmp_path / "ran"
    write_archive(tmp_path / "a.pt", dump({"x": Call(Global(module, name), (f"touch {marker}",))}), {})
    with pytest.raises(CosyError, match=f"{module}.{name}"):
        open_pt(tmp_path / "a.pt")
    assert not marker.exists()


def test_a_file_cannot_change_its_reader(tmp_path):
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    for state in ({"_call": 1}, (None, {"_call": 1})):
        write_archive(tmp_path / "a.pt", b"\x80\x02" + emit(rebuild) + emit(state) + b"b.", {})
        with pytest.raises(CosyError, match="damaged table of contents"):
            open_pt(tmp_path / "a.pt")
    write_pt(tmp_path / "b.pt", {"x": VALUES})
    np.testing.assert_array_equal(open_pt(tmp_path / "b.pt")["x"].read(), VALUES)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_refuses_truncated_files(tmp_path, share):
    write_pt(tmp_path / "a.pt", {"x": np.zeros(1000, np.float32)})
    content = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(content[: int(share * len(content))])
    with pytest.raises(CosyError, match=r"a\.pt is truncated"):
        open_pt(tmp_path / "a.pt")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_files_never_fail_in_another_way(tmp_path, compression):
    rng = np.random.default_rng(0)
    content = dump({"x": tensor(storage_of(VALUES, "0"), 0, (24,), (1,)), "epoch": 1})
    write_archive(tmp_path / "a.pt", content, {"0": VALUES.tobytes()}, compression=compression)
    sound = (tmp_path / "a.pt").read_bytes()
    for position in rng.integers(0, len(sound), 500):
        damaged = bytearray(sound)
        damaged[position] ^= 1 << rng.integers(8)
        (tmp_path / "a.pt").write_bytes(damaged)
        with contextlib.suppress(CosyError):
            for found in open_pt(tmp_path / "a.pt").values():
                assert found.read().shape == found.shape


def test_refuses_storages_that_do_not_fit(tmp_path):
    values = np.zeros(10, np.float32)
    storage = storage_of(values, "0")
    contents = {
        "beyond": (tensor(storage, 0, (11,), (1,)), values.tobytes()),
        "offset": (tensor(storage, 1, (10,), (1,)), values.tobytes()),
        "short": (tensor(storage, 0, (2,), (1,)), values.tobytes()[:-4]),
    }
    for name, (content, data) in contents.items():
        write_archive(tmp_path / "a.pt", dump({name: content}), {"0": data})
        with pytest.raises(CosyError, match=f"bytes for '{name}'"):
            open_pt(tmp_path / "a.pt")
    write_archive(tmp_path / "a.pt", dump({"x": contents["beyond"][0]}), {})
    with pytest.raises(CosyError, match="no data for 'x'"):
        open_pt(tmp_path / "a.pt")


def test_refuses_impossible_shapes_and_kinds(tmp_path):
    storage = storage_of(np.zeros(10, np.float32), "0")
    for bad in (tensor(storage, -1, (2,), (1,)), tensor(storage, 0, (2,), (-1,)), tensor(storage, 0, (2, 2), (1,))):
        write_archive(tmp_path / "a.pt", dump({"x": bad}), {"0": bytes(40)})
        with pytest.raises(CosyError, match="damaged table of contents"):
            open_pt(tmp_path / "a.pt")


def test_refuses_other_files(tmp_path):
    path = tmp_path / "a.pt"
    with pytest.raises(CosyError, match="is missing"):
        open_pt(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(CosyError, match="git lfs pull"):
        open_pt(path)
    path.write_bytes(pickle.dumps({"x": 1}, protocol=2))
    with pytest.raises(CosyError, match="not in PyTorch's zip format"):
        open_pt(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "none")
    with pytest.raises(CosyError, match=r"no data\.pkl"):
        open_pt(path)
    write_archive(path, dump([1, 2]), {})
    with pytest.raises(CosyError, match="holds a list, not a state dict"):
        open_pt(path)
    write_archive(path, dump({"epoch": 1}), {})
    with pytest.raises(CosyError, match="holds 0 state dicts"):
        open_pt(path)


def test_reads_behind_padding_that_only_the_local_header_has(tmp_path):
    """torch pads the local header's extra field so that data starts at multiples of 64."""
    values = np.arange(6, dtype=np.float32)
    info = zipfile.ZipInfo("a/data/0")
    info.extra = struct.pack("<HH", 0x4246, 16) + b"Z" * 16
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", dump({"x": tensor(storage_of(values, "0"), 0, (6,), (1,))}))
        archive.writestr(info, values.tobytes())
        info.extra = b""  # the central directory is written on closing
    np.testing.assert_array_equal(open_pt(tmp_path / "a.pt")["x"].read(), values)


@requires_reference
@pytest.mark.parametrize("stage", ["llm", "flow"])
def test_agrees_with_safetensors_on_files_that_torch_wrote(stage):
    model = reference_dir() / "model"
    ours, theirs = open_pt(model / f"{stage}.pt"), open_safetensors(model / f"{stage}.safetensors")
    assert ours.keys() == theirs.keys()
    for name, lazy in theirs.items():
        assert ours[name].dtype == lazy.dtype
        np.testing.assert_array_equal(ours[name].read(), lazy.read())
