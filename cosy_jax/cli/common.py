"""What several subcommands share: options and what they ask for."""

import argparse
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cosy_jax.cli.output import say, say_warning
from cosy_jax.cli.texts import text_argument
from cosy_jax.cli.transcribe import say_transcript, transcript_option
from cosy_jax.nn import compile_cache

if TYPE_CHECKING:
    from cosy_jax.synthesis.request import Request
    from cosy_jax.synthesis.synthesizer import Synthesizer
    from cosy_jax.text.normalise import FrontendOptions

EXIT_STATUS = """exit status:
  0    done
  1    a check was missed, or lines of a batch failed
  2    bad input, or the machine refused: a sentence on standard error says what
  130  interrupted by Ctrl-C; 143 by SIGTERM, 129 by SIGHUP; 141 where the reader of a pipe went away"""
AUDIO_FILES = ".wav, .flac, .mp3, .ogg or .opus"
# Where an option has another name than the field of the request.
_FLAGS = {"recording": "--prompt-wav", "transcript": "--prompt-text", "overwrite": "--force", "frontend": "--verbatim"}


def add_command(commands: Any, name: str, help_line: str, example: str, run: Any) -> argparse.ArgumentParser:
    """A subcommand's parser, with its example below the options."""
    parser = commands.add_parser(
        name,
        help=help_line,
        description=help_line[0].upper() + help_line[1:] + ".",
        epilog=f"example:\n  {example}\n\n{EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_runtime_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that runs the network."""
    parser.add_argument(
        "--dtype",
        default="float32",
        choices=("float32", "bfloat16", "int8"),
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
    parser.add_argument("--device", choices=compile_cache.DEVICES, help="what computes (default: the best there is)")
    parser.add_argument("-v", "--verbose", action="store_true", help="let JAX and XLA log")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")


def add_voices_folder(parser: argparse.ArgumentParser) -> None:
    """The option of every command that reads or writes saved voices."""
    parser.add_argument(
        "--voices",
        metavar="DIR",
        help="where your saved voices are (default: ~/.local/share/cosy_jax/voices; env COSY_JAX_VOICES)",
    )


def add_trim_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trim", action="store_true", help="take the cleanest 10 s of a recording of any length")


def add_voice_choice(parser: argparse.ArgumentParser) -> None:
    """Options of every command that speaks in a voice; `voice_fields` reads them."""
    parser.add_argument("--prompt-wav", metavar="FILE", help="the voice: a recording of up to 30 s")
    add_trim_option(parser)
    parser.add_argument(
        "--voice",
        metavar="NAME",
        type=text_argument,
        help="in its place: one that was saved, or that the weights bring",
    )
    add_voices_folder(parser)


def add_mode_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that speaks one text; `speaking_request` reads them."""
    parser.add_argument(
        "--prompt-text", type=text_argument, help="what is said in the recording; mode zero-shot needs it"
    )
    parser.add_argument(
        "--mode",
        choices=("zero-shot", "cross-lingual", "instruct"),
        help="continue the recording, take only its voice, or obey an instruction (default: zero-shot)",
    )
    parser.add_argument(
        "--instruct", metavar="TEXT", type=text_argument, help="how to speak; mode instruct is then the default"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same speech (default: 0)")


def add_json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


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
    parser.add_argument(
        "--adapter", metavar="DIR", help="low-rank changes to apply: a run's RUN/adapter, or a LoRA of PEFT"
    )


def text_options(args: argparse.Namespace) -> "FrontendOptions":
    """What is done to texts; says so where only a part of it can be done."""
    from cosy_jax.text.normalise import FrontendOptions, has_wetext

    if not (args.verbatim or has_wetext()):
        say("text: only digits are spelled out; pip install 'cosy_jax[text]' for the rest")
    return FrontendOptions(enabled=not args.verbatim, language=args.language)


def voice_fields(args: argparse.Namespace) -> dict[str, Any]:
    """Those fields of a request that the options of `add_voice_choice` give."""
    return {"voice": args.voice, "recording": args.prompt_wav, "trim": args.trim}


def speaking_request(args: argparse.Namespace, text: "str | Iterable[str]", speed: float = 1.0) -> "Request":
    """What the options of `add_voice_choice`, `add_mode_options`, `add_transcribe_option` and `add_text_options` ask
    for; CosyError where they do not fit together, before any weights are loaded."""
    from cosy_jax.synthesis.request import Request

    asked = isinstance(text, str) or args.verbatim or args.language
    return Request(
        text,
        **voice_fields(args),
        transcript=transcript_option(args),
        mode=args.mode,
        instruct=args.instruct,
        seed=args.seed,
        speed=speed,
        frontend=text_options(args) if asked else None,
    )


def resolved(synthesizer: "Synthesizer", request: "Request") -> "Request":
    """The request with its voice at hand; says what a recogniser heard, and what is added to the transcript."""
    from cosy_jax.recognise.recogniser import Recogniser
    from cosy_jax.text.check import SYSTEM_PREFIX, with_prefix

    found = synthesizer.resolve(request)
    if isinstance(request.transcript, Recogniser):
        say_transcript(found.voice_at_hand.transcript)
    if found.way == "zero-shot" and with_prefix(found.voice_at_hand.transcript)[1]:
        say(f"transcript: added in front what the model was trained with, '{SYSTEM_PREFIX}'")
    return found


def say_model(synthesizer: "Synthesizer") -> None:
    """Which of a release's language models speaks."""
    kind = "tuned by reinforcement learning (rl)" if synthesizer.llm == "llm.rl" else "base"
    say(f"language model: {kind}")


def flag(field: str) -> str:
    """The option that gives a field of a request."""
    return _FLAGS.get(field) or f"--{field.replace('_', '-')}"


def start_jax(args: argparse.Namespace, whole: bool = False) -> None:
    """Sets up logging, warnings, the device and the compilation cache, `whole` as `compile_cache.start_jax` says; call
    before the first computation."""
    warnings.showwarning = say_warning
    compile_cache.start_jax(args.compile_cache, args.verbose, args.device, whole)
    from cosy_jax.text.normalise import NoWetextWarning

    warnings.simplefilter("ignore", NoWetextWarning)  # commands that read text say it in a sentence of their own
