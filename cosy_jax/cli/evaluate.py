"""`cosy-jax evaluate`: a set spoken, and every utterance judged."""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from cosy_jax.cli.batch import add_size_options, check_sizes, settings, speak_all
from cosy_jax.cli.batch_report import print_failures
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
from cosy_jax.cli.output import console, counting_progress, say, shown, tell
from cosy_jax.cli.weights import add_weights_option
from cosy_jax.errors import CosyError
from cosy_jax.recognise.choice import NAMES, POCKETSPHINX

if TYPE_CHECKING:
    from cosy_jax.evaluate.sets import Item
    from cosy_jax.evaluate.summary import Summary
    from cosy_jax.evaluate.voices import SetVoices

MISSED = 1
_SPEECH = "speech"  # the folder in --out
_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus")

_EXAMPLE = """cosy-jax evaluate --set tests/data/manifest.jsonl --weights weights/embedded --out judged
  cosy-jax evaluate --set seedtts_testset/en/meta.lst --weights weights/cosyvoice3 --out judged \\
      --recogniser faster-whisper:models/large-v3 --dnsmos sig_bak_ovr.onnx
  cosy-jax evaluate --set set.jsonl --judge-only recordings --out teacher --max-wer 0.4

The set is a manifest of `cosy-jax batch`, whose lines may also have `reference`, a recording in which somebody else
says the text, and `speaker`, whose voice it is; or, a line each, key|prompt text|prompt wav|text|reference, the last of
which may be left out.
--judge-only speaks nothing and judges the audio that is there: KEY.wav, or what `wav` says.

Into --out go speech/, results.jsonl (a line an utterance), summary.json and index.html (every utterance with players
and pictures, worst first). Started again, the command speaks and judges what is new or has changed."""


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "evaluate", "speak a set and judge every utterance", _EXAMPLE, run)
    parser.add_argument("--set", required=True, metavar="FILE", help="a manifest of JSON lines, or a meta.lst")
    add_weights_option(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="where all of it goes; created where needed")
    parser.add_argument(
        "--judge-only",
        nargs="?",
        const="",
        metavar="DIR",
        help="judge audio that is there, in DIR (default: the set's folder)",
    )
    parser.add_argument("--reference", metavar="DIR", help="KEY.wav of somebody else, for lines without `reference`")
    parser.add_argument(
        "--recogniser", default=POCKETSPHINX, metavar="NAME", help=f"{', '.join(NAMES)} (default: {POCKETSPHINX})"
    )
    parser.add_argument(
        "--speaker-model",
        metavar="FILE",
        help="an ONNX file that tells voices apart (default: the weights' own CAM++)",
    )
    parser.add_argument("--dnsmos", metavar="FILE", help="sig_bak_ovr.onnx of DNSMOS P.835")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes that judge (default: what the machine has)")
    parser.add_argument("--max-wer", type=float, metavar="X", help="exit with 1 above this word error rate, as 0.3")
    add_voices_folder(parser)
    add_llm_option(parser)
    add_text_options(parser)
    add_size_options(parser)
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    start_jax(args)
    check_sizes(args)
    if args.jobs is not None and args.jobs < 1:
        raise CosyError(f"--jobs cannot be {args.jobs}: give 1 or more.")
    from cosy_jax.batch.spool import readable_again
    from cosy_jax.evaluate.sets import read_set

    with readable_again(args.set) as (path, folder):
        items = read_set(path, folder)
        if args.reference:
            items = _with_references(items, Path(args.reference))
        return _run(args, items, folder)


def _run(args: argparse.Namespace, items: "list[Item]", folder: Path) -> int:
    from cosy_jax.audio.world import import_pyworld
    from cosy_jax.evaluate.listen import Hearing, Listener
    from cosy_jax.evaluate.run import Evaluation
    from cosy_jax.evaluate.words import import_jiwer

    import_jiwer(), import_pyworld("F0 and error rates", "evaluate")  # before anything is spoken
    out, stop = Path(args.out), Stop()
    failed: dict[str, str] = {}
    hearing = Hearing(args.recogniser, args.dnsmos)
    listener, (voices, speaker_model) = Listener(hearing), _voices(args, items)
    about = {"set": args.set, "recogniser": args.recogniser, "speaker_model": speaker_model, "speed": _speed(out)}
    if args.judge_only is None:
        audio, failed, speed = _speak(args, items, out / _SPEECH, stop)
        about |= {"weights": args.weights, "speed": speed or about["speed"]}
    else:
        audio = {item.key: Path(args.judge_only or folder) / item.wav for item in items}
        about["speed"] = None
    evaluation = Evaluation(out, items, audio, hearing, listener, voices, about)
    with two_interrupts(stop, lambda: say("finishing what is being judged; Ctrl-C again to stop at once")):
        summary = _judge(evaluation.run, failed, _jobs(args), stop)
    _print(summary, out)
    return stop.status if stop.is_set() else _missed(args, summary)


