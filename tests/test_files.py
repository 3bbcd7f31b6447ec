"""Files are there or they are not, whatever happens to the process that writes them."""

import os
import subprocess
import sys
import time

import pytest

from cosy_jax.errors import CosyError
from cosy_jax.files import check_writable, write_whole

HOLD = """
import sys, time
from cosy_jax.files import whole_file
with whole_file(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer(tmp_path):
    """A process that is writing the file `a`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "a"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.communicate()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_left_is_removed_by_the_next(writer, tmp_path):
    [hidden] = names(tmp_path)
    write_whole(tmp_path / "b", b"while the other one lives")
    assert names(tmp_path) == [hidden, "b"]
    writer.kill()
    writer.wait()
    write_whole(tmp_path / "c", b"after it")
    assert names(tmp_path) == ["b", "c"]


def test_file_that_nobody_has_locked_yet_is_left_alone(tmp_path):
    fresh, old = tmp_path / ".cosy_jax-fresh", tmp_path / ".cosy_jax-old"
    for path in (fresh, old):
        path.touch()
    os.utime(old, (0, time.time() - 3600))
    write_whole(tmp_path / "a", b"")
    assert names(tmp_path) == [fresh.name, "a"]


def test_umask_is_obeyed(tmp_path):
    before = os.umask(0o077)
    try:
        write_whole(tmp_path / "new" / "a", b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "a").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a" * 256, "File name too long"),
        ("absent/a", "The folder .*absent does not exist: create it first"),
        (".", "is a folder: name a file"),
        ("file/a", "Cannot write .*file/a: Not a directory"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_work(name, sentence, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CosyError, match=sentence):
        check_writable(tmp_path / name)
    assert names(tmp_path) == ["file"]


def test_longest_name_can_be_written(tmp_path):
    path = tmp_path / ("a" * 255)
    check_writable(path)
    write_whole(path, b"content")
    assert path.read_bytes() == b"content" and names(tmp_path) == [path.name]
