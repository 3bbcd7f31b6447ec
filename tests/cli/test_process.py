"""The command and the world outside: streams, locales, homes and signals."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cosy_jax.cli import main
from cosy_jax.nn.compile_cache import default_cache
from tests.cli.test_synthesize import RECORDING, arguments
from tests.conftest import TINY
from tests.reference import REPOSITORY

pytestmark = pytest.mark.slow

# Whoever runs the tests in the background may have them ignore signals.
HEEDING = """
import signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
"""
RUN = "from cosy_jax.cli import main; print('started', flush=True); sys.exit(main())"
INTERRUPTED = b"cosy-jax: interrupted; nothing was left half written.\n"
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ESCAPE = "\x1b]0;owned\x07"


def cosy_jax(*words, shell="", environment=(), **more):
    """Runs the command; `shell` is what a shell would redirect."""
    command = [sys.executable, "-m", "cosy_jax", *map(str, words)]
    if shell:
        command = ["bash", "-c", f'"$@" {shell}', "bash", *command]
    variables = {**os.environ, "JAX_PLATFORMS": "cpu", **dict(environment)}
    return subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, timeout=300, **more)


def refusal(done, status=2):
    """The one sentence with which the command ended."""
    assert done.returncode == status, done.stderr.decode()
    lines = done.stderr.decode().splitlines()
    assert lines[-1].startswith("cosy-jax: ") and not any("Traceback" in line for line in lines)
    return lines[-1]


@pytest.mark.parametrize("words", [("info", TINY), ("--help",), ("--version",), ("voice", "list")])
def test_full_standard_output(words):
    sentence = refusal(cosy_jax(*words, shell=">/dev/full"))
    assert sentence == "cosy-jax: Cannot write to standard output: No space left on device."


def test_closed_streams():
    assert "Standard output is closed" in refusal(cosy_jax("info", TINY, shell=">&-"))
    assert cosy_jax("info", TINY, shell="2>&-").stdout.startswith(b" stage")
    assert cosy_jax("info", TINY / "absent", shell="2>&-").returncode == 2
    assert cosy_jax("info", TINY, shell="<&-").returncode == 0
    assert "Standard input is closed" in refusal(cosy_jax(*arguments("-", text="-"), "--stream", shell="<&-"))


def test_reader_that_went_away():
    done = cosy_jax("compare", "--help", shell="| true; exit ${PIPESTATUS[0]}")
    assert done.returncode in (0, 141) and not done.stderr  # 0 where all was written before it went


def test_text_that_is_not_utf8(tmp_path):
    words = arguments(tmp_path / "a.wav")
    words[words.index("--text") + 1] = os.fsdecode(b"\xff")
    assert "Argument --text: not UTF-8" in refusal(cosy_jax(*words))
    done = cosy_jax(*arguments(tmp_path / "a.wav", text="-", compile_cache="off"), "--stream", input=b"One.\n\xff\n")
    assert "Line 2 of standard input is not UTF-8: convert it" in refusal(done)
    assert not list(tmp_path.iterdir())


def test_ascii_locale_reads_utf8_and_prints_escapes(tmp_path):
    words = arguments(tmp_path / "ü.wav", text="😀 ¿?", voice="jürgen", prompt_wav=None, prompt_text=None)
    sentence = refusal(cosy_jax(*words, environment=ASCII))
    assert r"--text: The text '\U0001f600 \xbf?' holds no letter or digit to speak" in sentence


def test_stream_of_emoji_is_refused_as_such_a_text_is(tmp_path):
    done = cosy_jax(*arguments(tmp_path / "a.wav", text="-"), "--stream", input="😀\n\n😀\n".encode())
    assert "--text: The text '😀\\n\\n😀\\n' holds no letter or digit to speak" in refusal(done)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", [2**64, -(2**64), 10**30, "9" * 5000, "one", ""])
def test_seed_beyond_64_bits(seed, tmp_path, capsys):
    assert main([*arguments(tmp_path / "a.wav"), f"--seed={seed}"]) == 2
    assert "--seed" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", [-1, "9" * 5000, "one", ""])
def test_seed_of_random_weights(seed, tmp_path, capsys):
    assert main(["init", str(tmp_path / "a"), "--size", "tiny", f"--seed={seed}"]) == 2
    assert "--seed" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_user_without_account_or_home(monkeypatch, tmp_path, capsys):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setenv("COSY_JAX_WEIGHTS", str(TINY))  # which bring no voices
    for name in ("COSY_JAX_CACHE", "COSY_JAX_VOICES"):
        monkeypatch.delenv(name, raising=False)
    assert default_cache() == "off"
    assert main(["info", str(TINY)]) == 0
    assert main(["voice", "list"]) == 2
    assert "--voices: Nobody knows your home folder" in capsys.readouterr().err
    assert main(arguments(tmp_path / "a.wav", voice="ann", prompt_wav=None, prompt_text=None)) == 2
    assert "--voices: Nobody knows your home folder" in capsys.readouterr().err


@pytest.mark.filterwarnings("default")
def test_cache_that_cannot_be_written(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    words = arguments(tmp_path / "a.wav", prompt_wav=tmp_path / "absent.wav")
    words[words.index("--compile-cache") + 1] = str(tmp_path / "file" / "cache")
    assert main(words) == 2
    warning, *_, sentence = capsys.readouterr().err.splitlines()
    assert warning == f"warning: Compiled programs cannot be kept in {tmp_path}/file/cache: Not a directory."
    assert "No recording" in sentence


def test_cache_that_fails_later_is_told_once_and_without_a_path(capsys):
    from cosy_jax.cli import output

    for name in ("jit_a", "jit_b"):
        output.say_warning(f"Error writing persistent compilation cache entry for '{name}': OSError: [Errno 28] /x/y")
    told = capsys.readouterr().err.splitlines()
    assert told == ["warning: the cache of compiled programs fails at writing; what it lacks is compiled"]


@pytest.mark.parametrize("word", ["off", "OFF", "Off"])
def test_cache_is_off_in_any_case(word, tmp_path):
    code = f"from cosy_jax.nn.compile_cache import start_jax; start_jax({word!r}); import jax; jax.numpy.ones(3) + 1"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": REPOSITORY})
    assert not list(tmp_path.iterdir())


def test_device_that_is_not_there(tmp_path):
    words = ("--device", "tpu", "--compile-cache", "off")
    assert "JAX finds no tpu on this machine" in refusal(cosy_jax(*arguments(tmp_path / "a.wav"), *words))
    environment = {"JAX_PLATFORMS": "cuda"}
    done = cosy_jax(*arguments(tmp_path / "a.wav"), "--compile-cache", "off", environment=environment)
    assert "JAX finds no device of JAX_PLATFORMS=cuda on this machine" in refusal(done)


def test_escapes_of_voices_and_errors_are_shown(tmp_path, capsys):
    path = tmp_path / f"{ESCAPE}.wav"
    assert main(arguments(tmp_path / "a.wav", prompt_wav=path)) == 2
    told = capsys.readouterr().err
    assert r"\u001b]0;owned\u0007" in told and "\x1b" not in told


def test_escapes_of_a_transcript_are_shown(tmp_path, capsys):
    options = ("--weights", TINY, "--prompt-wav", RECORDING, "--voices", tmp_path, "--prompt-text", f"Words {ESCAPE}")
    assert main(["voice", "add", "ann", *map(str, options)]) == 0
    for command in (["list"], ["show", "ann"]):
        assert main(["voice", *command, "--voices", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert told.count(r"Words \u001b]0;owned\u0007") == 3 and "\x1b" not in told


def started(code, *words):
    """A process whose own modules are still to be imported."""
    command = [sys.executable, "-c", code, *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY)
    assert process.stdout.readline() == b"started\n"
    return process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_ends_with_its_status_and_cleans_up(number, status, tmp_path):
    process = started(HEEDING + RUN, "init", tmp_path / "new" / "weights")
    while not list(tmp_path.rglob("*.safetensors")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (status, INTERRUPTED)
    assert not list(tmp_path.iterdir())


def test_signal_that_nohup_ignores_is_ignored():
    process = started(HEEDING.replace("SIG_DFL", "SIG_IGN") + RUN, "info", TINY)
    process.send_signal(signal.SIGHUP)
    assert b"language models" in process.communicate(timeout=60)[0] and process.returncode == 0


def test_signal_while_modules_are_imported_waits_for_them(tmp_path):
    """An exception inside the import of a compiled module can crash the process."""
    module = "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(0.3)\nprint('whole')"
    (tmp_path / "slow_module.py").write_text(module)
    waiting = f"""
