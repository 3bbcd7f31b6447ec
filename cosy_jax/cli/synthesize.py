"""`cosy-jax synthesize`: a text and a recorded voice in, a wav out."""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cosy_jax.cli.common import (
    add_command,
    add_llm_option,
    add_mode_options,
    add_runtime_options,
    add_speed_option,
    add_text_options,
    add_voice_choice,
    saved_voice,
    speaking_options,
    start_jax,
    status,
)
from cosy_jax.cli.report import OnStage, produce
from cosy_jax.errors import CosyError

if TYPE_CHECKING:
    from cosy_jax.synthesis.modes import Voice
    from cosy_jax.synthesis.synthesizer import Options, Speech

_EXAMPLE = """cosy-jax synthesize --weights weights/tiny --text "Good morning." \\
      --prompt-wav voice.wav --prompt-text "What is said in voice.wav." --out morning.wav
  cosy-jax synthesize --weights weights/tiny --text "Good morning." --voice anna --instruct "Whisper." --out w.wav"""
_STAGES = ("prompt", "language model", "flow", "vocoder")


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "synthesize", "speak a text in a recorded voice", _EXAMPLE, run)
    parser.add_argument("--weights", required=True, metavar="DIR", help="a folder that `cosy-jax convert` wrote")
    parser.add_argument("--text", required=True, help="what to say; with --stream, - reads lines as they come")
    add_voice_choice(parser)
    add_mode_options(parser)
    parser.add_argument(
        "--out", required=True, metavar="FILE", help=".wav or .flac; with --stream, - writes raw PCM to standard output"
    )
    _add_stream_options(parser)
    add_text_options(parser)
    add_speed_option(parser)
    add_llm_option(parser)
    parser.add_argument("--plot", metavar="PNG", help="also draw waveform and mel (needs matplotlib)")
    add_runtime_options(parser)


def _add_stream_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stream", action="store_true", help="write audio as it comes")
    parser.add_argument(
        "--solver",
        default="cached",
        choices=("cached", "exact"),
        help="of a stream: keep what was computed, or solve all anew for each piece as the reference (default: cached)",
    )
    parser.add_argument(
        "--left-chunks", type=int, metavar="N", help="seconds of the past that a cached stream sees (default: all)"
    )


def run(args: argparse.Namespace) -> int:
    _check_outputs(args)
    start_jax(args)
    from cosy_jax.cli.stream import speak_stream
    from cosy_jax.nn.precision import get_precision
    from cosy_jax.synthesis.synthesizer import Synthesizer
    from cosy_jax.text.check import check_text

    if args.text != "-":
        check_text(args.text)
    voice = saved_voice(args)
    options = _options(args, voice)
    synthesizer = Synthesizer(args.weights, llm=args.llm, precision=get_precision(args.dtype))
    status.print(f"language model: {synthesizer.llm}")

    def encode() -> "Voice":
        chosen = voice or synthesizer.voice(args.prompt_wav, args.prompt_text or "")
        # One utterance needs them no more, and they are a third of the released weights.
        synthesizer.release("speech_tokenizer", "speaker_encoder")
        return chosen

    if args.stream:
        speak_stream(args, synthesizer, encode(), options)
        return 0

    def work(on_stage: OnStage) -> "Speech":
        return synthesizer.speak(args.text, encode(), options, on_stage)

    speech = produce(args, _STAGES, work)
    if args.plot:
        from cosy_jax.synthesis.plot import plot_speech

        plot_speech(args.plot, speech)
    return 0


def _check_outputs(args: argparse.Namespace) -> None:
    """CosyError for what cannot be written, or would need --stream; before the work, not after it."""
    from cosy_jax.audio.write import check_suffix
    from cosy_jax.files import check_writable

    if not args.stream and "-" in (args.text, args.out):
        raise CosyError("Standard input and output carry streams only: add --stream, or name a text and a file.")
    if args.stream and args.plot:
        raise CosyError("A stream has no picture: leave --plot out, or do not stream.")
    if args.out != "-":
        check_writable(args.out)
        check_suffix(args.out)
    if args.plot:
        check_writable(args.plot)


def _options(args: argparse.Namespace, voice: "Voice | None") -> "Options":
    """What the arguments ask for; CosyError where they do not fit together, before anything is loaded."""
    if args.stream and args.speed != 1:
        raise CosyError("A stream cannot change the speed: leave --speed out, or do not stream.")
    return replace(speaking_options(args, voice), speed=args.speed, solver=args.solver, left_chunks=args.left_chunks)