def _speak(
    args: argparse.Namespace, items: "list[Item]", folder: Path, stop: Stop
) -> tuple[dict[str, Path], dict[str, str], dict[str, float] | None]:
    """The audio of each key, the sentences of those that have none, and how fast it was, None where nothing was
    spoken."""
    from cosy_jax.batch.entries import read_entries
    from cosy_jax.batch.results import Results
    from cosy_jax.evaluate.sets import batch_lines
    from cosy_jax.nn.devices import local_devices
    from cosy_jax.nn.precision import get_precision
    from cosy_jax.synthesis.synthesizer import Synthesizer

    lines, devices = batch_lines(items, text_options(args)), local_devices(1)
    synthesizer = Synthesizer(args.weights, args.llm, get_precision(args.dtype), devices, args.voices, args.adapter)
    say_model(synthesizer)
    with Results(folder) as results:
        stats, compiled, failures = speak_all(
            synthesizer, results, lines, len(lines), settings(args, devices.data), stop
        )
        latest = {entry["key"]: entry for entry in read_entries(results.path)}
        print_failures(failures, stats.failed, results.unrecorded)
    audio = {line.key: folder / line.wav for line in lines}
    failed = {key: latest[key]["error"] for key in audio if "error" in latest.get(key, {})}
    if not stats.audio_seconds:
        return audio, failed, None
    elapsed, seconds = stats.elapsed, stats.audio_seconds
    speed = {"real_time_factor": elapsed / seconds, "audio_seconds": seconds, "compile_seconds": compiled.seconds}
    return audio, failed, {name: round(value, 4) for name, value in speed.items()}


def _speed(out: Path) -> Any:
    """How fast the run before spoke; None where it is not known."""
    try:
        return json.loads((out / "summary.json").read_text(encoding="utf-8")).get("speed")
    except (OSError, ValueError, AttributeError):
        return None


def _voices(args: argparse.Namespace, items: "list[Item]") -> "tuple[SetVoices, str]":
    """What tells the set's voices apart, and its name."""
    from cosy_jax.evaluate.speaker import CamPlus, OnnxSpeaker, SpeakerModel
    from cosy_jax.evaluate.voices import SetVoices
    from cosy_jax.synthesis.voices import load_voice, voice_places

    model: SpeakerModel = OnnxSpeaker(args.speaker_model) if args.speaker_model else CamPlus(args.weights)
    return SetVoices(items, model, lambda name: load_voice(voice_places(args.voices, args.weights), name)), model.name


def _with_references(items: "list[Item]", folder: Path) -> "list[Item]":
    """The items, those without a reference with the one that the folder has for their key."""

    def of(item: "Item") -> Path | None:
        paths = (folder / f"{item.key}{suffix}" for suffix in _SUFFIXES)
        return item.reference or next(filter(os.path.isfile, paths), None)

    found = [replace(item, reference=of(item)) for item in items]
    if not any(item.reference for item in found):
        raise CosyError(f"The folder {folder} has no recording of any key, such as {items[0].key}.wav: name another.")
    return found


def _jobs(args: argparse.Namespace) -> int:
    """A recogniser that is a large network uses all cores, or the GPU, by itself."""
    from cosy_jax.nn.backend import host_cores

    return args.jobs or (host_cores() if args.recogniser == POCKETSPHINX else 1)


def _judge(judge: "Callable[..., Summary]", failed: dict[str, str], jobs: int, stop: Stop) -> "Summary":
    with counting_progress() as progress:
        return judge(failed, jobs, stop, lambda done, total: progress("judging", done, total))


def _print(summary: "Summary", out: Path) -> None:
    from cosy_jax.evaluate.tables import LEGEND, overview, remarks

    found = overview(summary)
    table = Table(box=None, padding=(0, 1, 0, 0))
    for index, title in enumerate(found.header):
        table.add_column(title, justify="right" if index else "left", no_wrap=bool(index), overflow="fold")
    for name, *cells in found.rows:
        table.add_row(Text(shown(name)), *cells)
    console.print(table)
    tell(f"{LEGEND}.")
    for line in remarks(summary):
        tell(f"{line}.")
    tell(f"every utterance, worst first: {out / 'index.html'}")


def _missed(args: argparse.Namespace, summary: "Summary") -> int:
    """1 where utterances have no figures, or too many words are wrong, else 0."""
    rate = summary["all"]["word_error_rate"]
    if args.max_wer is not None and not (rate is not None and rate <= args.max_wer):
        say(f"word error rate {'not known' if rate is None else f'{rate:.4f}'}, more than {args.max_wer:g}")
        return MISSED
    return MISSED if summary["all"]["failed"] else 0
