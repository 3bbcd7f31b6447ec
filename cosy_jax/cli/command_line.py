"""Parses the command line and turns errors into one sentence and an exit status."""

import argparse
import io
import os
import sys
from typing import Any, NoReturn

from cosy_jax.cli import (
    batch,
    compare,
    convert,
    convert_voice,
    dataset,
    download,
    evaluate,
    export,
    info,
    init,
    parity,
    serve,
    synthesize,
    tokens,
    train,
    voice,
    warm,
)
from cosy_jax.cli.common import EXIT_STATUS
from cosy_jax.cli.failure import ended
from cosy_jax.cli.output import console, put, standard_output, status
from cosy_jax.cli.signals import raised_once
from cosy_jax.cli.weights import find_weights
from cosy_jax.errors import CosyError

_EXAMPLES = """examples:
  cosy-jax download Fun-CosyVoice3-0.5B
  cosy-jax convert Fun-CosyVoice3-0.5B weights/cosyvoice3
  cosy-jax synthesize --weights weights/cosyvoice3 --text "Hello there." \\
      --prompt-wav me.wav --prompt-text "What I say in me.wav." --out hello.wav
  cosy-jax voice add me --weights weights/cosyvoice3 --prompt-wav me.wav --prompt-text "What I say in me.wav."
  cosy-jax batch manifest.jsonl --weights weights/cosyvoice3 --out speech
  cosy-jax info weights/cosyvoice3
"""


class _Parser(argparse.ArgumentParser):
    """Bad options end as all bad input does."""

    def _print_message(self, message: str, file: Any = None) -> None:
        with standard_output():
            print(message, end="", file=file)

    def error(self, message: str) -> NoReturn:
        raise CosyError(f"{message[:1].upper()}{message[1:]}: see `{self.prog} --help`.")


class _Version(argparse.Action):
    """Argparse's own would look the version up at every start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        put(f"{parser.prog} {version('cosy_jax')}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """The parser with every subcommand; each stores its function as `run`."""
    parser = _Parser(
        prog="cosy-jax",
        description="CosyVoice 3 text-to-speech in JAX.",
        epilog=f"{_EXAMPLES}\n{EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (
        synthesize,
        batch,
        serve,
        convert_voice,
        voice,
        warm,
        download,
        convert,
        train,
        export,
        info,
        dataset,
        compare,
        evaluate,
        parity,
        tokens,
        init,
    ):
        module.add_parser(commands)
    return parser


def run(argv: list[str] | None) -> int:
    """Runs the command; 0 when it succeeded, 1 when a check or a line failed, else as `failure.ended` says."""
    try:
        with raised_once():
            _check_streams()
            try:
                args = build_parser().parse_args(argv)
            except SystemExit:  # --help and --version are done
                return 0
            console.quiet = status.quiet = getattr(args, "quiet", False)
            if "weights" in args:
                args.weights = find_weights(args.weights)
            return args.run(args)
    except BaseException as error:
        return ended(error)


def _check_streams() -> None:
    """CosyError where standard output is closed. The numbers of closed streams are taken, so that no file is opened
    under them and then printed into; what cannot be encoded is printed as escapes."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = io.StringIO()
    if sys.stdout is None:
        raise CosyError("Standard output is closed: open it, or send it to /dev/null.")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