import time
from cosy_jax.cli.signals import Interrupted, raised_once
sys.path.insert(0, {str(tmp_path)!r})
try:
    with raised_once():
        import slow_module
        time.sleep(60)
except Interrupted as error:
    sys.exit(error.status)
"""
    done = subprocess.run([sys.executable, "-c", HEEDING + waiting], capture_output=True, cwd=REPOSITORY)
    assert (done.returncode, done.stdout) == (143, b"whole\n")


def test_signal_where_nobody_can_be_told_comes_again():
    """What an exception in a finaliser says is printed and forgotten."""
    waiting = """
import os, time
from cosy_jax.cli.signals import Interrupted, raised_once

class Finalised:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        print("whole")

try:
    with raised_once():
        Finalised()
        time.sleep(60)
except Interrupted as error:
    sys.exit(error.status)
"""
    done = subprocess.run([sys.executable, "-c", HEEDING + waiting], capture_output=True, cwd=REPOSITORY, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (143, b"", b"")


def test_compiled_and_read_programs_are_counted_apart(tmp_path, capsys):
    words = (*arguments(tmp_path / "a.wav"), "--mode", "cross-lingual")
    for found in (r"programs: \d+ compiled, 0 from", r"programs: 0 compiled, \d+ from"):
        done = cosy_jax(*words, "--compile-cache", tmp_path / "cache")
        assert done.returncode == 0, done.stderr.decode()
        assert re.search(found, done.stdout.decode())


def programs_of(tmp_path, cache, **changes):
    """What a run of its own tells of its programs, and the bytes it wrote."""
    out = tmp_path / "a.wav"
    done = cosy_jax(*arguments(out, text="Hi.", compile_cache=cache, **changes), "--json")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)["programs"], out.read_bytes(), done.stderr.decode()


def test_second_process_reads_programs_and_traces_none(tmp_path):
    cache = tmp_path / "cache"
    first, spoken, _ = programs_of(tmp_path, cache)
    again, same, _ = programs_of(tmp_path, cache)
    # Both encoders, the language model, the flow, F0 and the vocoder.
    assert first["whole"] == 0 and again["whole"] == 6 and again["compiled"] == 0
    assert same == spoken
    for path in (cache / "programs").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    mended, same, told = programs_of(tmp_path, cache)
    assert mended["whole"] == 0 and mended["compiled"] == 6 and same == spoken
    assert told.count("Stored programs are damaged: they are made anew.") == 1


def test_warm_stores_what_an_utterance_needs(tmp_path):
    cache = tmp_path / "cache"
    options = ("--weights", TINY, "--speech", 2.5, "--recording", 4.5, "--compile-cache", cache)
    done = cosy_jax("warm", *options)
    assert done.returncode == 0 and b"programs: " in done.stdout, done.stderr.decode()
    assert programs_of(tmp_path, cache)[0]["whole"] == 6
    assert "Nothing can be kept" in refusal(cosy_jax("warm", *options[:-1], "off"))
    assert "--speech is 0.1 s" in refusal(cosy_jax("warm", *options, "--speech", "0.1"))


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_batch_ends_in_two_steps_whatever_the_signals(second):
    waiting = f"""
import os, time
from cosy_jax.cli.interrupt import Stop, two_interrupts
stop = Stop()
with two_interrupts(stop, lambda: print("first", stop.status, flush=True)):
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), {int(second)})
    time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", HEEDING + waiting], capture_output=True, cwd=REPOSITORY)
    assert (done.returncode, done.stdout) == (128 + second, b"first 129\n")
    assert done.stderr == INTERRUPTED
