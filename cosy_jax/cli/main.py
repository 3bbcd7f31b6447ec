"""Parses the command line and turns errors into one sentence and an exit status."""

import argparse
import os
import sys

from cosy_jax.cli import batch, compare, convert, convert_voice, export, info, init, parity, synthesize, tokens, voice
from cosy_jax.cli.common import INTERRUPTED, flag, say_interrupted
from cosy_jax.errors import CosyError

BAD_INPUT = 2

_EXAMPLES = """examples:
  cosy-jax convert Fun-CosyVoice3-0.5B weights/cosyvoice3
  cosy-jax synthesize --weights weights/cosyvoice3 --text "Hello there." \\
      --prompt-wav me.wav --prompt-text "What I say in me.wav." --out hello.wav
  cosy-jax voice add me --weights weights/cosyvoice3 --prompt-wav me.wav --prompt-text "What I say in me.wav."
  cosy-jax batch manifest.jsonl --weights weights/cosyvoice3 --out speech
  cosy-jax info weights/cosyvoice3
"""


class _Version(argparse.Action):
    """Argparse's own would look the version up at every start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(parser.prog, version("cosy_jax"))
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """The parser with every subcommand; each stores its function as `run`."""
    parser = argparse.ArgumentParser(
        prog="cosy-jax",
        description="CosyVoice 3 text-to-speech in JAX.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (synthesize, batch, convert_voice, voice, convert, export, info, compare, parity, tokens, init):
        module.add_parser(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs the command; 0 when it succeeded, 1 when a check or a line failed, 2 for bad input."""
    args = build_parser().parse_args(argv)
    try:
        return args.run(args)
    except CosyError as error:
        print(f"cosy-jax: {error.naming(flag)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        say_interrupted()
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
