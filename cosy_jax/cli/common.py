"""What several subcommands share: options, logging, the compilation cache and the progress bar."""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cosy_jax.nn import compile_cache

if TYPE_CHECKING:
    from cosy_jax.synthesis.request import Request
    from cosy_jax.synthesis.synthesizer import Synthesizer
    from cosy_jax.text.normalise import FrontendOptions

INTERRUPTED = 130  # exit status
# Where an option has another name than the field of the request.
_FLAGS = {"recording": "--prompt-wav", "transcript": "--prompt-text", "overwrite": "--force", "frontend": "--verbatim"}

console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=200)  # a pipe has no width: keep the lines of tables whole
status = Console(stderr=True, highlight=False)


def add_command(commands: Any, name: str, help_line: str, example: str, run: Any) -> argparse.ArgumentParser:
    """A subcommand's parser, with its example below the options."""
    parser = commands.add_parser(
        name,
        help=help_line,
        description=help_line[0].upper() + help_line[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_runtime_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that runs the network."""
    parser.add_argument(
        "--dtype",
        default="float32",
        help="float32 (default), bfloat16 for language model and flow, or int8 for the language model's matrices and "
        "bfloat16 for the rest",
    )
    add_compile_options(parser)


def add_compile_options(parser: argparse.ArgumentParser) -> None:
    """Those of them that `start_jax` reads."""
    parser.add_argument(
        "--compile-cache",
        metavar="DIR",
        default=compile_cache.default_cache(),
        help="where compiled programs are kept between runs, or 'off' (default: %(default)s; env COSY_JAX_CACHE)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="let JAX and XLA log")


def add_voices_folder(parser: argparse.ArgumentParser) -> None:
    """The option of every command that reads or writes saved voices."""
    parser.add_argument(
        "--voices",
        metavar="DIR",
        help="where saved voices are (default: ~/.local/share/cosy_jax/voices; env COSY_JAX_VOICES)",
    )


def add_voice_choice(parser: argparse.ArgumentParser) -> None:
    """Options of every command that speaks in a voice; `voice_fields` reads them."""
    parser.add_argument("--prompt-wav", metavar="FILE", help="the voice: a recording of up to 30 s")
    parser.add_argument("--voice", metavar="NAME", help="in place of a recording: what `cosy-jax voice add` saved")
    add_voices_folder(parser)


def add_mode_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that speaks one text; `speaking_request` reads them."""
    parser.add_argument("--prompt-text", help="what is said in the recording; mode zero-shot needs it")
    parser.add_argument(
        "--mode",
        choices=("zero-shot", "cross-lingual", "instruct"),
        help="continue the recording, take only its voice, or obey an instruction (default: zero-shot)",
    )
    parser.add_argument("--instruct", metavar="TEXT", help="how to speak; mode instruct is then the default")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same speech (default: 0)")


def add_speed_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="0.5 to 2; the pitch stays (default: 1)")


def add_text_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that reads texts; `text_options` reads them."""
    parser.add_argument(
        "--language", choices=("zh", "en", "other"), help="whose rules normalise the text (default: found from it)"
    )
    parser.add_argument("--verbatim", action="store_true", help="do not normalise or split the text")


def add_llm_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--llm", default="auto", choices=("auto", "rl", "base"), help="auto takes RL weights if any")


def text_options(args: argparse.Namespace) -> "FrontendOptions":
    """What is done to texts; says so where only a part of it can be done."""
    from cosy_jax.text.normalise import FrontendOptions, has_wetext

    if not (args.verbatim or has_wetext()):
        status.print("text: only digits are spelled out; pip install 'cosy_jax[text]' for the rest", markup=False)
    return FrontendOptions(enabled=not args.verbatim, language=args.language)


def voice_fields(args: argparse.Namespace) -> dict[str, Any]:
    """Those fields of a request that the options of `add_voice_choice` give."""
    return {"voice": args.voice, "recording": args.prompt_wav}


def speaking_request(args: argparse.Namespace, text: "str | Iterable[str]", speed: float = 1.0) -> "Request":
    """What the options of `add_voice_choice`, `add_mode_options` and `add_text_options` ask for; CosyError where they
    do not fit together, before anything is loaded."""
    from cosy_jax.synthesis.request import Request

    asked = isinstance(text, str) or args.verbatim or args.language
    return Request(
        text,
        **voice_fields(args),
        transcript=args.prompt_text,
        mode=args.mode,
        instruct=args.instruct,
        seed=args.seed,
        speed=speed,
        frontend=text_options(args) if asked else None,
    )


def resolved(synthesizer: "Synthesizer", request: "Request") -> "Request":
    """The request with its voice at hand; says what is put in front of its transcript."""
    from cosy_jax.text.check import with_prefix

    found = synthesizer.resolve(request)
    if found.way == "zero-shot" and with_prefix(found.voice_at_hand.transcript)[1]:
        status.print("prompt text: put 'You are a helpful assistant.<|endofprompt|>' in front", markup=False)
    return found


def flag(field: str) -> str:
    """The option that gives a field of a request."""
    return _FLAGS.get(field) or f"--{field.replace('_', '-')}"


def start_jax(args: argparse.Namespace) -> None:
    """Sets up logging, warnings and the compilation cache; call before the first computation."""
    compile_cache.start_jax(args.compile_cache, args.verbose)
    from cosy_jax.text.normalise import NoWetextWarning

    warnings.simplefilter("ignore", NoWetextWarning)  # commands that read text say it in a sentence of their own
    warnings.showwarning = _say_warning


def _say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    status.print(f"warning: {message}", markup=False, soft_wrap=True)


def say_interrupted() -> None:
    print("cosy-jax: interrupted; nothing was left half written.", file=sys.stderr, flush=True)


def progress_bar() -> Progress:
    """A bar on standard error that keeps ticking while a compiled program runs; nothing where it is no terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description:<16}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=status, transient=True, disable=not status.is_terminal)


@contextmanager
def file_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for files that are written one after the other; gives what is told (file, bytes done, bytes in all)."""
    columns = (TextColumn("{task.description:<24}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=status, transient=True, disable=not status.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda file, done, total: bar.update(task, description=file, completed=done, total=total)
