"""Every command that writes, ended at random moments: only whole files are left, and the next run succeeds."""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.conversions.release import write_release
from tests.reference import REPOSITORY

DATA = REPOSITORY / "tests" / "data"
CACHE = REPOSITORY / ".pytest_cache" / "xla"
SECONDS = 6.0  # of signals to a command, but each of them once
ROUNDS = 3
EARLY = 0.3  # seconds
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGKILL: None}
# What signals do while Python itself starts is Python's: they wait until it is up.
HEEDING = """
import signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)  # whoever runs the tests in the background may have them ignored
signal.pthread_sigmask(signal.SIG_SETMASK, ())
from cosy_jax.cli import main
sys.exit(main())
"""
INTERRUPTED = "cosy-jax: interrupted; nothing was left half written.\n"
VOICE = ("--prompt-wav", DATA / "prompt_1.flac")
MODEL = ("--weights", TINY, "--compile-cache", CACHE)
SPEAK = (*MODEL, *VOICE, "--mode", "cross-lingual", "--text", "Could you tell me how to get to the railway station?")


@dataclass(frozen=True)
class Case:
    """A command; OUT in its words is the folder that it writes into."""

    words: tuple[object, ...]
    grows: bool = False  # it may leave a part, if it tells its name
    fresh: bool = False  # it writes into a place that is to be empty, or its own

    def run(self, out: Path) -> list[str]:
        words = [str(word).replace("OUT", str(out)) for word in self.words]
        return [sys.executable, "-c", HEEDING, *words]


CASES = {
    "synthesize": Case(("synthesize", *SPEAK, "--out", "OUT/a.flac", "--plot", "OUT/a.png")),
    "stream": Case(("synthesize", *SPEAK, "--stream", "--out", "OUT/a.wav"), grows=True),
    "convert-voice": Case(
        ("convert-voice", *MODEL, *VOICE, "--source", DATA / "prompt_1.flac", "--out", "OUT/a.wav"),
    ),
    "voice add": Case(("voice", "add", "ann", *MODEL, *VOICE, "--voices", "OUT", "--force")),
    "convert": Case(("convert", "OUT/../release", "OUT/model"), fresh=True),
    "init": Case(("init", "OUT/model", "--size", "tiny"), fresh=True),
    "export": Case(("export", TINY, "OUT/model"), fresh=True),
    "batch": Case(("batch", "OUT/../manifest.jsonl", *MODEL, "--out", "OUT", "--slots", "2", "--flow-rows", "1")),
    "compare": Case(("compare", DATA / "prompt_0.flac", DATA / "prompt_1.flac", "--plot", "OUT/a.png")),
    "parity": Case(("parity", *MODEL, "--dumps", "OUT/../dumps", "--html", "OUT/a.html", "--plots", "OUT/plots")),
}


