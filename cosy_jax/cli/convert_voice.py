"""`cosy-jax convert-voice`: what is said in one recording, in the voice of another."""

import argparse
from typing import TYPE_CHECKING, Any

from cosy_jax.cli.common import (
    add_command,
    add_runtime_options,
    add_speed_option,
    add_voice_choice,
    saved_voice,
    start_jax,
)
from cosy_jax.cli.report import OnStage, produce

if TYPE_CHECKING:
    from cosy_jax.synthesis.synthesizer import Speech

_EXAMPLE = "cosy-jax convert-voice --weights weights/tiny --source speech.wav --prompt-wav voice.wav --out new.wav"
_STAGES = ("prompt", "speech tokens", "flow", "vocoder")


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "convert-voice", "say what a recording says in another voice", _EXAMPLE, run)
    parser.add_argument("--weights", required=True, metavar="DIR", help="a folder that `cosy-jax convert` wrote")
    parser.add_argument("--source", required=True, metavar="FILE", help="the recording to convert, of any length")
    add_voice_choice(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="where the speech goes (.wav or .flac)")
    add_speed_option(parser)
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    from cosy_jax.audio.write import check_suffix
    from cosy_jax.files import check_writable

    check_writable(args.out)
    check_suffix(args.out)
    start_jax(args)
    from cosy_jax.nn.precision import get_precision
    from cosy_jax.synthesis.synthesizer import Options, Synthesizer

    voice, options = saved_voice(args), Options(speed=args.speed)
    synthesizer = Synthesizer(args.weights, precision=get_precision(args.dtype))

    def work(on_stage: OnStage) -> "Speech":
        chosen = voice or synthesizer.voice(args.prompt_wav)
        return synthesizer.convert_voice(args.source, chosen, options, on_stage)

    produce(args, _STAGES, work)
    return 0
