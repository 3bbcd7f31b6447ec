"""`cosy-jax warm`: what an utterance compiles, before there is one."""

import argparse
from typing import Any

from cosy_jax.cli.common import add_command, add_llm_option, add_runtime_options, start_jax
from cosy_jax.cli.output import progress_bar, tell
from cosy_jax.cli.weights import add_weights_option
from cosy_jax.errors import CosyError

_EXAMPLE = "cosy-jax warm --weights weights/cosyvoice3 --dtype int8"


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "warm", "compile and store what `synthesize` runs", _EXAMPLE, run)
    add_weights_option(parser)
    for name, what in (("speech", "speech of a sentence"), ("recording", "a voice's recording")):
        parser.add_argument(
            f"--{name}", type=float, default=10.0, metavar="SECONDS", help=f"the longest {what} (default: 10)"
        )
    add_llm_option(parser)
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    for name in ("speech", "recording"):
        if not 0.5 <= getattr(args, name) <= 30:
            raise CosyError(f"--{name} is {getattr(args, name):g} s: give 0.5 to 30.")
    start_jax(args, whole=True)
    from cosy_jax.nn import stored
    from cosy_jax.nn.compile_log import count_compilations
    from cosy_jax.nn.precision import get_precision
    from cosy_jax.synthesis.synthesizer import Synthesizer
    from cosy_jax.synthesis.warm import warm

    if stored.current() is None:
        raise CosyError("Nothing can be kept: name a folder that can be written with --compile-cache.")
    synthesizer = Synthesizer(args.weights, args.llm, get_precision(args.dtype), adapter=args.adapter)
    with count_compilations() as counts, progress_bar() as bar:
        task = bar.add_task("starting", total=None)
        for stage, done, total in warm(synthesizer, args.speech, args.recording):
            bar.update(task, description=stage, completed=done, total=total)
    tell(f"programs: {counts.compiled} compiled, {counts.cached} were there, in {counts.seconds:.1f} s")
    return 0
