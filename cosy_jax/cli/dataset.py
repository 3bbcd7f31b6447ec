"""`cosy-jax dataset`: recordings and texts to data for training."""

import argparse
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.table import Table

from cosy_jax.cli.common import EXIT_STATUS, add_command, add_compile_options, add_json_option, start_jax
from cosy_jax.cli.output import console, counting_progress, put, say, tell
from cosy_jax.cli.weights import add_weights_option

if TYPE_CHECKING:
    from cosy_jax.dataset.report import Report

_BUILD = """cosy-jax dataset build train.jsonl data --weights weights/cosyvoice3

a line of the manifest; instruct may be left out, paths count from the manifest's folder:
  {"key": "a1", "text": "Good morning.", "wav": "a1.wav", "speaker": "anna", "instruct": "Speak happily."}
rejected_wav, for DPO, is a recording in which the text is said as it should not be.

A folder with wav.scp, text and utt2spk (and instruct), as Kaldi has them, is taken in place of a manifest, and so is
one with data.list or *.parquet: tokens and embeddings of such shards are computed anew.

data/report.json tells what was left out and why. Killed or interrupted, the same command goes on where it was."""
_EXAMPLES = """  cosy-jax dataset build train.jsonl data
  cosy-jax dataset show data"""
_SHOWN = 10  # utterances that are left out


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "dataset",
        help="make data for training from recordings and texts",
        description="Make data for training from recordings and texts, and look at it.",
        epilog=f"examples:\n{_EXAMPLES}\n\n{EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = add_command(actions, "build", "make shards with speech tokens and speaker embeddings", _BUILD, run_build)
    build.add_argument("source", metavar="SOURCE", help="a manifest, a Kaldi-style folder, or a folder of shards")
    build.add_argument("out", metavar="OUT", help="the folder of the data: new, empty, or begun by this command")
    add_weights_option(build)
    build.add_argument("--shard-size", type=int, default=1000, metavar="N", help="utterances a shard (default: 1000)")
    build.add_argument("--min-seconds", type=float, default=1.0, metavar="S", help="of a recording (default: 1)")
    build.add_argument("--max-seconds", type=float, default=30.0, metavar="S", help="at most 30, the default")
    build.add_argument("--max-text-tokens", type=int, default=200, metavar="N", help="of a text (default: 200)")
    add_json_option(build)
    add_compile_options(build)
    show = add_command(
        actions, "show", "tell what a folder of data holds, and check all of it", "cosy-jax dataset show data", run_show
    )
    show.add_argument("folder", metavar="DIR", help="what `dataset build` wrote, or the reference's tools")
    add_json_option(show)


def run_build(args: argparse.Namespace) -> int:
    start_jax(args)
    from cosy_jax.dataset.build import build_dataset
    from cosy_jax.dataset.encode import Bounds, Encoders
    from cosy_jax.dataset.sources import read_source

    bounds = Bounds(args.min_seconds, args.max_seconds, args.max_text_tokens)
    encoders, source = Encoders(args.weights, bounds), read_source(args.source)
    with counting_progress() as progress:
        report = build_dataset(source, encoders, args.out, args.shard_size, progress)
    if args.json:
        _put_json({**vars(report), "left_out": report.reasons()})
        return 0
    _print_report(report, f"{args.out}/report.json")
    return 0


def run_show(args: argparse.Namespace) -> int:
    from cosy_jax.dataset.check import check_dataset

    with counting_progress() as progress:
        found = check_dataset(args.folder, lambda done, total: progress("checking", done, total))
    if args.json:
        _put_json(vars(found))
        return 0
    table = Table("data", "", box=None, show_header=False)
    for title, value in (
        ("utterances", f"{found.utterances:,} in {found.shards} shards"),
        ("audio", _hours(found.seconds) + f", the longest {found.longest:.1f} s"),
        ("text", f"{found.letters:,} characters"),
        ("speakers", _speakers(found.speakers, found.single_speakers)),
        ("rejected", f"{found.rejected:,} utterances have rejected tokens, for DPO" if found.rejected else ""),
        ("columns", ", ".join(found.columns)),
        ("encoders", found.encoders[:12] or "not known: the data is not of this program"),
    ):
        if value:
            table.add_row(title, value)
    console.print(table)
    return 0


def _print_report(report: "Report", path: str) -> None:
    table = Table("data", "", box=None, show_header=False)
    table.add_row("taken", f"{report.taken:,} utterances, {_hours(report.seconds)}")
    table.add_row("speakers", _speakers(report.speakers, report.single_speakers))
    table.add_row("left out", f"{len(report.left_out):,} utterances")
    for reason, count in report.reasons().items():
        table.add_row("", f"{count:,} because {reason}")
    console.print(table)
    for left in report.left_out[:_SHOWN]:
        tell(f"{left.place if left.key is None else left.key}: {left.error}")
    if len(report.left_out) > _SHOWN:
        tell(f"and {len(report.left_out) - _SHOWN} more: see {path}")
    if report.single_speakers:
        say(
            f"warning: {report.single_speakers} speakers have one utterance: what they sound like is known from it "
            "alone, give each several"
        )


def _speakers(count: int, single: int) -> str:
    return f"{count:,}" + (f", {single:,} of them with one utterance" if single else "")


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f} h ({timedelta(seconds=round(seconds))})"


def _put_json(content: dict[str, Any]) -> None:
    import json

    put(json.dumps(content, ensure_ascii=False))
