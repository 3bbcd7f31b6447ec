"""`cosy-jax init`: random weights, for tests and benchmarks."""

import argparse
from typing import Any

from rich.progress import track

from cosy_jax.cli.common import add_command
from cosy_jax.cli.convert import add_dtype_option
from cosy_jax.cli.output import status, tell


def add_parser(commands: Any) -> None:
    example = "cosy-jax init --size released --seed 0 weights/random"
    parser = add_command(commands, "init", "write random weights of a given size", example, run)
    parser.add_argument("out", metavar="OUT_DIR", help="where they go")
    parser.add_argument("--size", default="released", choices=("released", "tiny"), help="(default: released)")
    parser.add_argument("--seed", type=seed, default=0, help="same seed, same weights (default: 0)")
    add_dtype_option(parser)


def seed(word: str) -> int:
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"'{word}' is no whole number from 0 on")
    return int(word)


def run(args: argparse.Namespace) -> int:
    from cosy_jax.conversions.random_weights import RANDOM_STAGES, write_random

    steps = write_random(args.out, args.size, args.seed, args.dtype)
    shown = track(
        steps, "random weights", len(RANDOM_STAGES), console=status, transient=True, disable=not status.is_terminal
    )
    for _ in shown:
        pass
    tell(f"{args.out}: random weights of {args.size} size")
    return 0
