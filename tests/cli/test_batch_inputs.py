"""`cosy-jax batch`: where its lines may come from."""

import json
import os
import subprocess
import sys
import tempfile
import threading

import pytest

from cosy_jax.cli import main
from tests.cli.test_batch_options import arguments, pipeline, pretend, spoken, write  # noqa: F401
from tests.reference import REPOSITORY

LINES = [{"key": key, "text": "Good morning.", "prompt_wav": "voice.wav", "prompt_text": "Words."} for key in "abc"]
WRITTEN = "".join(json.dumps(line) + "\n" for line in LINES).encode()


@pytest.fixture
def pipe():
    """A path such as the shell makes of `<(...)`, with the lines in it."""
    read, written = os.pipe()

    def feed():
        with open(written, "wb") as file:
            file.write(WRITTEN)

    thread = threading.Thread(target=feed)
    thread.start()
    yield f"/dev/fd/{read}"
    thread.join()
    os.close(read)


def run(folder, manifest, *options):
    return main(["batch", str(manifest), *arguments(folder, *options)[2:]])


def test_a_manifest_through_a_pipe(tmp_path, pipe, capsys, monkeypatch, pipeline):  # noqa: F811
    def check(synthesizer, lines, *rest):
        lines = list(lines)
        assert [line.request.recording.resolve() for line in lines] == [tmp_path / "voice.wav"] * 3
        pretend(synthesizer, lines, *rest)

    pipeline(check)
    monkeypatch.chdir(tmp_path)  # which relative recordings count from, there being no folder of the pipe
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run(tmp_path, pipe) == 0
    assert "3 spoken, 0 failed, 0 spoken earlier" in capsys.readouterr().out
    assert spoken(tmp_path) == ["a", "b", "c"]
    assert not list(tmp_path.glob("cosy_jax*"))  # the copy is gone


STDIN = """
import sys
from cosy_jax.batch import pipeline
from cosy_jax.cli import main
from tests.cli.test_batch_options import pretend
pipeline.run_batch = pretend
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("redirected", [False, True])
def test_standard_input(tmp_path, redirected):
    command = [sys.executable, "-c", STDIN, "batch", "/dev/stdin", *arguments(tmp_path)[2:]]
    manifest = tmp_path / "lines"
    manifest.write_bytes(WRITTEN)
    with manifest.open("rb") as file:
        given = {"stdin": file} if redirected else {"input": WRITTEN}
        result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=100, **given)
    assert result.returncode == 0 and b"3 spoken, 0 failed" in result.stdout, result.stderr


def test_no_room_for_the_copy(tmp_path, pipe, capsys, monkeypatch):
    class Full:
        name = "/somewhere/copy"

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("cosy_jax.batch.spool.NamedTemporaryFile", lambda **_: Full())
    assert run(tmp_path, pipe) == 2
    assert "Cannot keep the manifest in /somewhere (No space left on device)" in capsys.readouterr().err


def text_file(folder):
    path = folder / "lines.txt"
    path.write_text("Good morning.\n\nGood evening.\n")
    return path


def test_plain_text_in_one_voice(tmp_path, capsys, pipeline):  # noqa: F811
    def check(synthesizer, lines, *rest):
        lines = list(lines)
        for line in lines:
            request = line.request
            assert (request.voice, request.seed, request.speed, request.instruct) == ("ann", 5, 1.5, "Whisper.")
        pretend(synthesizer, lines, *rest)

    pipeline(check)
    options = ["--voice", "ann", "--seed", 5, "--speed", 1.5, "--instruct", "Whisper."]
    assert run(tmp_path, text_file(tmp_path), *options) == 0
    assert spoken(tmp_path) == ["000001", "000003"]
    pipeline(pretend)
    assert run(tmp_path, tmp_path / "lines.txt", *options) == 0
    assert "0 spoken, 0 failed, 2 spoken earlier" in capsys.readouterr().out
    assert run(tmp_path, tmp_path / "lines.txt", "--voice", "ann") == 0
    assert "2 because its text, mode, seed or speed changed" in capsys.readouterr().out


PLAIN = {
    "no voice": ([], "--prompt-wav or --voice: Say in which voice"),
    "two voices": (["--voice", "ann", "--prompt-wav", "a.wav"], "--prompt-wav or --voice: Say in which voice"),
    "no transcript": (["--prompt-wav", "a.wav"], "--prompt-text: Mode zero-shot needs"),
    "speed": (["--voice", "ann", "--speed", "9"], "The speed 9"),
}


@pytest.mark.parametrize("case", PLAIN)
def test_plain_text_without_what_it_needs(tmp_path, capsys, case):
    options, message = PLAIN[case]
    assert run(tmp_path, text_file(tmp_path), *options) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [("--seed", "0"), ("--voice", "ann"), ("--speed", "1"), ("--mode", "zero-shot")])
def test_options_of_a_plain_text_do_not_go_with_json(tmp_path, capsys, option):
    write(tmp_path, "a")
    assert main(arguments(tmp_path, *option)) == 2
    assert f"{option[0]}: A JSON manifest says this in each line" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--slots", "--flow-rows"])
def test_more_rows_than_any_machine_has(tmp_path, capsys, option):
    write(tmp_path, "a")
    assert main(arguments(tmp_path, option, 10**9)) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1] == f"cosy-jax: {option} cannot be 1000000000: give 1 to 4096."
    assert not (tmp_path / "out").exists()


def test_names_too_long_and_names_that_a_terminal_obeys(tmp_path, capsys):
    write(tmp_path, "a", "n" * 300, "bad\x1b[31m\x9b\nok: spoken", "z")
    assert main(arguments(tmp_path)) == 1
    printed = capsys.readouterr()
    assert "2 spoken, 2 failed" in printed.out and spoken(tmp_path) == ["a", "z"]
    assert "A file's name has more than 249 bytes" in printed.err
    assert "bad\\u001b[31m\\u009b\\nok: spoken: Cannot speak" in printed.err
    assert not {"\x1b", "\x9b"} & set(printed.err + printed.out)
