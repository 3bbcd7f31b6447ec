"""`cosy-jax export`: our weights in, the released layout out."""

import argparse
import warnings
from typing import Any

from cosy_jax.cli.common import add_command
from cosy_jax.cli.output import file_progress, say_warning, tell


def add_parser(commands: Any) -> None:
    example = "cosy-jax export weights/random released/random"
    help_line = "write a converted model back in the released layout, for the PyTorch reference"
    parser = add_command(commands, "export", help_line, example, run)
    parser.add_argument("weights", metavar="WEIGHTS", help="a folder that `cosy-jax convert` or `init` wrote")
    parser.add_argument("out", metavar="OUT_DIR", help="where the released layout goes; new or empty")


def run(args: argparse.Namespace) -> int:
    warnings.showwarning = say_warning
    from cosy_jax.conversions.export import ENCODERS, export_release

    with file_progress() as progress:
        files = export_release(args.weights, args.out, progress)
    tell(f"{args.out}: {', '.join(files)}, float32")
    tell(f"not written: {' and '.join(ENCODERS)}; copy them from the release")
    return 0
