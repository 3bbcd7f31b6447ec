"""`cosy-jax batch`: a manifest of many lines in, an audio file for each out."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cosy_jax.cli.batch_ray import add_ray_options, check_ray_options, speak_on_ray
from cosy_jax.cli.batch_report import print_failures, print_summary, watch
from cosy_jax.cli.common import (
    add_command,
    add_llm_option,
    add_mode_options,
    add_runtime_options,
    add_speed_option,
    add_text_options,
    add_voice_choice,
    say_model,
    start_jax,
    text_options,
)
from cosy_jax.cli.interrupt import Stop, two_interrupts
from cosy_jax.cli.output import status
from cosy_jax.cli.weights import add_weights_option
from cosy_jax.errors import CosyError

if TYPE_CHECKING:
    from cosy_jax.batch.entries import Outcome
    from cosy_jax.batch.manifest import BadLine, Line
    from cosy_jax.batch.pipeline import Settings
    from cosy_jax.batch.results import Results
    from cosy_jax.batch.stats import Stats
    from cosy_jax.nn.compile_log import CompileCount
    from cosy_jax.synthesis.synthesizer import Synthesizer

SOME_FAILED = 1
_MOST_ROWS = 4096  # at a time: beyond that no machine gains, and the memory is gone

_EXAMPLE = """cosy-jax batch tests/data/manifest.jsonl --weights weights/embedded --out speech

a line of the manifest:
  {"key": "a1", "text": "Good morning.", "prompt_wav": "voice.wav", "prompt_text": "What is said in voice.wav."}
or, with "voice": "anna" in place of prompt_wav and prompt_text, in a saved voice. Also: mode (zero-shot, cross-lingual,
instruct), instruct, seed, speed, and wav, the file in the output folder (default: KEY.wav).

plain text, one text a line, goes into a .txt; the keys are the lines' numbers, 000001 for the first:
  cosy-jax batch lines.txt --voice anna --weights weights/embedded --out speech

