"""Where results lie: whole files, in a folder or in an object store."""

import pickle

import pytest

from cosy_jax.cluster.storage import LocalFolder, RemoteFolder, open_storage
from cosy_jax.errors import CosyError


@pytest.fixture(params=["folder", "store"])
def storage(request, tmp_path):
    address = str(tmp_path) if request.param == "folder" else f"memory://{tmp_path.name}"
    return open_storage(address)


def test_what_is_written_is_read(storage):
    assert storage.names("a") == [] and not storage.exists("a/x")
    for name, content in (("a/x", b"1"), ("a/b", b"2"), ("a/x", b"3"), ("top", b"4")):
        storage.write(name, content)
    storage = pickle.loads(pickle.dumps(storage))
    assert storage.names("a") == ["a/b", "a/x"] and storage.read("a/x") == b"3"
    assert storage.exists("top") and not storage.exists("a")
    storage.remove("a/b")
    assert storage.names("a") == ["a/x"]
    with pytest.raises(CosyError, match="a/b"):
        storage.read("a/b")


def test_all_of_a_store_is_listed_at_once(tmp_path):
    storage = RemoteFolder(f"memory://{tmp_path.name}")
    storage.write("a/x", b"1")
    storage.write("y", b"2")
    assert storage.names("") == ["a/x", "y"]


def test_a_failed_write_leaves_nothing(tmp_path):
    storage = LocalFolder(tmp_path)
    (tmp_path / "taken").mkdir()
    with pytest.raises(CosyError, match="taken"):
        storage.write("taken", b"1")
    with storage.held():
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".cosy_jax-lock", "taken"]


def test_a_folder_is_one_runs(tmp_path):
    storage = LocalFolder(tmp_path / "out")
    with storage.held(), pytest.raises(CosyError, match="Another run fills"), storage.held():
        pass
    with storage.held():
        pass


def test_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_storage("out") == LocalFolder(tmp_path / "out")
    assert open_storage(f"file://{tmp_path}/out") == LocalFolder(tmp_path / "out")
    assert open_storage("s3://bucket/out/") == RemoteFolder("s3://bucket/out")
    with pytest.raises(CosyError, match="nosuch://a"):
        open_storage("nosuch://a").read("b")
