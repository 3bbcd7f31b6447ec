"""What a process that ends early leaves behind: nothing where it can help it, else until the next one."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from cosy_jax.cli import main
from cosy_jax.conversions.output import written_whole
from cosy_jax.conversions.random_weights import write_random
from cosy_jax.errors import CosyError

# Stops for a minute while it writes, and between two stages.
WRITER = """
import sys, time
from cosy_jax.conversions.output import written_whole
from pathlib import Path
with written_whole(Path(sys.argv[1])) as folder:
    (folder / "llm.safetensors").write_bytes(bytes(1000))
    print(folder, flush=True)
    time.sleep(60)
"""
RANDOM = """
import sys, time
from cosy_jax.conversions.random_weights import write_random
for stage in write_random(sys.argv[1], "tiny", 0):
    print(stage, flush=True)
    time.sleep(60)
"""


# Whoever runs the tests in the background may have it ignored.
HEEDING = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""


def start(code, out):
    """The process, once it has printed its first line."""
    process = subprocess.Popen([sys.executable, "-c", HEEDING + code, str(out)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline()
    return process


def finish(process):
    with process:
        return process.wait(60)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(out):
    with written_whole(out) as folder:
        (folder / "config.json").write_text('{"format_version": 2}')


def dead(out, **files):
    """A workspace of a process that was killed, with files in its folders."""
    folder = out.parent / f".{out.name}-a1b2c3d4"
    folder.mkdir()
    (folder / "cosy_jax.lock").touch()
    for name, content in files.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(content)
    return folder


@pytest.mark.slow
def test_a_killed_process_leaves_what_the_next_removes(tmp_path):
    out = tmp_path / "out"
    process = start(WRITER, out)
    hidden = names(tmp_path)
    assert len(hidden) == 1 and hidden[0].startswith(".out-")
    write(out)
    assert names(tmp_path) == [*hidden, "out"]  # its process lives
    process.kill()
    finish(process)
    write(tmp_path / "other")
    assert names(tmp_path) == [*hidden, "other", "out"]  # the next one that writes there, no other
    write(out)
    assert names(tmp_path) == ["other", "out"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("code", [WRITER, RANDOM], ids=["while it writes", "between two stages"])
def test_a_process_that_is_told_to_end_leaves_nothing(tmp_path, code, number):
    (tmp_path / "out").mkdir()
    process = start(code, tmp_path / "out")
    process.send_signal(number)
    assert finish(process) in (128 + number, -number)
    assert names(tmp_path) == ["out"] and not names(tmp_path / "out")


def test_a_dead_workspace_is_swept(tmp_path):
    write(tmp_path / "out")
    dead(tmp_path / "out", new="new", old="old")
    write(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_a_locked_workspace_is_not_swept(tmp_path):
    folder = dead(tmp_path / "out", new="new")
    with open(folder / "cosy_jax.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write(tmp_path / "out")
        assert folder.is_dir()
    write(tmp_path / "out")
    assert not folder.exists()


@pytest.mark.parametrize(
    "name, content",
    [(".out-backups1", "notes.txt"), (".out-12345678", "config.json"), (".out-12345678", "cosy_jax.lock/notes.txt")],
)
def test_folders_of_others_are_not_swept(tmp_path, name, content):
    path = tmp_path / name / content
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    foreign = dead(tmp_path / "out", new="new")
    (foreign / "notes.txt").write_text("mine")
    (tmp_path / ".out-a1b2c3d5").write_text("a file")
    write(tmp_path / "out")
    assert path.read_text() == "mine" and (foreign / "notes.txt").exists() and (foreign / "new").is_dir()
    assert (tmp_path / ".out-a1b2c3d5").read_text() == "a file"


def test_a_conversion_that_was_moved_away_comes_back(tmp_path):
    """The process was killed between the two renamings, and the next one fails."""
    out = tmp_path / "out"
    dead(out, new="new", old="old")
    with pytest.raises(KeyboardInterrupt), written_whole(out):
        raise KeyboardInterrupt
    assert names(tmp_path) == ["out"] and (out / "config.json").read_text() == "old"


def test_names_with_patterns_are_taken_literally(tmp_path):
    folder = dead(tmp_path / "out", new="new")
    write(tmp_path / "o[u]t")
    assert folder.is_dir() and names(tmp_path) == [folder.name, "o[u]t"]


def test_signals_are_as_before_afterwards(tmp_path):
    def mine(*_):
        raise AssertionError

    for handler in (signal.SIG_DFL, signal.SIG_IGN, mine):
        before = signal.signal(signal.SIGTERM, handler)
        try:
            with written_whole(tmp_path / "out") as folder:
                (folder / "config.json").write_text('{"format_version": 2}')
                assert (signal.getsignal(signal.SIGTERM) is handler) == (handler is not signal.SIG_DFL)
            assert signal.getsignal(signal.SIGTERM) is handler
        finally:
            signal.signal(signal.SIGTERM, before)


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path):
    with (
        pytest.raises(CosyError, match=r"out cannot be written \(the disk is full\)"),
        written_whole(tmp_path / "new" / "out") as folder,
        open("/dev/full", "wb", buffering=0) as full,
    ):
        (folder / "config.json").touch()
        full.write(b"x")
    assert names(tmp_path) == []
    with pytest.raises(CosyError, match="Permission denied"), written_whole(tmp_path / "out"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    assert names(tmp_path) == []


def test_a_negative_seed_is_one_sentence(tmp_path, capsys):
    with pytest.raises(CosyError, match="The seed is -1") as raised:
        list(write_random(tmp_path / "out", "tiny", -1))
    assert raised.value.fields == ("seed",)
    started = time.process_time()
    assert main(["init", "--size", "released", "--seed", "-1", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.strip() == (
        "cosy-jax: Argument --seed: '-1' is no whole number from 0 on: see `cosy-jax init --help`."
    )
    assert names(tmp_path) == [] and time.process_time() - started < 2
