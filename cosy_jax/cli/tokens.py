"""`cosy-jax tokens`: what the language model was given and what it drew, in lines that can be diffed."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosy_jax.cli.common import (
    add_command,
    add_mode_options,
    add_runtime_options,
    add_text_options,
    add_voice_choice,
    resolved,
    say_model,
    speaking_request,
    start_jax,
)
from cosy_jax.cli.output import progress_bar, put
from cosy_jax.cli.texts import text_argument
from cosy_jax.cli.transcribe import add_transcribe_option
from cosy_jax.cli.weights import add_weights_option
from cosy_jax.errors import CosyError

if TYPE_CHECKING:
    from cosy_jax.synthesis.synthesizer import Synthesizer

_EXAMPLE = """cosy-jax tokens --weights weights/embedded --text "Good morning." \\
      --prompt-wav voice.wav --prompt-text "What is said in voice.wav."
  cosy-jax tokens --weights weights/cosyvoice3 --dumps dumps | diff - dumps/tokens.txt

Of each segment: text and speech tokens, the bounds on the speech tokens, what ended it, the steps at which the
repetition rule drew again (both counted from 0), and the ids before silence is capped."""
_OF_A_TEXT = ("prompt_wav", "voice", "prompt_text", "mode", "instruct", "language")


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "tokens", "print the speech tokens of a text, or of a recorded run", _EXAMPLE, run)
    add_weights_option(parser)
    parser.add_argument(
        "--text", type=text_argument, help="what to say; its tokens are those that `cosy-jax synthesize` speaks"
    )
    parser.add_argument(
        "--dumps", metavar="DIR", help="in place of a text: the recorded runs of a capture, with their recorded noise"
    )
    add_voice_choice(parser)
    add_mode_options(parser)
    add_transcribe_option(parser)
    add_text_options(parser)
    parser.add_argument(
        "--llm", choices=("auto", "rl", "base"), help="(default: auto, RL weights if any; base with --dumps)"
    )
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    _check_source(args)
    start_jax(args)
    with progress_bar() as bar:
        bar.add_task("language model", total=None)
        lines = list(_of_dumps(args) if args.text is None else _of_text(args))
    # Not before: on a terminal the bar sends standard output where it is drawn itself.
    for line in lines:
        put(line)
    return 0


def _check_source(args: argparse.Namespace) -> None:
    """CosyError unless there is one run to report, with the options that belong to it."""
    if (args.text is None) == (args.dumps is None):
        raise CosyError("Say whose tokens to print: give either --text TEXT or --dumps DIR.")
    given = [name for name in _OF_A_TEXT if getattr(args, name) is not None]
    if args.dumps and given:
        raise CosyError(f"A recorded run brings its text and its voice: leave --{given[0].replace('_', '-')} out.")


def _of_dumps(args: argparse.Namespace) -> Iterator[str]:
    from cosy_jax.parity.report.tokens import report_dumps

    return report_dumps(_load(args, "base"), Path(args.dumps))


def _of_text(args: argparse.Namespace) -> Iterator[str]:
    from cosy_jax.parity.report.tokens import report_text

    request = speaking_request(args, args.text)
    synthesizer = _load(args, "auto")
    return report_text(synthesizer, resolved(synthesizer, request))


def _load(args: argparse.Namespace, llm: str) -> "Synthesizer":
    """The model with the language model asked for, else `llm`."""
    from cosy_jax.nn.precision import get_precision
    from cosy_jax.synthesis.synthesizer import Synthesizer

    synthesizer = Synthesizer(args.weights, args.llm or llm, get_precision(args.dtype), voices=args.voices)
    say_model(synthesizer)
    return synthesizer
