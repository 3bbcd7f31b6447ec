"""`--transcribe`: a recogniser finds out what is said in the recording."""

import argparse
from typing import TYPE_CHECKING

from cosy_jax.cli.output import say
from cosy_jax.errors import CosyError

if TYPE_CHECKING:
    from cosy_jax.recognise.recogniser import Recogniser


def add_transcribe_option(parser: argparse.ArgumentParser) -> None:
    """The option of every command that makes a voice of one recording; `transcript_option` reads it."""
    parser.add_argument(
        "--transcribe",
        action="store_true",
        help="find out what is said in the recording, if it is English (needs pocketsphinx)",
    )


def transcript_option(args: argparse.Namespace) -> "str | Recogniser | None":
    """What is said in the recording, or who finds it out; CosyError where both are asked for, there is no recording, or
    nobody can."""
    if not args.transcribe:
        return args.prompt_text
    if args.prompt_text:
        raise CosyError("The transcript is either given or found out: leave --prompt-text or --transcribe out.")
    if args.prompt_wav is None:
        raise CosyError("Only a recording can be transcribed: give --prompt-wav, or leave --transcribe out.")
    from cosy_jax.recognise.pocketsphinx import PocketSphinx

    return PocketSphinx()


def say_transcript(transcript: str) -> None:
    """Says what was found out, which should be read."""
    say(f"transcript: PocketSphinx heard '{transcript}'; if that is wrong, give the right words with --prompt-text")
