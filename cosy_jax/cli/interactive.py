"""`cosy-jax synthesize --interactive`: line after line is spoken, by weights that are loaded once."""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cosy_jax.cli.output import say, tell
from cosy_jax.cli.report import watched
from cosy_jax.cli.texts import arriving_lines
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.stage import Stage

if TYPE_CHECKING:
    from cosy_jax.synthesis.request import Request
    from cosy_jax.synthesis.speech import Speech
    from cosy_jax.synthesis.synthesizer import Synthesizer

# With what is needed to play a file without a word or a window.
_PLAYERS = (
    ("aplay", "-q"),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "quiet"),
    ("afplay",),
    ("paplay",),
)
ANY_TEXT = "a"  # of the request, until there is a line to speak


def find_player() -> list[str]:
    """The command that plays a file; CosyError where the machine has none."""
    for name, *options in _PLAYERS:
        if path := shutil.which(name):
            return [path, *options]
    known = ", ".join(name for name, *_ in _PLAYERS)
    raise CosyError(f"No player found ({known}): install one, or give --out FILE for numbered files.")


def converse(args: argparse.Namespace, synthesizer: "Synthesizer", request: "Request") -> None:
    """Speaks each line of standard input as the resolved request asks for, into a numbered file beside --out or with a
    player; a line that cannot be spoken is told and the next one asked for."""
    player = None if args.out else find_player()
    for line in _lines():
        start = time.perf_counter()
        try:
            with watched((Stage.PROMPT, Stage.LANGUAGE_MODEL, Stage.FLOW, Stage.VOCODER)) as told:
                speech = synthesizer.speak(replace(request, text=line), *told)
        except CosyError as error:
            say(str(error))
            continue
        taken = time.perf_counter() - start
        name = _play(player, speech) if player else _write(Path(args.out), speech)
        tell(f"{name}: {speech.duration:.2f} s of speech, real-time factor {taken / speech.duration:.2f}")


def _lines() -> Iterator[str]:
    """What is typed until Ctrl-D, or the lines that a pipe brings; empty ones are left out."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield from filter(None, map(str.strip, arriving_lines()))
        return
    with suppress(ImportError):
        import readline  # noqa: F401  input() then edits the line and remembers earlier ones
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            tell("")
            return
        if line:
            yield line


def _write(out: Path, speech: "Speech") -> str:
    """Into the first number that is free."""
    from cosy_jax.audio.write import write_audio

    number = 1
    while (path := out.with_name(f"{out.stem}-{number}{out.suffix}")).exists():
        number += 1
    write_audio(path, speech.audio, speech.sample_rate)
    return str(path)


def _play(player: list[str], speech: "Speech") -> str:
    from cosy_jax.audio.write import write_audio

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        write_audio(path, speech.audio, speech.sample_rate)
        done = subprocess.run([*player, str(path)], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return player[0] if done.returncode == 0 else f"{player[0]} failed with status {done.returncode}"
