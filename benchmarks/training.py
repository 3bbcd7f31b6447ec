"""A batch of training, ours and the PyTorch reference's: forward and backward in turn (ours, reference, ours, ...),
each side in its own process; ours with a step of Adam beside it. Medians; first runs apart.

    python -m benchmarks.training [--reference CosyVoice [--matcha Matcha-TTS] [--reference-python PYTHON]]
        [--stages llm flow] [--dtype float32 bfloat16] [--layers 2] [--rows 4] [--runs 5] [--device cuda] [--json FILE]

The widths are the released ones, the layers (of the flow: blocks) as many as asked for, 24 and 22 in the release; a row
is 8 s: 256 ids, 400 frames. bfloat16 is products of that type over float32 parameters, of the reference its autocast.
Without a reference, ours alone. The share is that of the machine's rate of products, FLOPs by XLA's count.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.machine import busy_seconds, describe_machine
from benchmarks.options import add_cache_option
from benchmarks.reference import Reference
from benchmarks.table import Figure, add_json_option, print_table, write_figures
from benchmarks.timing import Timing, measure_in_turn
from benchmarks.worker import Worker
from cosy_jax.config import FlowConfig, LLMConfig
from cosy_jax.errors import CosyError

STAGES = {"llm": "language model", "flow": "flow"}
ROW = {"instruct_ids": 4, "text_ids": 50, "speech_ids": 200}  # with the ids that begin and separate 256 ids, 8 s
_UNITS = {"llm": ("ids", 2 + sum(ROW.values())), "flow": ("frames", 2 * ROW["speech_ids"])}


@dataclass(frozen=True)
class Side:
    """Time of a batch's gradient and the peak of memory meanwhile, bytes."""

    gradient: Timing
    peak: int


@dataclass(frozen=True)
class Measured:
    """A stage in a type. `step`: seconds of gradient and Adam; `share` of the product rate that the gradient reaches,
    None where FLOPs are not known; `others`: cores that other processes kept busy."""

    stage: str
    dtype: str
    rows: int
    ours: Side
    reference: Side | None
    step: Timing
    share: float | None
    others: float

    @property
    def name(self) -> str:
        return f"training, {STAGES[self.stage]}, {self.dtype}, {self.rows} rows"

    @property
    def faster(self) -> float | None:
        """By the medians."""
        return self.reference.gradient.warm / self.ours.gradient.warm if self.reference else None

    @property
    def faster_at_best(self) -> float | None:
        """By the fastest runs, which other processes disturb less."""
        return self.reference.gradient.best / self.ours.gradient.best if self.reference else None


def measure_stage(args: argparse.Namespace, stage: str, dtype: str) -> Measured:
    """Both sides of a stage, in processes that end with it."""
    config, work = sizes_of(stage, args.layers), {"rows": args.rows, **ROW}
    with ExitStack() as processes:
        ours = processes.enter_context(_ours(args))
        flops = ours.ask({"load": stage, "dtype": dtype, "sizes": asdict(config), "work": work})["flops"]
        sides: dict[str, Callable[[], float]] = {"ours": partial(_seconds, ours, "gradient")}
        workers = [ours]
        if args.reference:
            reference = Reference(args.reference_python, args.reference, _matcha(args), args.device)
            workers.append(processes.enter_context(reference))
            reference.load(f"{stage} training", dtype, config, work)
            sides["reference"] = reference.run
        begin, before = time.perf_counter(), _others(workers)
        found = measure_in_turn(sides, args.runs)
        others = (_others(workers) - before) / (time.perf_counter() - begin)
        both = [Side(timing, worker.peak_bytes) for timing, worker in zip(found.values(), workers, strict=True)]
        step = measure_in_turn({"step": partial(_seconds, ours, "step")}, args.runs)["step"]
        rate = ours.ask({"product_rate": dtype})["flops_per_second"]
    share = flops / both[0].gradient.warm / rate if flops else None
    return Measured(stage, dtype, args.rows, both[0], (*both, None)[1], step, share, others)


def sizes_of(stage: str, layers: int | None) -> Any:
    """Of the release, with fewer layers or blocks where a number is given."""
    if stage == "llm":
        return replace(LLMConfig(), num_layers=layers or LLMConfig.num_layers)
    return replace(FlowConfig(), depth=layers or FlowConfig.depth)


def _ours(args: argparse.Namespace) -> Worker:
    options = ["--device", args.device, "--compile-cache", args.compile_cache]
    return Worker("Our side", [sys.executable, "-W", "ignore", "-m", "benchmarks.training_worker", *options])


def _matcha(args: argparse.Namespace) -> Path:
    return args.matcha or args.reference / "third_party" / "Matcha-TTS"


def _seconds(worker: Worker, what: str) -> float:
    return worker.ask({"run": what})["seconds"]


def _others(workers: list[Worker]) -> float:
    return busy_seconds() - time.process_time() - sum(worker.cpu_seconds for worker in workers)


def print_measured(measured: list[Measured]) -> None:
    print_table(
        ("stage", "type", "ours, steps/s", "reference, steps/s", "times faster", "fastest runs", "with Adam, steps/s")
        + ("share", "ours, GiB", "reference, GiB", "cores busy"),
        [
            (STAGES[m.stage], m.dtype, 1 / m.ours.gradient.warm, 1 / m.reference.gradient.warm if m.reference else "")
            + (m.faster or "", m.faster_at_best or "", 1 / m.step.warm, f"{m.share:.0%}" if m.share else "")
            + (m.ours.peak / 2**30, m.reference.peak / 2**30 if m.reference else "", m.others)
            for m in measured
        ],
    )


def figures_of(measured: list[Measured]) -> Iterator[Figure]:
    for entry in measured:
        unit, length = _UNITS[entry.stage]
        yield Figure(entry.name, entry.rows * length / entry.step.warm, f"{unit}/s")
        yield Figure(f"{entry.name}, peak memory of the gradient", entry.ours.peak / 2**30, "GiB")
        if entry.share is not None:
            yield Figure(f"{entry.name}, share of products", 100 * entry.share, "%")
        if entry.faster is not None:
            yield Figure(f"{entry.name}, against the reference", entry.faster, "times faster")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="checkout of FunAudioLLM/CosyVoice (default: ours alone)")
    parser.add_argument("--matcha", type=Path, help="checkout of Matcha-TTS (default: third_party/ of the reference)")
    parser.add_argument("--reference-python", default=sys.executable, help="(default: this one)")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"], choices=("float32", "bfloat16"))
    parser.add_argument("--layers", type=int, help="of either network (default: the release's)")
    parser.add_argument("--rows", type=int, default=4, help="of 8 s (default: 4)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="of both sides")
    add_json_option(parser)
    add_cache_option(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several processes share a GPU
    print(describe_machine())
    measured = []
    try:
        for stage in args.stages:
            for dtype in args.dtype:
                measured.append(measure_stage(args, stage, dtype))
                print(f"{measured[-1].name}: measured", file=sys.stderr)
    except CosyError as error:
        sys.exit(f"training: {error}")
    print_measured(measured)
    write_figures(args.json, list(figures_of(measured)))


if __name__ == "__main__":
    main()
