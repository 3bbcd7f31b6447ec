"""`cosy-jax convert-voice`: what is said in one recording, in the voice of another."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cosy_jax.cli.common import (
    AUDIO_FILES,
    add_command,
    add_json_option,
    add_runtime_options,
    add_speed_option,
    add_voice_choice,
    start_jax,
    voice_fields,
)
from cosy_jax.cli.report import produce
from cosy_jax.cli.weights import add_weights_option

if TYPE_CHECKING:
    from cosy_jax.synthesis.speech import OnPart, OnStage, Speech

_EXAMPLE = "cosy-jax convert-voice --weights weights/embedded --source speech.wav --prompt-wav voice.wav --out new.wav"


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "convert-voice", "say what a recording says in another voice", _EXAMPLE, run)
    add_weights_option(parser)
    parser.add_argument("--source", required=True, metavar="FILE", help="the recording to convert, of any length")
    add_voice_choice(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help=f"where the speech goes, {AUDIO_FILES}")
    add_speed_option(parser)
    add_json_option(parser)
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    from cosy_jax.audio.write import check_suffix
    from cosy_jax.files import check_writable

    check_writable(args.out)
    check_suffix(args.out)
    start_jax(args, whole=True)
    from cosy_jax.audio.speed import check_speed
    from cosy_jax.nn.precision import get_precision
    from cosy_jax.synthesis.request import check_voice_choice
    from cosy_jax.synthesis.stage import Stage
    from cosy_jax.synthesis.synthesizer import Synthesizer

    check_speed(args.speed)
    check_voice_choice(**voice_fields(args))
    synthesizer = Synthesizer(args.weights, precision=get_precision(args.dtype), voices=args.voices)

    def work(on_stage: "OnStage", on_part: "OnPart") -> "Iterator[Speech]":
        voice = synthesizer.find_voice(**voice_fields(args))
        return synthesizer.convert_segments(args.source, voice, args.speed, on_stage, on_part)

    produce(args, synthesizer, (Stage.PROMPT, Stage.SPEECH_TOKENS, Stage.FLOW, Stage.VOCODER), work)
    return 0
