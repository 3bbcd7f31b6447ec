"""Files that torch would never write: damaged ones, and those made to cost time or memory."""

import struct
import zipfile
import zlib

import numpy as np
import pytest

from cosy_jax.conversions.read_pt import open_pt
from tests.conversions.hostile import refuse
from tests.conversions.pt_writer import Call, Global, dump, emit, storage_of, tensor, write_archive

VALUES = np.arange(1, 25, dtype=np.float32)
CONTENT = dump({"x": tensor(storage_of(VALUES, "0"), 0, (24,), (1,))})
MiB = 1 << 20


def read_all(path):
    for found in open_pt(path).values():
        found.read()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_changed_bytes_are_found_by_their_checksum(tmp_path, compression):
    path = tmp_path / "a.pt"
    rng = np.random.default_rng(0)
    values = rng.standard_normal(3 * MiB // 4).astype(np.float32)  # more than is checked in one piece
    content = {"x": tensor(storage_of(values, "0"), 0, (8,), (1,)), "y": tensor(storage_of(values, "0"), 8, (9,), (1,))}
    write_archive(path, dump(content), {"0": values.tobytes()}, compression=compression)
    sound = path.read_bytes()
    start = 2 * len(sound) // 3  # behind what the two tensors need
    path.write_bytes(sound[:start] + bytes(64) + sound[start + 64 :])
    if compression == zipfile.ZIP_STORED:
        refuse(read_all, path, r"a\.pt is truncated or damaged \(a checksum")
    else:
        refuse(read_all, path, r"a\.pt ")
    path.write_bytes(sound)
    if compression == zipfile.ZIP_STORED:
        assert [found.read().sum() for found in open_pt(path).values()] == [values[:8].sum(), values[8:17].sum()]


def test_a_changed_table_of_contents_is_found_by_its_checksum(tmp_path):
    write_archive(tmp_path / "a.pt", CONTENT, {"0": VALUES.tobytes()})
    content = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(content.replace(b"FloatStorage", b"Int32Storage"[:12]))
    refuse(read_all, tmp_path / "a.pt", "a checksum")


def test_bombs_within_the_archive(tmp_path):
    path = tmp_path / "a.pt"
    many = b"\x80\x02" + bytes(64 * MiB)
    write_archive(path, many, {}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < MiB
    refuse(read_all, path, f"a member has {len(many)} bytes where {4 * MiB} are too many")
    lying = path.read_bytes().replace(struct.pack("<I", len(many)), struct.pack("<I", 100))
    path.write_bytes(lying)
    refuse(read_all, path, "a checksum")
    write_archive(path, CONTENT, {"0": VALUES.tobytes()}, byteorder="little" * MiB, compression=zipfile.ZIP_DEFLATED)
    refuse(read_all, path, "where 16 are too many")
    entry = struct.pack("<4s24xHHHHHII", b"PK\x01\x02", 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * 200_000
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), 0, 0)
    path.write_bytes(directory + end)
    refuse(read_all, path, "directory is too long")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions(tmp_path, method):
    write_archive(tmp_path / "a.pt", b"\x80\x02" + bytes(64 * MiB), {}, compression=method)
    refuse(read_all, tmp_path / "a.pt", "compressed in a way")


def test_members_that_overlap_or_share_a_name(tmp_path):
    path = tmp_path / "a.pt"
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", CONTENT)
        archive.writestr("a/data/0", VALUES.tobytes())
        archive.writestr("a/data/0", VALUES.tobytes())
    refuse(read_all, path, "two members have one name")
    write_archive(path, CONTENT, {"0": VALUES.tobytes(), "1": VALUES.tobytes()})
    with zipfile.ZipFile(path) as archive:
        first, second = (archive.getinfo(f"a/data/{key}").header_offset for key in "01")
    before, directory, after = path.read_bytes().partition(b"PK\x01\x02")
    path.write_bytes(before + directory + after.replace(struct.pack("<I", second), struct.pack("<I", first + 8)))
    refuse(read_all, path, "two members overlap")
    path.write_bytes(before + directory + after.replace(struct.pack("<I", second), struct.pack("<I", 1 << 30)))
    refuse(read_all, path, "a member is not in it")


def nested(levels):
    """A tuple of a tuple of ..., each twice in the next, as the key of a dict: its hash takes 2^levels steps."""
    return b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * levels + b"}h\x00K\x01s."


PICKLES = {
    "a key that takes 2^60 steps": nested(60),
    "a list as a key": b"\x80\x02}]K\x01s.",
    "a memo of gigabytes": b"\x80\x02}r\xff\xff\xff\x7f" + b"X\xff\xff\xff\xff" + b".",
    "copies of copies": dump({"x": Call(Global("collections", "OrderedDict"), ([["a", 1]],))}),
    "a size of a list": dump({"x": Call(Global("torch", "Size"), ([1] * 1000,))}),
    "deep": b"\x80\x02" + b"(" * 60_000 + b"l" * 60_000,
    "endless": b"\x80\x02" + b"N" * 2 * MiB,
    "unfinished": CONTENT[:-1],
    "an empty stack": b"\x80\x02.",
    "no mark": b"\x80\x02t.",
    "odd items": b"\x80\x02}(K\x01u.",
    "a number of a million digits": b"\x80\x02\x8b" + struct.pack("<I", 400_000) + b"\x7f" * 400_000 + b".",
    "text as arguments": b"\x80\x02" + emit(Global("torch", "Size")) + emit("abc") + b"R.",
    "a call of text": b"\x80\x02" + emit("abc") + b")R.",
    "an unknown opcode": b"\x80\x02\xff.",
    "an instance": b"\x80\x02" + emit(Global("torch", "Size")) + b")\x81.",
}


@pytest.mark.parametrize("pickled", PICKLES.values(), ids=PICKLES)
def test_hostile_pickles(tmp_path, pickled):
    write_archive(tmp_path / "a.pt", pickled, {"0": VALUES.tobytes()})
    refuse(read_all, tmp_path / "a.pt", "has a damaged table of contents")


def test_a_recalled_function_makes_no_copies(tmp_path):
    """In the place of 200 000 lists of a thousand numbers."""
    rebuild = emit(Global("torch._utils", "_rebuild_tensor_v2"))
    storage = emit(storage_of(VALUES, "0"))
    shape = emit((1,) * 1000)
    arguments = b"(" + storage + b"K\x00" + shape + b"q\x01h\x01\x89}t"
    write_archive(tmp_path / "a.pt", b"\x80\x02" + rebuild + arguments + b"R.", {"0": VALUES.tobytes()})
    refuse(read_all, tmp_path / "a.pt", "impossible shape")


@pytest.mark.parametrize(
    "shape, strides",
    [((2,), (2 * MiB,)), ((10**6, 10**6), (0, 0)), ((3 * MiB,), (0,))],
)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_views_out_of_proportion(tmp_path, shape, strides, compression):
    values = np.zeros(3 * MiB, np.float32)
    content = dump({"x": tensor(storage_of(values, "0"), 0, shape, strides)})
    write_archive(tmp_path / "a.pt", content, {"0": values.tobytes()}, compression=compression)
    refuse(read_all, tmp_path / "a.pt", "keeps 'x' as a part of far more data")


def test_a_small_tensor_of_a_bomb(tmp_path):
    values = np.zeros(16 * MiB, np.float32)
    content = dump({"x": tensor(storage_of(values, "0"), 0, (8,), (1,))})
    write_archive(tmp_path / "a.pt", content, {"0": values.tobytes()}, compression=zipfile.ZIP_DEFLATED)
    del values
    refuse(read_all, tmp_path / "a.pt", "keeps 'x' as a part of far more data")


@pytest.mark.parametrize(
    "name, shape, reason",
    [
        ("x", (0, 10**18), "impossible shape"),
        ("x", (1,) * 9, "impossible shape"),
        ("x", (True, 2), "impossible shape"),
        ("x" * 5000, (2,), "impossible name"),
        ("\x1b[31mx", (2,), "impossible name"),
        ("\ud800", (2,), "impossible name"),
    ],
)
def test_impossible_names_and_shapes(tmp_path, name, shape, reason):
    size = name.encode("utf-8", "surrogatepass")
    pickled = dump({"NAME": tensor(storage_of(VALUES, "0"), 0, shape, (1,) * len(shape))})
    pickled = pickled.replace(emit("NAME"), b"X" + struct.pack("<I", len(size)) + size)
    write_archive(tmp_path / "a.pt", pickled, {"0": VALUES.tobytes()})
    refuse(read_all, tmp_path / "a.pt", reason)


@pytest.mark.parametrize("count", [-24, 2**70, True, "24"])
def test_impossible_storages(tmp_path, count):
    storage = storage_of(VALUES, "0")
    pickled = CONTENT.replace(
        emit(storage.count), emit(count) if count != 2**70 else b"\x8a\x09" + bytes(8) + b"\x40", 1
    )
    write_archive(tmp_path / "a.pt", pickled, {"0": VALUES.tobytes()})
    refuse(read_all, tmp_path / "a.pt", "damaged table of contents|do not fit")


def test_an_archive_cut_at_its_end_says_so(tmp_path):
    write_archive(tmp_path / "a.pt", CONTENT, {"0": VALUES.tobytes()})
    content = (tmp_path / "a.pt").read_bytes()
    place = content.index(VALUES.tobytes())
    assert zlib.crc32(VALUES.tobytes()) == zipfile.ZipFile(tmp_path / "a.pt").getinfo("a/data/0").CRC
    (tmp_path / "a.pt").write_bytes(content[: place + 8] + content[place + 12 :])
    refuse(read_all, tmp_path / "a.pt", "truncated")
