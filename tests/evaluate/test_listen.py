"""Recordings judged, here and in processes."""

import threading

import numpy as np
import pytest
import soundfile

from cosy_jax.evaluate import listen
from cosy_jax.evaluate.listen import Hearing, Listener, Task, judge_all
from tests.compare.signals import RATE, pause, voice
from tests.reference import REPOSITORY

PROMPT = str(REPOSITORY / "tests" / "data" / "prompt_1.flac")
HEARING = Hearing("pocketsphinx")


class Parrot:
    """Hears the same in whatever makes a sound."""

    def transcribe(self, samples, rate):
        return "good morning"


@pytest.fixture
def listener(monkeypatch):
    monkeypatch.setattr(listen, "load_recogniser", lambda name: Parrot())
    return Listener(HEARING)


@pytest.fixture
def write(tmp_path):
    def to_file(name, samples):
        soundfile.write(tmp_path / name, samples, RATE)
        return str(tmp_path / name)

    return to_file


def test_a_recording_and_its_reference(listener, write):
    task = Task("a", write("a.wav", voice(150, 1.0)), "Good evening.", write("r.wav", voice(100, 0.5)))
    found = listener.judge(task)
    assert found["heard"] == "good morning" and found["words"]["substitutions"] == 1 and found["words"]["length"] == 2
    assert found["f0_median"] == pytest.approx(150, rel=0.02)
    assert found["reference"]["seconds"] == 0.5 and "dnsmos" not in found


def test_silence_says_nothing(listener, write):
    found = listener.judge(Task("a", write("a.wav", pause(1)), "Good morning."))
    assert found["heard"] == "" and found["words"]["deletions"] == 2 and found["peak_db"] is None


def test_what_cannot_be_read_is_its_own_error(listener):
    assert listener.judge(Task("a", "absent.wav", "Good morning."))["error"].startswith("No recording at 'absent.wav'")


def test_none_is_begun_after_a_stop(listener, write):
    stop = threading.Event()
    tasks = [Task(str(number), write("a.wav", voice(150)), "Good morning.") for number in range(3)]
    done = []
    for task, _ in judge_all(tasks, listener, HEARING, 1, stop):
        done.append(task.key)
        stop.set()
    assert done == ["0"]


@pytest.mark.slow
def test_processes_find_what_one_finds(write):
    pytest.importorskip("pocketsphinx")
    alone = Listener(HEARING)
    samples = write("tone.wav", np.concatenate([voice(150), voice(200)]))
    tasks = [Task("a", PROMPT, "This is what it says.", samples), Task("b", samples, "Nothing."), Task("c", "no", "x")]
    found = {task.key: figures for task, figures in judge_all(tasks, alone, HEARING, 2, threading.Event())}
    assert found == {task.key: alone.judge(task) for task in tasks}
