"""`cosy-jax synthesize`: a text and a recorded voice in, a wav out."""

import argparse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from cosy_jax.cli.common import (
    AUDIO_FILES,
    add_command,
    add_json_option,
    add_llm_option,
    add_mode_options,
    add_runtime_options,
    add_speed_option,
    add_text_options,
    add_voice_choice,
    resolved,
    say_model,
    speaking_request,
    start_jax,
)
from cosy_jax.cli.interactive import ANY_TEXT, converse, find_player
from cosy_jax.cli.report import produce
from cosy_jax.cli.texts import STANDARD_INPUT, arriving_lines, read_text, text_argument
from cosy_jax.cli.transcribe import add_transcribe_option
from cosy_jax.cli.weights import add_weights_option
from cosy_jax.errors import CosyError

if TYPE_CHECKING:
    from cosy_jax.synthesis.request import Request, StreamOptions
    from cosy_jax.synthesis.speech import OnPart, OnStage, Speech
    from cosy_jax.synthesis.synthesizer import Synthesizer

STANDARD_OUTPUT = "-"

_EXAMPLE = """cosy-jax synthesize --weights weights/embedded --text "Good morning." \\
      --prompt-wav voice.wav --prompt-text "What is said in voice.wav." --out morning.wav
  cosy-jax synthesize --weights weights/embedded --text "Good morning." --voice anna --instruct "Whisper." --out w.wav
  cosy-jax synthesize --weights weights/embedded --text-file chapter.txt --voice anna --out chapter.mp3
  cosy-jax synthesize --weights weights/embedded --interactive --voice anna"""


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "synthesize", "speak a text in a recorded voice", _EXAMPLE, run)
    add_weights_option(parser)
    text = parser.add_mutually_exclusive_group(required=True)
    text.add_argument(
        "--text", type=text_argument, help="what to say; - reads standard input, with --stream line by line as it comes"
    )
    text.add_argument("--text-file", metavar="FILE", help="what to say, UTF-8; line ends count as blanks")
    text.add_argument(
        "--interactive", action="store_true", help="speak line after line, played, or with --out in numbered files"
    )
    add_voice_choice(parser)
    add_mode_options(parser)
    add_transcribe_option(parser)
    parser.add_argument(
        "--out", metavar="FILE", help=f"{AUDIO_FILES}; with --stream, - writes raw PCM to standard output"
    )
    _add_stream_options(parser)
    add_text_options(parser)
    add_speed_option(parser)
    add_llm_option(parser)
    parser.add_argument("--plot", metavar="PNG", help="also draw waveform and mel (needs matplotlib)")
    add_json_option(parser)
    add_runtime_options(parser)


def _add_stream_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stream", action="store_true", help="write audio as it comes")
    parser.add_argument(
        "--solver",
        choices=("cached", "exact"),
        help="of a stream: keep what was computed, or solve all anew for each piece as the reference (default: cached)",
    )
    parser.add_argument(
        "--left-chunks", type=int, metavar="N", help="seconds of the past that a cached stream sees (default: all)"
    )


def run(args: argparse.Namespace) -> int:
    _check_outputs(args)
    start_jax(args, whole=True)
    from cosy_jax.cli.stream import speak_stream
    from cosy_jax.nn.precision import get_precision
    from cosy_jax.synthesis.stage import Stage
    from cosy_jax.synthesis.synthesizer import Synthesizer

    request = speaking_request(args, _text(args), args.speed)
    streaming = _stream_options(args, request)
    synthesizer = Synthesizer(
        args.weights, args.llm, get_precision(args.dtype), voices=args.voices, adapter=args.adapter
    )
    say_model(synthesizer)

    def encoded() -> "Request":
        found = resolved(synthesizer, request)
        synthesizer.release(*Stage.PROMPT.weights)  # one voice is all there is: nothing needs them any more
        return found

    if args.interactive:
        converse(args, synthesizer, encoded())
        return 0
    if streaming is not None:
        speak_stream(args, synthesizer, encoded(), streaming)
        return 0
    _speak_whole(args, synthesizer, encoded)
    return 0


def _speak_whole(args: argparse.Namespace, synthesizer: "Synthesizer", encoded: "Callable[[], Request]") -> None:
    """Into --out, segment after segment; they are kept for a picture alone."""
    from cosy_jax.synthesis.stage import Stage

    drawn: list[Speech] = []

    def work(on_stage: "OnStage", on_part: "OnPart") -> "Iterator[Speech]":
        for segment in synthesizer.speak_segments(encoded(), on_stage, on_part):
            if args.plot:
                drawn.append(segment)
            yield segment

    produce(args, synthesizer, (Stage.PROMPT, Stage.LANGUAGE_MODEL, Stage.FLOW, Stage.VOCODER), work)
    if args.plot:
        from cosy_jax.synthesis.plot import plot_speech
        from cosy_jax.synthesis.speech import joined

        plot_speech(args.plot, joined(drawn))


def _check_outputs(args: argparse.Namespace) -> None:
    """CosyError for what cannot be written, or would need --stream; before the work, not after it."""
    from cosy_jax.audio.write import check_suffix
    from cosy_jax.files import check_writable
    from cosy_jax.plot import check_picture

    if args.interactive:
        _check_interactive(args)
    elif args.out is None:
        raise CosyError("Say where the speech goes: give --out FILE.")
    if args.out == STANDARD_OUTPUT:
        _check_pipe(args)
    elif args.out is not None:
        check_writable(args.out)
        check_suffix(args.out)
    if args.stream and args.plot:
        raise CosyError("A stream has no picture: leave --plot out, or do not stream.")
    if args.plot:
        check_picture(args.plot)


def _check_interactive(args: argparse.Namespace) -> None:
    """CosyError for what has no meaning for many lines, and where they could not be heard."""
    given = [name for name in ("stream", "plot", "json") if getattr(args, name)]
    if given or args.out == STANDARD_OUTPUT:
        option = f"--{given[0]}" if given else "--out -"
        raise CosyError(f"An interactive run speaks line after line: leave {option} out.")
    if args.out is None:
        find_player()


def _check_pipe(args: argparse.Namespace) -> None:
    if not args.stream:
        raise CosyError("Standard output carries streams only: add --stream, or name a file.")
    if args.json:
        raise CosyError("Standard output carries the audio: leave --json out, or name a file.")


def _text(args: argparse.Namespace) -> "str | Iterator[str]":
    """What to say; lines as they come where they are to be streamed."""
    if args.interactive:
        return ANY_TEXT
    if args.text_file is not None:
        return read_text(args.text_file)
    if args.text != STANDARD_INPUT:
        return args.text
    return arriving_lines() if args.stream else read_text(STANDARD_INPUT)


def _stream_options(args: argparse.Namespace, request: "Request") -> "StreamOptions | None":
    """How to stream, None where not asked to; CosyError for options of the other way."""
    from cosy_jax.synthesis.request import StreamOptions

    given = {"solver": args.solver, "left_chunks": args.left_chunks}
    given = {name: value for name, value in given.items() if value is not None}
    if args.stream:
        request.check_streamable()
        return StreamOptions(**given)
    if given:
        raise CosyError("Only a stream has a solver and looks back: add --stream, or leave it out.", *given)
    return None
