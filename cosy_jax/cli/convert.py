"""`cosy-jax convert`: the released folder in, our weights out."""

import argparse
import warnings
from typing import Any

from cosy_jax.cli.common import add_command
from cosy_jax.cli.output import file_progress, say_warning, tell


def add_parser(commands: Any) -> None:
    example = "cosy-jax convert Fun-CosyVoice3-0.5B weights/cosyvoice3"
    parser = add_command(commands, "convert", "convert a released model folder", example, run)
    parser.add_argument("model", metavar="MODEL_DIR", help="the released folder (llm.pt, flow.pt, hift.pt, ...)")
    parser.add_argument("out", metavar="OUT_DIR", help="where the converted weights go")
    add_dtype_option(parser)
    parser.add_argument("--verify", action="store_true", help="compare both encoders with onnxruntime (must be there)")


def add_dtype_option(parser: argparse.ArgumentParser) -> None:
    """The option of every command that writes converted weights."""
    parser.add_argument(
        "--dtype", default="float32", choices=("float32", "bfloat16"), help="of language model and flow"
    )


def run(args: argparse.Namespace) -> int:
    warnings.showwarning = say_warning
    from cosy_jax.conversions.convert import convert

    with file_progress() as progress:
        report = convert(args.model, args.out, dtype=args.dtype, verify=args.verify, progress=progress)
    tell(report.summary())
    return 0
