"""The command as a stranger uses it."""

import json
import sys

import numpy as np
import pytest
import soundfile

from cosy_jax.audio.resample import resample
from cosy_jax.cli import main
from tests.compare.signals import RATE, melody, noise, pause, voice
from tests.reference import REPOSITORY

DATA = REPOSITORY / "tests" / "data"
SPEECH = melody((180, 0.2), (240, 0.2), (140, 0.2))


@pytest.fixture
def write(tmp_path):
    """Writes samples under a name and returns the path as a word of the command line."""

    def to_file(name, samples, rate=RATE):
        soundfile.write(tmp_path / name, samples, rate, "FLOAT" if name.endswith(".wav") else None)
        return str(tmp_path / name)

    return to_file


@pytest.mark.slow
def test_two_recordings(tmp_path, capsys):
    first, second = (str(DATA / f"prompt_{i}.flac") for i in (0, 1))
    assert main(["compare", first, second, "--plot", str(tmp_path / "both.png")]) == 0
    printed = capsys.readouterr().out
    assert f"A: {first}" in printed and f"B: {second}" in printed
    assert "B: different (log-mel distance" in printed
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_delayed_copy_at_another_rate(write, capsys):
    first, second = write("a.wav", SPEECH), write("b.wav", np.repeat(np.append(pause(0.1), SPEECH), 2), 2 * RATE)
    assert main(["compare", first, second, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    found = report["files"][1]["against_first"]
    assert found["rate"] == RATE and report["files"][1]["level"]["rate"] == 2 * RATE
    assert found["lag_seconds"] == pytest.approx(0.1, abs=2e-4)
    assert found["verdict"].startswith("nearly the same signal") and found["rmse_cents"] < 5
    assert report["files"][0]["against_first"] is None


@pytest.mark.slow
def test_same_samples_in_two_formats(write, capsys):
    rounded = np.round(SPEECH * 32768) / 32768
    first, second = write("a.wav", rounded), write("b.flac", rounded)
    assert main(["compare", first, second, "--min-snr", "200"]) == 0
    assert "B: identical, sample for sample" in capsys.readouterr().out
    assert main(["compare", first, second, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"][1]["against_first"]["snr_db"] is None


@pytest.mark.slow
def test_a_table_of_three(write, tmp_path, capsys):
    noisy = SPEECH + 0.01 * noise(0.6)
    files = [write("a.wav", SPEECH), write("b [red].wav", noisy), write("c.wav", np.append(SPEECH, pause(0.6)))]
    assert main(["compare", *files, "--min-snr", "50", "--plot", str(tmp_path / "three.png")]) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[:3] == [f"{number}: {path}" for number, path in enumerate(files, 1)]
    assert "SNR" in lines[3] and [line.split()[0] for line in lines[4:7]] == ["1", "2", "3"]
    assert len(lines[4].split()) < len(lines[5].split()) == len(lines[3].split()) - 3  # headings of two words
    assert lines[7].startswith("2: nearly the same signal (SNR 44.")
    assert lines[8:] == [
        "3: same signal (SNR inf dB); 0.60 s of silence at the tail; 100% longer than the first",
    ]
    assert printed.err.startswith(f"{files[1]}: SNR ") and "less than 50 dB" in printed.err
    assert files[2] not in printed.err
    assert (tmp_path / "three.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_further_file_changes_no_figures(write, capsys):
    files = [write("a.wav", SPEECH), write("b.wav", 0.5 * SPEECH), write("c.wav", SPEECH, 16000)]
    reports = []
    for some in (files[:2], files):
        assert main(["compare", *some, "--json"]) == 0
        reports.append(json.loads(capsys.readouterr().out)["files"])
    assert reports[0] == reports[1][:2]
    assert reports[1][2]["against_first"]["rate"] == 16000


@pytest.mark.slow
def test_only_the_band_that_both_have_is_compared(write, capsys):
    hiss = noise(0.5)
    assert main(["compare", write("a.wav", hiss), write("b.wav", resample(hiss, RATE, 16000), 16000), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["files"][1]["against_first"]
    assert found["mel_distance"] < 2  # 12 with the bands above 8 kHz


@pytest.mark.slow
def test_nothing_voiced(write, capsys):
    assert main(["compare", write("a.wav", noise(0.3)), write("b.wav", voice(200, 0.3))]) == 0
    printed = capsys.readouterr().out
    assert "none" in printed and "nan" not in printed


BAD = {
    "missing": (lambda write: "absent.wav", "No recording at"),
    "unreadable": (lambda write: str(REPOSITORY / "Makefile"), "Cannot read"),
    "empty": (lambda write: write("b.wav", pause(0)), "is empty"),
    "silent": (lambda write: write("b.wav", pause(1)), "is silent from end to end: give one with a signal"),
    "NaN": (lambda write: write("b.wav", np.full(RATE, np.nan)), "NaN or infinite samples"),
    "too short": (lambda write: write("b.wav", voice(200, 0.03)), "is 30 ms long: compare ones of at least 50 ms"),
    "8 kHz": (lambda write: write("b.wav", voice(200), 8000), "use one of at least 16000 Hz"),
}


@pytest.mark.parametrize(("make", "sentence"), BAD.values(), ids=BAD)
def test_bad_input(write, capsys, make, sentence):
    bad = make(write)
    for order in ([write("a.wav", SPEECH), bad], [bad, write("a.wav", SPEECH)]):
        assert main(["compare", *order]) == 2
        printed = capsys.readouterr()
        assert sentence in printed.err and bad in printed.err and printed.err.count("\n") == 1
        assert not printed.out


def test_plot_into_nowhere_fails_before_the_work(tmp_path, capsys):
    assert main(["compare", "absent.wav", "absent.wav", "--plot", str(tmp_path / "absent" / "a.png")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_plot_of_another_kind_is_refused(tmp_path, capsys):
    assert main(["compare", "absent.wav", "absent.wav", "--plot", str(tmp_path / "a.txt")]) == 2
    assert "Pictures are PNG files: let the name 'a.txt' end in .png." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_librosa(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "librosa", None)
    assert main(["compare", "a.wav", "b.wav"]) == 2
    assert "Comparing audio needs librosa: pip install 'cosy_jax[compare]'." in capsys.readouterr().err
