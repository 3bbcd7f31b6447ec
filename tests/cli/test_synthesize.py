"""The command as a stranger uses it: speech comes out, and bad input gets one sentence and status 2."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cosy_jax.cli import main
from tests.conftest import TINY
from tests.reference import REPOSITORY

LONG = "Could you tell me how to get to the railway station from here?"
RECORDING = REPOSITORY / "tests" / "data" / "prompt_1.flac"


def arguments(out, **changes):
    """`synthesize` with the options that `changes` changes, or leaves out where they are None."""
    options = {
        "weights": TINY,
        "text": "Good morning.",
        "prompt-wav": RECORDING,
        "prompt-text": "Some words.",
        "out": out,
        "compile-cache": REPOSITORY / ".pytest_cache" / "xla",
    }
    options.update({name.replace("_", "-"): value for name, value in changes.items()})
    return ["synthesize", *as_words(options)]


def as_words(options):
    words = ((f"--{name}", str(value)) for name, value in options.items() if value is not None)
    return [part for pair in words for part in pair if part]


def conversion(out, **changes):
    """`convert-voice` likewise."""
    words = arguments(out, **{"source": RECORDING} | changes | {"text": None, "prompt_text": None})
    return ["convert-voice", *words[1:]]


def add_voice(folder, name="ann", *more):
    options = {"weights": TINY, "prompt-wav": RECORDING, "voices": folder}
    return main(["voice", "add", name, *as_words(options), *more])


def test_synthesize_writes_the_same_wav_for_the_same_seed(tmp_path, capsys):
    outs = [tmp_path / name for name in ("a.wav", "b.wav", "c.flac")]
    for out, seed in zip(outs, (1, 1, 2), strict=True):
        assert main(arguments(out, seed=seed)) == 0
    printed = capsys.readouterr()
    assert "real-time factor" in printed.out and "flow" in printed.out
    assert "You are a helpful assistant.<|endofprompt|>" in printed.err
    assert outs[0].read_bytes() == outs[1].read_bytes()
    first, rate = soundfile.read(outs[0])
    assert rate == 24000 and len(first) % 960 == 0 and 0.001 < np.abs(first).max() <= 1
    assert not np.array_equal(first, soundfile.read(outs[2])[0])
    assert sorted(tmp_path.iterdir()) == sorted(outs)


def test_prefix_is_not_added_twice(tmp_path, capsys):
    prompt_text = "You are a helpful assistant.<|endofprompt|>Some words."
    assert main(arguments(tmp_path / "a.wav", prompt_text=prompt_text)) == 0
    assert "endofprompt" not in capsys.readouterr().err


def test_plot_is_a_picture(tmp_path):
    assert main(arguments(tmp_path / "a.wav", plot=tmp_path / "a.png")) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def write_wav(path: Path, seconds: float, rate: int = 16000) -> Path:
    soundfile.write(path, np.zeros(int(seconds * rate), np.float32), rate)
    return path


def standard_input(text: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode()), "ascii")  # whatever the locale


def damaged(folder: Path) -> Path:
    (folder / "ann.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      and more")
    return folder


def saved(folder: Path, **changes):
    """Changes that take a voice without transcript, saved in `folder`, in place of the recording."""
    assert add_voice(folder) == 0
    return {"voice": "ann", "voices": folder, "prompt_wav": None, "prompt_text": None} | changes


BAD = {
    "no such weights": (lambda p: {"weights": p / "absent"}, "not a converted model"),
    "empty text": (lambda p: {"text": "  "}, "empty"),
    "nothing to speak": (lambda p: {"text": "?! [laughter]"}, "no letter or digit"),
    "missing recording": (lambda p: {"prompt_wav": p / "absent.wav"}, "No recording"),
    "unreadable recording": (lambda p: {"prompt_wav": REPOSITORY / "Makefile"}, "Cannot read"),
    "empty recording": (lambda p: {"prompt_wav": write_wav(p / "in.wav", 0)}, "is empty"),
    "recording of 8 kHz": (lambda p: {"prompt_wav": write_wav(p / "in.wav", 1, 8000)}, "8000 Hz"),
    "recording of 31 s": (lambda p: {"prompt_wav": write_wav(p / "in.wav", 31)}, "31.0 s long"),
    "recording of 30 ms": (lambda p: {"prompt_wav": write_wav(p / "in.wav", 0.03)}, "too short"),
    "output into nowhere": (lambda p: {"out": p / "absent" / "a.wav"}, "does not exist"),
    "output over a folder": (lambda p: {"out": p}, "is a folder"),
    "output of unknown kind": (lambda p: {"out": p / "a.aac"}, "suffix"),
    "output with too long a name": (lambda p: {"out": p / f"{'a' * 252}.wav"}, "File name too long"),
    "picture of another kind": (lambda p: {"plot": p / "a.txt"}, "let the name 'a.txt' end in .png"),
    "no RL weights": (lambda p: {"llm": "rl"}, "no 'rl' language model"),
    "unknown dtype": (lambda p: {"dtype": "float16"}, "Argument --dtype: invalid choice: 'float16'"),
    "no voice at all": (lambda p: {"prompt_wav": None}, "--prompt-wav or --voice: Say in which voice"),
    "two voices": (lambda p: {"voice": "ann", "voices": p}, "--prompt-wav or --voice: Say in which voice"),
    "zero-shot without transcript": (
        lambda p: {"prompt_text": None},
        "--prompt-text: Mode zero-shot needs",
    ),
    "zero-shot, saved without transcript": (saved, "--voice: The voice has no transcript"),
    "transcript of a saved voice": (
        lambda p: saved(p, prompt_text="Some words."),
        "--prompt-text: A voice brings its transcript",
    ),
    "instruct without instruction": (lambda p: {"mode": "instruct"}, "needs one"),
    "empty instruction": (lambda p: {"instruct": " "}, "needs one"),
    "instruction in another mode": (lambda p: {"mode": "zero-shot", "instruct": "Whisper."}, "mode instruct"),
    "instruction with its end": (lambda p: {"instruct": "Whisper.<|endofprompt|>"}, "leave it out"),
    "unknown voice": (lambda p: saved(p, voice="bob"), "No voice 'bob'"),
    "damaged voice": (lambda p: saved(p) | {"voices": damaged(p)}, "no voice file"),
    "invalid voice name": (lambda p: saved(p, voice="../ann"), "not valid"),
    "trimmed voice": (lambda p: saved(p) | {"trim": ""}, "--trim: Only a recording can be trimmed"),
    "too fast": (lambda p: {"speed": 2.5}, "--speed: The speed 2.5 is not supported"),
    "no speed": (lambda p: {"speed": "nan"}, "from 0.5 to 2"),
}
BAD_CONVERSION = {
    "missing source": (lambda p: {"source": p / "absent.wav"}, "No recording"),
    "silent source": (lambda p: {"source": write_wav(p / "in.wav", 31)}, "in.wav' is silent"),
    "no voice at all": (lambda p: {"prompt_wav": None}, "--prompt-wav or --voice: Say in which voice"),
    "unknown voice": (lambda p: {"prompt_wav": None, "voice": "bob", "voices": p}, "No voice 'bob'"),
    "too slow": (lambda p: {"speed": 0.1}, "from 0.5 to 2"),
    "output into nowhere": (lambda p: {"out": p / "absent" / "a.wav"}, "does not exist"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_leaves_nothing(case, tmp_path, capsys):
    check_refused(arguments, *BAD[case], tmp_path, capsys)


@pytest.mark.parametrize("case", BAD_CONVERSION)
def test_bad_conversion_is_one_sentence_and_leaves_nothing(case, tmp_path, capsys):
    check_refused(conversion, *BAD_CONVERSION[case], tmp_path, capsys)


def check_refused(command, change, message, folder, capsys):
    changes = change(folder)
    before = sorted(folder.rglob("*"))
    assert main(command(changes.pop("out", folder / "out.wav"), **changes)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("cosy-jax: ") and message in error
    assert sorted(folder.rglob("*")) == before


@pytest.mark.slow
def test_modes_and_speed(tmp_path, capsys):
    voice = saved(tmp_path)
    outs = {}
    for name, changes in {
        "cross-lingual": {"mode": "cross-lingual"},
        "recording": {"mode": "cross-lingual", "voice": None, "prompt_wav": RECORDING},
        "instruct": {"instruct": "Speak slowly."},
        "fast": {"mode": "cross-lingual", "speed": 2},
    }.items():
        outs[name] = tmp_path / f"{name}.wav"
        assert main(arguments(outs[name], **voice | changes)) == 0
    assert "endofprompt" not in capsys.readouterr().err
    assert outs["cross-lingual"].read_bytes() == outs["recording"].read_bytes()
    assert outs["cross-lingual"].read_bytes() != outs["instruct"].read_bytes()
    assert soundfile.info(outs["fast"]).frames == soundfile.info(outs["cross-lingual"]).frames // 2


def test_saved_voice_from_add_to_remove(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COSY_JAX_VOICES", str(tmp_path / "voices"))
    monkeypatch.setenv("COSY_JAX_WEIGHTS", str(TINY))  # which bring no voices
    assert main(["voice", "list"]) == 0
    assert "voice add" in capsys.readouterr().out
    assert add_voice(None, "ann", "--prompt-text", "Some [laughter] words.") == 0
    assert main(["voice", "list"]) == 0
    assert main(["voice", "show", "ann"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("Some [laughter] words.") == 3 and printed.count("prompt_1.flac") == 3
    assert add_voice(None) == 2
    assert add_voice(None, "ann", "--force") == 0
    assert main(["voice", "remove", "ann"]) == 0
    assert main(["voice", "show", "ann"]) == 2
    assert not list((tmp_path / "voices").iterdir())


def test_bad_recording_saves_no_voice(tmp_path, capsys):
    assert add_voice(tmp_path / "voices", "a b") == 2
    assert add_voice(tmp_path / "voices", "ann", "--prompt-wav", str(tmp_path / "absent.wav")) == 2
    assert "No recording" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_convert_voice_writes_speech_of_the_source_length(tmp_path, capsys):
    source = REPOSITORY / "tests" / "data" / "prompt_0.flac"
    assert main(conversion(tmp_path / "a.wav", source=source)) == 0
    assert main(conversion(tmp_path / "b.wav", source=source, **saved(tmp_path / "voices"))) == 0
    assert "speech tokens" in capsys.readouterr().out
    written = soundfile.info(tmp_path / "a.wav")
    assert written.samplerate == 24000 and 0 <= written.duration - soundfile.info(source).duration < 0.04
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write to")
def test_folder_that_cannot_be_written(capsys):
    assert main(arguments("/proc/a.wav")) == 2
    assert "Cannot write" in capsys.readouterr().err


def test_info_tells_stages_and_variants(capsys):
    assert main(["info", str(TINY)]) == 0
    printed = capsys.readouterr().out
    assert "speech_tokenizer" in printed and "llm" in printed and "float32" in printed


def test_convert_refuses_a_missing_folder(tmp_path, capsys):
    assert main(["convert", str(tmp_path / "absent"), str(tmp_path / "out")]) == 2
    assert "not a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_has_examples_and_starts_fast():
    run = subprocess.run(
        [sys.executable, "-c", "import sys; from cosy_jax.cli import main; main(['--help'])"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=True,
    )
    assert "examples:" in run.stdout
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, cosy_jax.cli; print('jax' in sys.modules)"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=True,
    )
    assert loaded.stdout.strip() == "False"


@pytest.mark.slow
def test_stream_to_a_file_and_as_pcm_are_the_same_audio(tmp_path, capsysbinary):
    assert main([*arguments(tmp_path / "a.wav", text=LONG), "--stream"]) == 0
    assert b"the first after" in capsysbinary.readouterr().err
    assert main([*arguments("-", text=LONG), "--stream"]) == 0
    pcm = np.frombuffer(capsysbinary.readouterr().out, "<i2")
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == 24000 and len(samples) == len(pcm) > 24000
    assert np.abs(samples.astype(int) - pcm).max() <= 1


@pytest.mark.slow
def test_stream_of_lines_from_standard_input(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sys.stdin", standard_input("Could you tell me how to get\nto the railway station from here?\n")
    )
    assert main([*arguments(tmp_path / "a.wav", text="-"), "--stream"]) == 0
    assert len(soundfile.read(tmp_path / "a.wav")[0]) > 0


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--speed", "1.5", "--stream"], "cannot change the speed"),
        (["--stream", "--plot", "a.png"], "no picture"),
        (["--stream", "--left-chunks", "0"], "--left-chunks: A stream cannot look back 0"),
        (["--stream", "--left-chunks", "3", "--solver", "exact"], "bound the cached one"),
        (["--solver", "cached"], "--solver: Only a stream has a solver"),
        (["--text", "-", "--stream", "--verbatim"], "neither normalised nor split"),
        (["--out", "-"], "add --stream"),
    ],
)
def test_options_that_do_not_fit_a_stream(extra, message, tmp_path, capsys):
    assert main([*arguments(tmp_path / "a.wav"), *extra]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