def files(folder: Path) -> dict[str, bytes]:
    """What lies in the folder, hidden files too, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in Path(name).parts)


def is_whole(name: str, content: bytes, expected: dict[str, bytes]) -> bool:
    """Whether a file is what an undisturbed run writes; pictures and pages may name moments."""
    if name == "results.jsonl":
        return all(json.loads(line)["wav"] for line in content.splitlines())
    if name.endswith(".png"):
        return content.endswith(b"IEND\xaeB`\x82")
    if name.endswith(".html"):
        return content.rstrip().endswith(b"</html>")
    return content == expected.get(name)


@pytest.fixture
def undisturbed(request, tmp_path):
    """The case, the folder it writes into, what a run leaves there, and the seconds that one takes."""
    case = CASES[request.param]
    (tmp_path / "release").mkdir()
    write_release(tmp_path / "release")
    lines = (DATA / "manifest.jsonl").read_text(encoding="utf-8").replace('"prompt_wav": "', f'"prompt_wav": "{DATA}/')
    (tmp_path / "manifest.jsonl").write_text("".join(lines.splitlines(keepends=True)[:2]), encoding="utf-8")
    (tmp_path / "dumps").mkdir()
    shutil.copy(DATA / "dumps" / "campplus.safetensors", tmp_path / "dumps")
    out = tmp_path / "out"
    for _ in range(2):  # the first may compile
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        start = time.monotonic()
        done = subprocess.run(case.run(out), capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    return case, out, files(out), time.monotonic() - start


def end(case: Case, out: Path, number: signal.Signals, after: float) -> tuple[int, str]:
    """Starts the command and sends it a signal; its status, and what it told."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [each for each in SIGNALS if each != signal.SIGKILL])
    try:
        process = subprocess.Popen(case.run(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        time.sleep(after)
        process.send_signal(number)
        _, told = process.communicate(timeout=600)
    finally:
        process.kill()
    return process.returncode, told


def check_ended(number: signal.Signals, status: int, told: str) -> None:
    """The signal's own status or, before the command has set its handlers up, the signal; and no more than a word."""
    assert status in (0, SIGNALS[number], -number), f"{number.name}: {status}\n{told}"
    assert "Traceback" not in told and "Fatal" not in told, told


def check_left(case: Case, out: Path, expected: dict[str, bytes], told: str | None, hidden: set[str]) -> None:
    """Only whole files, what was `hidden` before, and the part that was told; `told` is None where the process could
    tell and clear nothing."""
    for name, content in files(out).items():
        if is_hidden(name):
            assert told is None or name in hidden, f"{name} was left behind"
        elif ".part." in name:
            assert case.grows and (told is None or name in told), f"{name} was not told: {told}"
            (out / name).unlink()  # the next run's is another one
        else:
            assert is_whole(name, content, expected), f"{name} is not whole"


@pytest.mark.slow
@pytest.mark.parametrize("undisturbed", ["init"], indirect=True)
def test_signals_at_early_moments(undisturbed, capsys):
    """Modules are imported then, compiled ones too, which an exception can crash."""
    case, out, expected, _ = undisturbed
    moments, statuses = random.Random(0), Counter[int]()
    for number in [signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP] * 10:
        shutil.rmtree(out)
        out.mkdir()
        status, told = end(case, out, number, moments.uniform(0, EARLY))
        statuses[status] += 1
        check_ended(number, status, told)
        assert status == 0 or told in ("", INTERRUPTED)
        check_left(case, out, expected, told, set())
    with capsys.disabled():
        print(f"\nearly signals, by exit status: {dict(sorted(statuses.items()))}")
    assert statuses[130] and statuses[0] < statuses.total() / 2


@pytest.mark.slow
@pytest.mark.parametrize("undisturbed", CASES, indirect=True)
def test_signals_at_random_moments(undisturbed, request, capsys):
    case, out, expected, seconds = undisturbed
    moments, sent, ended = random.Random(request.node.name), 0, 0
    deadline = time.monotonic() + SECONDS
    for number in [*SIGNALS] * ROUNDS:
        if time.monotonic() > deadline and sent >= len(SIGNALS):
            break
        if case.fresh or "batch" in case.words:
            shutil.rmtree(out)
            out.mkdir()
        hidden = {name for name in files(out) if is_hidden(name)}  # of one that was killed, until the next that writes
        status, told = end(case, out, number, moments.uniform(0, seconds))
        sent, ended = sent + 1, ended + (status != 0)
        check_ended(number, status, told)
        check_left(case, out, expected, None if number == signal.SIGKILL else told, hidden)
    done = subprocess.run(case.run(out), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    # An empty file may be another process's that has not locked it yet: it is left for a minute.
    left = {name: content for name, content in files(out).items() if content or not is_hidden(name)}
    assert left.keys() == expected.keys()
    assert all(is_whole(name, content, expected) for name, content in left.items())
    with capsys.disabled():
        print(f"\n{re.sub('.*test_', 'test_', request.node.name)}: {sent} signals, of which {ended} ended the run")
