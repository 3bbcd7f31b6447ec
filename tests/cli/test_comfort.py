"""What saves a user typing and guessing: texts from files, JSON, lines one by one, progress, help."""

import json
import stat
import sys

import pytest
import soundfile
from rich.progress import Progress

from cosy_jax.cli import main
from cosy_jax.cli.interactive import find_player
from cosy_jax.cli.report import watched
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.speech import Stopwatch
from cosy_jax.synthesis.stage import Stage
from tests.cli.test_synthesize import LONG, arguments, conversion, standard_input


def read(path):
    return path.read_bytes()


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """A file in which "Good morning." is spoken."""
    path = tmp_path_factory.mktemp("spoken") / "a.wav"
    assert main(arguments(path)) == 0
    return path


@pytest.mark.slow
def test_text_of_a_file_and_of_standard_input(spoken, tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_bytes("\ufeffGood\r\n\n  morning.\n".encode())
    assert main(arguments(tmp_path / "a.wav", text=None, text_file=tmp_path / "a.txt")) == 0
    monkeypatch.setattr("sys.stdin", standard_input("Good\nmorning.\n"))
    assert main(arguments(tmp_path / "b.wav", text="-")) == 0
    assert read(tmp_path / "a.wav") == read(tmp_path / "b.wav") == read(spoken)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"text_file": "absent.txt"}, "Argument --text-file: not allowed with argument --text"),
        ({"text": None}, "One of the arguments --text --text-file --interactive is required"),
        ({"text": None, "text_file": "absent.txt"}, "Cannot read the text absent.txt: No such file"),
        ({"out": None}, "Say where the speech goes: give --out FILE"),
    ],
)
def test_which_text_and_where_to(changes, sentence, tmp_path, capsys):
    assert main(arguments(**{"out": tmp_path / "a.wav"} | changes)) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_report_as_json(spoken, tmp_path, capsys):
    for words, first in ((arguments(tmp_path / "a.wav"), "prompt"), (conversion(tmp_path / "b.flac"), "prompt")):
        assert main([*words, "--json"]) == 0
        [line] = capsys.readouterr().out.splitlines()
        report, written = json.loads(line), soundfile.info(words[words.index("--out") + 1])
        assert report["out"] == words[words.index("--out") + 1]
        assert report["seconds"] == pytest.approx(written.duration, abs=1e-4)
        assert next(iter(report["stages"])) == first and report["stages"]["all"] > 0
        assert report["programs"].keys() == {"compiled", "cached", "whole", "seconds"} and report["tokens"] > 0


@pytest.mark.slow
def test_quiet_says_nothing(spoken, tmp_path, capfd):
    assert main([*arguments(tmp_path / "a.wav"), "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")
    assert main([*arguments(tmp_path / "a.wav", prompt_wav="absent.wav"), "--quiet"]) == 2
    assert capfd.readouterr().err.startswith("cosy-jax: No recording at 'absent.wav'")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp3", "ogg", "opus"])
def test_compressed_files(suffix, spoken, tmp_path):
    assert main(arguments(tmp_path / f"a.{suffix}")) == 0
    assert soundfile.info(tmp_path / f"a.{suffix}").frames == soundfile.info(spoken).frames


@pytest.mark.slow
def test_stream_report_as_json(tmp_path, capsys):
    assert main([*arguments(tmp_path / "a.wav", text=LONG), "--stream", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["pieces"] > 1 and report["seconds"] == soundfile.info(tmp_path / "a.wav").duration
    assert main([*arguments("-"), "--stream", "--json"]) == 2


@pytest.mark.slow
def test_interactive_speaks_each_line_into_the_next_free_number(spoken, tmp_path, monkeypatch, capsys):
    (tmp_path / "a-1.wav").write_bytes(b"mine")
    monkeypatch.setattr("sys.stdin", standard_input("Good morning.\n\n?!\nGood morning.\n"))
    assert main([*arguments(tmp_path / "a.wav", text=None), "--interactive"]) == 0
    printed = capsys.readouterr()
    assert "no letter or digit" in printed.err and printed.out.count("real-time factor") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1.wav", "a-2.wav", "a-3.wav"]
    assert read(tmp_path / "a-1.wav") == b"mine"
    assert read(tmp_path / "a-2.wav") == read(tmp_path / "a-3.wav") == read(spoken)


@pytest.fixture
def player(tmp_path, monkeypatch):
    """A player, the only program there is, that keeps what it was given to play."""
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "ffplay"
    keep = f"import shutil, sys; shutil.copy(sys.argv[-1], {str(tmp_path / 'heard.wav')!r})"
    path.write_text(f"#!{sys.executable}\n{keep}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))
    return path


@pytest.mark.slow
def test_interactive_plays_where_it_can(spoken, player, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", standard_input("Good morning.\n"))
    assert main([*arguments(None, text=None), "--interactive"]) == 0
    assert f"{player}: " in capsys.readouterr().out
    assert read(tmp_path / "heard.wav") == read(spoken)


def test_interactive_needs_a_player_or_files(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CosyError, match="No player found .aplay, ffplay"):
        find_player()
    for more in ([], ["--stream"], ["--json"], ["--plot", "a.png"]):
        assert main([*arguments(None, text=None), "--interactive", *more]) == 2
    told = capsys.readouterr().err
    assert "No player found" in told and all(f"leave --{name} out" in told for name in ("stream", "json", "plot"))


def test_progress_of_stages_that_parts_take_in_turn(monkeypatch):
    bar = Progress(disable=True)
    monkeypatch.setattr("cosy_jax.cli.report.progress_bar", lambda: bar)
    shown = []
    with watched((Stage.LANGUAGE_MODEL, Stage.FLOW, Stage.VOCODER)) as (on_stage, on_part):
        on_stage(Stage.LANGUAGE_MODEL)
        for part in range(2):
            for stage in (Stage.FLOW, Stage.VOCODER):
                on_stage(stage)
                on_part(part, 2)
                shown.append((bar.tasks[0].description, bar.tasks[0].completed))
    assert shown == [("flow 1/2", 1), ("vocoder 1/2", 1.5), ("flow 2/2", 2), ("vocoder 2/2", 2.5)]


def test_progress_names_the_parts(monkeypatch):
    bar = Progress(disable=True)
    monkeypatch.setattr("cosy_jax.cli.report.progress_bar", lambda: bar)
    shown = []
    with watched((Stage.LANGUAGE_MODEL, Stage.FLOW)) as told:
        watch = Stopwatch(*told)
        for stage, parts in ((Stage.LANGUAGE_MODEL, "a"), (Stage.FLOW, "abcd")):
            with watch(stage):
                shown += [(bar.tasks[0].description, bar.tasks[0].completed) for _ in watch.each(parts)]
    assert shown == [("language model", 0)] + [(f"flow {part + 1}/4", 1 + part / 4) for part in range(4)]


@pytest.mark.slow
def test_words_for_what_was_done(spoken, tmp_path, capsys):
    assert main(arguments(tmp_path / "a.wav")) == 0
    told = capsys.readouterr().err
    assert "language model: base" in told
    prefix = "You are a helpful assistant.<|endofprompt|>"
    assert f"transcript: added in front what the model was trained with, '{prefix}'" in told


@pytest.mark.parametrize("words", [[], ["synthesize"], ["voice"], ["voice", "add"], ["parity"]])
def test_help_has_an_example_and_the_exit_statuses(words, capsys):
    assert main([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "exit status:" in shown and "130" in shown
    assert "cosy-jax voice add" in shown if "voice" in words else "cosy-jax " in shown