speech/results.jsonl tells what became of each line. Started again, the command goes on where it was stopped or killed,
and tries again what failed; what has changed since or is gone is spoken again.
To split a manifest, start N of them with --num-shards N and --shard-index 0 to N - 1."""


class Spoken(NamedTuple):
    """What came of a run."""

    stats: "Stats"
    compiled: "CompileCount"
    failures: "list[Outcome]"  # the first of them


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "batch", "speak many lines, each into a file", _EXAMPLE, run)
    parser.add_argument("manifest", metavar="MANIFEST", help="one JSON object a line, or in a .txt, one text a line")
    add_weights_option(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="where the audio goes; created where needed")
    _add_plain_options(parser)
    add_llm_option(parser)
    add_text_options(parser)
    parser.add_argument("--force", action="store_true", help="speak every line, also those that are there")
    parser.add_argument("--num-shards", type=int, default=1, metavar="N", help="take one line in N (default: 1)")
    parser.add_argument("--shard-index", type=int, default=0, metavar="I", help="which one, from 0 (default: 0)")
    add_size_options(parser)
    parser.add_argument(
        "--model-parallel", type=int, default=1, metavar="N", help="devices that share one copy of the weights"
    )
    parser.add_argument("--plot", metavar="PNG", help="also draw lengths, utilisation and busy times (matplotlib)")
    add_runtime_options(parser)
    add_ray_options(parser)


def add_size_options(parser: argparse.ArgumentParser) -> None:
    """How much is computed at a time; `settings` reads them."""
    parser.add_argument("--slots", type=int, metavar="N", help="lines that the language model decodes at a time")
    parser.add_argument("--flow-rows", type=int, metavar="N", help="lines of one length that the flow takes at a time")


def _add_plain_options(parser: argparse.ArgumentParser) -> None:
    """How a plain text is spoken; in a JSON manifest each line says that."""
    add_voice_choice(parser)
    add_mode_options(parser)
    add_speed_option(parser)
    parser.set_defaults(seed=None, speed=None)  # so that what is given for nothing can be told


def run(args: argparse.Namespace) -> int:
    check_ray_options(args)
    if args.ray is not None:
        check_sizes(args)
        return speak_on_ray(args, _plain_fields(args))
    start_jax(args)
    _check_options(args)
    from cosy_jax.batch.spool import readable_again

    with readable_again(args.manifest) as (manifest, folder):
        return _run(args, manifest, folder)


def _run(args: argparse.Namespace, manifest: Path, folder: Path) -> int:
    """`manifest` is the one that can be read twice, `folder` what its recordings count from."""
    from cosy_jax.batch.manifest import Reading, count_lines, read_manifest
    from cosy_jax.batch.results import Results
    from cosy_jax.nn.devices import local_devices
    from cosy_jax.nn.precision import get_precision
    from cosy_jax.synthesis.synthesizer import Synthesizer

    reading = Reading(folder, text_options(args), _plain_fields(args))
    shard = (args.num_shards, args.shard_index)
    total, lines = count_lines(manifest, *shard), read_manifest(manifest, *shard, reading)
    devices = local_devices(args.model_parallel)
    synthesizer = Synthesizer(args.weights, args.llm, get_precision(args.dtype), devices, args.voices, args.adapter)
    say_model(synthesizer)
    stop = Stop()
    with Results(args.out, *shard) as results:
        spoken = speak_all(synthesizer, results, lines, total, settings(args, devices.data), stop, args.force)
        print_summary(spoken.stats, spoken.compiled)
        print_failures(spoken.failures, spoken.stats.failed, results.unrecorded)
    if args.plot:
        from cosy_jax.batch.plot import plot_report

        plot_report(args.plot, results.path, spoken.stats)
    if stop.is_set():
        return stop.status
    return SOME_FAILED if spoken.stats.failed else 0


def settings(args: argparse.Namespace, devices: int = 1) -> "Settings":
    """What the options of `add_size_options` ask for."""
    from cosy_jax.batch.pipeline import Settings

    return Settings.default(args.slots, args.flow_rows, devices)


def speak_all(
    synthesizer: "Synthesizer",
    results: "Results",
    written: "Iterable[Line | BadLine]",
    total: int,
    sizes: "Settings",
    stop: Stop,
    force: bool = False,
) -> Spoken:
    """Speaks what is still to speak of `total` lines, or with `force` all of them, under a progress bar."""
    from cosy_jax.batch.delivery import Delivery, with_origins
    from cosy_jax.batch.origin import Origins
    from cosy_jax.batch.pipeline import run_batch
    from cosy_jax.batch.stats import Stats
    from cosy_jax.nn.compile_log import count_compilations

    stats = Stats()
    delivery = Delivery(results, stats, synthesizer.config.sample_rate, force)
    lines = delivery.pending(with_origins(written, Origins(synthesizer)))

    def work() -> None:
        run_batch(synthesizer, lines, delivery.deliver, sizes, stats, stop)

    with count_compilations() as compiled, two_interrupts(stop, lambda: _say_stopping(delivery.in_flight)):
        watch(work, stats, total)
    return Spoken(stats, compiled, delivery.failures)


def check_sizes(args: argparse.Namespace) -> None:
    """CosyError for sizes that cannot be, before anything is read."""
    for option, count in (("--slots", args.slots), ("--flow-rows", args.flow_rows)):
        if count is not None and not 1 <= count <= _MOST_ROWS:
            raise CosyError(f"{option} cannot be {count}: give 1 to {_MOST_ROWS}.")


def _check_options(args: argparse.Namespace) -> None:
    """CosyError for what cannot be done, before anything is read."""
    from cosy_jax.plot import check_picture

    check_sizes(args)
    if args.plot:
        check_picture(args.plot)


def _plain_fields(args: argparse.Namespace) -> dict[str, Any] | None:
    """The fields of every line of a plain text, None for a JSON manifest; CosyError where the options fit neither."""
    from cosy_jax.synthesis.request import Request

    fields = {
        "voice": args.voice,
        "recording": args.prompt_wav,
        "transcript": args.prompt_text,
        "mode": args.mode,
        "instruct": args.instruct,
        "seed": args.seed,
        "speed": args.speed,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    if Path(args.manifest).suffix.lower() != ".txt":
        if given:
            raise CosyError("A JSON manifest says this in each line: write it there, or give a .txt.", *given)
        return None
    Request("A text.", **given)
    return given


def _say_stopping(in_flight: int) -> None:
    status.print(f"finishing the lines in flight, at most {in_flight}; Ctrl-C again to stop at once")
