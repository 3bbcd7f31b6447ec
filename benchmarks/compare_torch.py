"""Our stages against the PyTorch reference's on the standard workload (benchmarks/workload.py): same sizes, same
machine, random weights on both sides, in turn (ours, reference, ours, ...), medians; first runs apart.

    python -m benchmarks.compare_torch --weights weights/random --reference CosyVoice [--matcha Matcha-TTS]
        [--reference-python PYTHON] [--stages llm flow vocoder] [--dtype float32 bfloat16 int8] [--batch 1 8 16 32]
        [--runs 3] [--device cuda] [--json FILE]

The reference runs one utterance at a time, the language model and the flow in float32 or bfloat16, its vocoder, as
ours, in float32. Its own packages may be those of another environment: PYTHON is that environment's interpreter, with
torch, transformers 4.51, einops, x_transformers and scipy. Times faster is the reference's time for the same number of
utterances over ours; int8 is held against the reference's bfloat16. Measure on a quiet machine: torch's threads wait
for each other, so that it loses more to other processes than XLA does.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax

from benchmarks.machine import busy_seconds, describe_machine
from benchmarks.options import add_cache_option
from benchmarks.reference import Reference
from benchmarks.table import Figure, add_json_option, print_table, write_figures
from benchmarks.timing import Timing, measure_in_turn, seconds_of
from benchmarks.workload import AUDIO_SECONDS, NEW_TOKENS, RUNS, product_type
from cosy_jax.errors import CosyError
from cosy_jax.nn.compile_cache import start_jax
from cosy_jax.nn.precision import POLICIES, get_precision
from cosy_jax.synthesis.synthesizer import Synthesizer

STAGES = {"llm": "language model", "flow": "flow", "vocoder": "vocoder"}
END_TO_END = (1, 16)  # batches of the language model; flow and vocoder follow one utterance at a time
_REFERENCE_DTYPE = {"int8": "bfloat16"}


@dataclass(frozen=True)
class Pair:
    """A stage for `batch` utterances: our time, and the reference's for one utterance; and how many cores other
    processes kept busy meanwhile."""

    stage: str
    dtype: str
    batch: int
    ours: Timing
    reference: Timing
    others: float

    @property
    def faster(self) -> float:
        return self.batch * self.reference.warm / self.ours.warm

    @property
    def faster_at_best(self) -> float:
        """The same of the fastest runs, which other processes disturb less."""
        return self.batch * self.reference.best / self.ours.best


def compare(
    synthesizer: Synthesizer, reference: Reference, stage: str, batches: list[int], runs: int
) -> Iterator[Pair]:
    """Both sides of a stage in turn; only this stage is in memory meanwhile."""
    dtype = product_type(synthesizer.precision, stage)
    configs = {"llm": synthesizer.config.llm, "flow": synthesizer.config.flow, "vocoder": synthesizer.config.vocoder}
    synthesizer.params(stage)
    reference.load(stage, _REFERENCE_DTYPE.get(dtype, dtype), configs[stage])

    sides: dict[str, Callable[[], float]] = {}
    for batch in batches:
        sides[f"ours {batch}"] = partial(seconds_of, RUNS[stage], synthesizer, batch)
        sides["reference"] = reference.run  # keeps its place behind the first of ours

    def others_seconds() -> float:
        return busy_seconds() - time.process_time() - reference.cpu_seconds

    begin, before = time.perf_counter(), others_seconds()
    timings = measure_in_turn(sides, runs)
    others = (others_seconds() - before) / (time.perf_counter() - begin)
    reference.free()
    synthesizer.release(stage)
    for batch in batches:
        yield Pair(stage, dtype, batch, timings[f"ours {batch}"], timings["reference"], others)


def compare_all(
    weights: str, reference: Reference, stages: list[str], dtypes: list[str], batches: list[int], runs: int
) -> list[Pair]:
    """Every stage in every type; what two policies share once."""
    pairs: list[Pair] = []
    for dtype in dtypes:
        synthesizer = Synthesizer(weights, precision=get_precision(dtype))
        for stage in stages:
            kind = product_type(synthesizer.precision, stage)
            if (stage, kind) not in [(pair.stage, pair.dtype) for pair in pairs]:
                pairs += compare(synthesizer, reference, stage, batches if stage == "llm" else [1], runs)
                print(f"{STAGES[stage]}, {kind}: measured", file=sys.stderr)
    return pairs


@dataclass(frozen=True)
class Row:
    """One line of the result."""

    name: str
    dtype: str
    batch: int
    unit: str
    ours: float
    reference: float
    faster: float


def rows_of(pairs: list[Pair]) -> Iterator[Row]:
    """Seconds of each stage, tokens a second, and real-time factors where all stages were measured."""
    found = {(pair.stage, pair.dtype, pair.batch): pair for pair in pairs}
    for pair in pairs:
        reference = pair.batch * pair.reference.warm
        yield Row(STAGES[pair.stage], pair.dtype, pair.batch, "s", pair.ours.warm, reference, pair.faster)
    for pair in (pair for pair in pairs if pair.stage == "llm"):
        tokens = (pair.batch * NEW_TOKENS / pair.ours.warm, NEW_TOKENS / pair.reference.warm)
        yield Row(STAGES["llm"], pair.dtype, pair.batch, "tokens/s", *tokens, pair.faster)
    for pair in (pair for pair in pairs if pair.stage == "llm" and pair.batch in END_TO_END):
        policy = get_precision(pair.dtype)
        keys = [(stage, product_type(policy, stage), 1) for stage in ("flow", "vocoder")]
        if all(key in found for key in keys):
            yield _end_to_end(pair, [found[key] for key in keys])


def _end_to_end(llm: Pair, rest: list[Pair]) -> Row:
    ours = llm.ours.warm / llm.batch + sum(pair.ours.warm for pair in rest)
    reference = llm.reference.warm + sum(pair.reference.warm for pair in rest)
    factors = (ours / AUDIO_SECONDS, reference / AUDIO_SECONDS)
    return Row("end to end", llm.dtype, llm.batch, "real-time factor", *factors, reference / ours)


def print_rows(rows: list[Row], pairs: list[Pair]) -> None:
    print_table(
        ("stage", "type", "batch", "unit", "ours", "reference", "times faster"),
        [(row.name, row.dtype, row.batch, row.unit, row.ours, row.reference, row.faster) for row in rows],
    )
    print("\nFirst runs, s; times faster by the fastest of the later ones; cores that other processes kept busy")
    print_table(
        ("stage", "type", "batch", "ours", "of which compiling", "reference, batch 1", "fastest runs", "cores busy"),
        [
            (STAGES[p.stage], p.dtype, p.batch, p.ours.first, p.ours.compiling, p.reference.first)
            + (p.faster_at_best, p.others)
            for p in pairs
        ],
    )


def figures_of(rows: list[Row]) -> Iterator[Figure]:
    for row in rows:
        name = f"{row.name}, {row.dtype}, batch {row.batch}"
        yield Figure(f"{name}, ours", row.ours, row.unit)
        yield Figure(f"{name}, PyTorch reference", row.reference, row.unit)
        yield Figure(f"{name}, ours against the reference", row.faster, "times faster")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--reference", required=True, type=Path, help="checkout of FunAudioLLM/CosyVoice")
    parser.add_argument("--matcha", type=Path, help="checkout of Matcha-TTS (default: third_party/ of the reference)")
    parser.add_argument("--reference-python", default=sys.executable, help="(default: this one)")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--dtype", nargs="+", default=list(POLICIES), choices=POLICIES)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 16, 32], help="rows of our language model")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="of both sides")
    add_json_option(parser)
    add_cache_option(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the reference wants device memory too
    jax.config.update("jax_platforms", {"cpu": "cpu", "cuda": "cuda,cpu"}[args.device])
    start_jax(args.compile_cache)
    matcha = args.matcha or args.reference / "third_party" / "Matcha-TTS"
    try:
        with Reference(args.reference_python, args.reference, matcha, args.device) as reference:
            print(f"{describe_machine()}; reference: {reference.runs_on}")
            pairs = compare_all(args.weights, reference, args.stages, args.dtype, args.batch, args.runs)
    except CosyError as error:
        sys.exit(f"compare_torch: {error}")
    rows = list(rows_of(pairs))
    print_rows(rows, pairs)
    write_figures(args.json, list(figures_of(rows)))


if __name__ == "__main__":
    main()
