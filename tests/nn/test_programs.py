"""Programs that are stored whole: read, not traced, by whoever comes next, and never another one's."""

import hashlib
import json
import threading
import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.nn import programs, stored
from cosy_jax.nn.compile_log import count_compilations
from cosy_jax.nn.programs import Program, only_made, reading_ahead
from cosy_jax.nn.stored import StoreWarning

PARAMS = {"layer": {"kernel": np.ones((2, 3), np.float32)}}


@dataclass(frozen=True)
class Options:
    scale: float


@dataclass(frozen=True)
class Replayed:
    """What holds more than its letters tell."""

    draws: object = None


@pytest.fixture
def folder(tmp_path):
    stored.keep_in(tmp_path)
    yield tmp_path / "programs"
    stored.keep_in(None)


@pytest.fixture
def traced():
    return []


@pytest.fixture
def process(traced):
    """Makes what a new process would have: a program that nobody has called yet."""

    def begun():
        def scaled(params, x, key, *, options):
            traced.append(options)
            y = x @ params["layer"]["kernel"] * options.scale
            return {"y": y, "noise": jax.random.normal(key, (2,)), "twice": 2 * x}

        return Program(scaled, ("options",), ("x",))

    return begun


def call(program, rows=1, kind=np.float32, scale=2.0, options=None):
    x = jax.device_put(np.ones((rows, 2), kind))
    return program(PARAMS, x, jax.random.key(3), options=options or Options(scale))


def test_another_process_reads_and_does_not_trace(folder, process, traced):
    first = call(process())
    assert len(traced) == 1 and len(list(folder.iterdir())) == 1
    with count_compilations() as counts:
        second = call(process())
    assert len(traced) == 1 and (counts.whole, counts.compiled) == (1, 0)
    assert all(np.array_equal(first[name], second[name]) for name in first) and second["y"][0, 0] == 4


def test_a_program_that_was_read_takes_what_is_donated(folder, process):
    for program in (process(), process()):
        x = jax.device_put(np.ones((1, 2), np.float32))
        program(PARAMS, x, jax.random.key(3), options=Options(2.0))
        assert x.is_deleted()


def test_one_process_reads_once(folder, process):
    call(process())
    program = process()
    with count_compilations() as counts:
        assert np.array_equal(call(program)["y"], call(program)["y"])
    assert counts.whole == 1


def test_what_differs_is_another_program(folder, process, traced):
    program = process()
    call(program)
    call(program, rows=2)
    call(program, scale=3.0)
    with jax.enable_x64(True):
        assert call(program, kind=np.float64)["y"].dtype == np.float64
        assert call(program)["noise"].dtype == np.float64
    assert len(traced) == len(list(folder.iterdir())) == 5


def test_nothing_is_stored_unless_asked_for(tmp_path, process, traced):
    program = process()
    assert call(program)["y"][0, 0] == 4 and call(program)["y"][0, 0] == 4
    assert len(traced) == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [Replayed(object()), Replayed(Replayed(object()))])
def test_what_cannot_be_written_down_is_not_stored(folder, traced, options):
    program = Program(lambda x, options: x + 1, ("options",), ())
    assert program(np.zeros(1), options=options)[0] == 1
    assert not folder.exists()


def test_inside_another_program_it_is_a_function(folder, process, traced):
    outer = jax.jit(lambda x: process()(PARAMS, x, jax.random.key(3), options=Options(2.0))["y"])
    assert outer(jnp.ones((1, 2)))[0, 0] == 4 and not folder.exists()


def _cut(content):
    return content[:-10]


def _stale(content):
    head, _, rest = content.partition(b"\n")
    return json.dumps(json.loads(head) | {"origin": "0"}).encode() + b"\n" + rest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_cut, "damaged"),
        (_stale, "another version or machine"),
        (lambda content: b"", "none of cosy_jax"),
        (lambda content: b"[]\nnothing", "none of cosy_jax"),
        (lambda content: b"\x80\x04\xff", "none of cosy_jax"),
    ],
)
def test_stale_and_foreign_files_are_made_anew_with_a_note(folder, process, traced, change, said):
    call(process())
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(change(whole))
    with pytest.warns(StoreWarning, match=said):
        assert call(process())["y"][0, 0] == 4
    assert len(traced) == 2
    call(process())
    assert len(traced) == 2


def test_content_that_cannot_be_loaded_is_made_anew(folder, process, traced):
    call(process())
    (path,) = folder.iterdir()
    header, content = json.loads(path.read_bytes().partition(b"\n")[0]), b"no pickle"
    header["sha256"] = hashlib.sha256(content).hexdigest()
    path.write_bytes(json.dumps(header).encode() + b"\n" + content)
    with pytest.warns(StoreWarning, match="cannot be loaded"):
        assert call(process())["y"][0, 0] == 4
    assert len(traced) == 2


def test_folder_that_cannot_be_written(tmp_path, process):
    (tmp_path / "file").touch()
    stored.keep_in(tmp_path / "file")
    try:
        with pytest.warns(StoreWarning, match="cannot be"):
            assert call(process())["y"][0, 0] == 4
    finally:
        stored.keep_in(None)


def test_a_run_reads_ahead_what_the_last_of_its_kind_read(folder, process, monkeypatch):
    """In a thread of its own, and what its own calls ask for is still theirs."""
    threads, load = [], programs._load

    def noted(store, file):
        threads.append(threading.current_thread().name)
        return load(store, file)

    monkeypatch.setattr(programs, "_load", noted)
    with reading_ahead("speech"):
        call(process())
    assert threads == ["MainThread"]
    with reading_ahead("other"):
        call(process())
    assert threads.count("read-ahead") == 0
    with reading_ahead("speech"):
        while "read-ahead" not in threads:
            time.sleep(0.01)
        program = process()
        with count_compilations() as counts:
            assert call(program)["y"][0, 0] == 4
            assert call(program, rows=2)["y"].shape == (2, 3)
    assert (counts.whole, counts.compiled) == (1, 1) and threads[2:] == ["read-ahead", "MainThread"]


def test_nothing_is_read_ahead_where_nothing_is_stored(process):
    with reading_ahead("speech"):
        assert call(process())["y"][0, 0] == 4


def test_programs_can_be_made_without_being_run(folder, process, traced):
    with only_made():
        assert not call(process())["y"].any()
    assert len(list(folder.iterdir())) == 1
    assert call(process())["y"][0, 0] == 4 and len(traced) == 1
