"""`cosy-jax batch`: a manifest of many lines in, an audio file for each out."""

import argparse
from typing import TYPE_CHECKING, Any

from cosy_jax.cli.batch_report import print_failures, print_summary, watch
from cosy_jax.cli.common import (
    add_command,
    add_llm_option,
    add_runtime_options,
    add_text_options,
    add_voices_folder,
    say_model,
    start_jax,
    text_options,
)
from cosy_jax.cli.interrupt import Stop, two_interrupts
from cosy_jax.cli.output import status
from cosy_jax.cli.weights import add_weights_option
from cosy_jax.errors import CosyError

if TYPE_CHECKING:
    from cosy_jax.batch.results import Results
    from cosy_jax.batch.stats import Stats
    from cosy_jax.synthesis.synthesizer import Synthesizer

SOME_FAILED = 1

_EXAMPLE = """cosy-jax batch tests/data/manifest.jsonl --weights weights/tiny --out speech

a line of the manifest:
  {"key": "a1", "text": "Good morning.", "prompt_wav": "voice.wav", "prompt_text": "What is said in voice.wav."}
or, with "voice": "anna" in place of prompt_wav and prompt_text, in a saved voice. Also: mode (zero-shot, cross-lingual,
instruct), instruct, seed, speed, and wav, the file in the output folder (default: KEY.wav).

speech/results.jsonl tells what became of each line. Started again, the command goes on where it was stopped or killed,
and tries again what failed. To split a manifest, start N of them with --num-shards N and --shard-index 0 to N - 1."""


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "batch", "speak many lines, each into a file", _EXAMPLE, run)
    parser.add_argument("manifest", metavar="MANIFEST", help="one JSON object a line")
    add_weights_option(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="where the audio goes; created where needed")
    add_voices_folder(parser)
    add_llm_option(parser)
    add_text_options(parser)
    parser.add_argument("--num-shards", type=int, default=1, metavar="N", help="take one line in N (default: 1)")
    parser.add_argument("--shard-index", type=int, default=0, metavar="I", help="which one, from 0 (default: 0)")
    parser.add_argument("--slots", type=int, metavar="N", help="lines that the language model decodes at a time")
    parser.add_argument("--flow-rows", type=int, metavar="N", help="lines of one length that the flow takes at a time")
    parser.add_argument(
        "--model-parallel", type=int, default=1, metavar="N", help="devices that share one copy of the weights"
    )
    parser.add_argument("--plot", metavar="PNG", help="also draw lengths, utilisation and busy times (matplotlib)")
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    start_jax(args)
    total = _check_inputs(args)
    from cosy_jax.batch.results import Results
    from cosy_jax.nn.devices import local_devices
    from cosy_jax.nn.precision import get_precision
    from cosy_jax.synthesis.synthesizer import Synthesizer

    devices = local_devices(args.model_parallel)
    synthesizer = Synthesizer(args.weights, args.llm, get_precision(args.dtype), devices, args.voices)
    say_model(synthesizer)
    stop = Stop()
    with Results(args.out, args.num_shards, args.shard_index) as results:
        stats = _speak_all(args, synthesizer, results, total, stop)
    if args.plot:
        from cosy_jax.batch.plot import plot_report

        plot_report(args.plot, results.path, stats)
    if stop.is_set():
        return stop.status
    return SOME_FAILED if stats.failed else 0


def _speak_all(
    args: argparse.Namespace, synthesizer: "Synthesizer", results: "Results", total: int, stop: Stop
) -> "Stats":
    """Speaks what is still to speak, under a progress bar, and prints what came of it."""
    from cosy_jax.batch.delivery import Delivery
    from cosy_jax.batch.manifest import read_manifest
    from cosy_jax.batch.pipeline import Settings, run_batch
    from cosy_jax.batch.stats import Stats
    from cosy_jax.nn.compile_log import count_compilations

    settings = Settings.default(args.slots, args.flow_rows, synthesizer.devices.data)
    stats = Stats()
    delivery = Delivery(results, stats, synthesizer.config.sample_rate)
    lines = delivery.pending(read_manifest(args.manifest, args.num_shards, args.shard_index, text_options(args)))

    def work() -> None:
        run_batch(synthesizer, lines, delivery.deliver, settings, stats, stop)

    with count_compilations() as compiled, two_interrupts(stop, lambda: _say_stopping(delivery.in_flight)):
        watch(work, stats, total)
    print_summary(stats, compiled)
    print_failures(delivery.failures, stats.failed, results.unrecorded)
    return stats


def _check_inputs(args: argparse.Namespace) -> int:
    """Lines in the manifest; CosyError for what cannot be done, before the work."""
    from cosy_jax.batch.manifest import count_lines
    from cosy_jax.plot import check_picture

    for option, count in (("--slots", args.slots), ("--flow-rows", args.flow_rows)):
        if count is not None and count < 1:
            raise CosyError(f"{option} cannot be {count}: give at least 1.")
    if args.plot:
        check_picture(args.plot)
    return count_lines(args.manifest, args.num_shards, args.shard_index)


def _say_stopping(in_flight: int) -> None:
    status.print(f"finishing the lines in flight, at most {in_flight}; Ctrl-C again to stop at once")
