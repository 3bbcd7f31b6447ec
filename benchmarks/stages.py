"""Seconds a stage, compiling apart, on the standard workload (benchmarks/workload.py), and the share of what this
machine can do at best.

    python -m benchmarks.stages --weights weights/random [--dtype bfloat16] [--batch 1 8 32] [--flow-batch 1] [--runs 3]

A stage's share is that of the machine's rate of products or of its memory (benchmarks/machine.py), whichever is more.
FLOPs and bytes are counted from the sizes (benchmarks/counts.py).
"""

import argparse
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass

import jax

from benchmarks import counts
from benchmarks.counts import Count
from benchmarks.machine import Limits, describe_machine, measure_limits
from benchmarks.options import add_cache_option, add_dtype_option
from benchmarks.table import Figure, add_json_option, print_figures, print_table, write_figures
from benchmarks.timing import Timing, measure
from benchmarks.workload import (
    AUDIO_SECONDS,
    NEW_TOKENS,
    PREFILLED,
    PROMPT_TOKENS,
    RUNS,
    decode,
    lm_inputs,
    prefill,
    product_type,
    run_flow,
    run_vocoder,
)
from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.nn.compile_cache import start_jax
from cosy_jax.nn.precision import get_precision
from cosy_jax.synthesis.synthesizer import Synthesizer

PREFILL, DECODE, FLOW, VOCODER = "language model, prefill", "language model, decode", "flow", "vocoder"


@dataclass(frozen=True)
class Measured:
    """One stage: type of its products, rows at once, time, FLOPs and bytes of all rows, and the most FLOP/s and bytes/s
    that are possible."""

    name: str
    dtype: str
    batch: int
    timing: Timing
    flops: float
    bytes: float
    best_flops: float
    best_bytes: float

    @property
    def label(self) -> str:
        return f"{self.name}, {self.dtype}, batch {self.batch}"

    @property
    def compute_share(self) -> float:
        return self.flops / self.timing.warm / self.best_flops

    @property
    def memory_share(self) -> float:
        return self.bytes / self.timing.warm / self.best_bytes

    @property
    def share(self) -> float:
        return max(self.compute_share, self.memory_share)


@dataclass(frozen=True)
class Bench:
    """Measures one stage at a time. `limits` by type of product, for those of all stages."""

    synthesizer: Synthesizer
    limits: dict[str, Limits]
    runs: int

    def llm(self, batch: int) -> Iterator[Measured]:
        """Prefill and decode, each by itself."""
        synthesizer, config = self.synthesizer, self.synthesizer.config.llm
        value_size = init_cache(config, 1, 1, synthesizer.precision)[0].key.dtype.itemsize
        timing = measure(
            lambda *inputs: prefill(synthesizer, *inputs), self.runs, lambda: lm_inputs(synthesizer, batch)
        )
        count = counts.llm_prefill(config, batch, PREFILLED)
        yield self._measured(PREFILL, "llm", batch, timing, count, value_size)
        timing = measure(
            lambda state: decode(synthesizer, state),
            self.runs,
            lambda: (prefill(synthesizer, *lm_inputs(synthesizer, batch)),),
        )
        count = counts.llm_decode(config, batch, PREFILLED, NEW_TOKENS)
        yield self._measured(DECODE, "llm", batch, timing, count, value_size)

    def flow(self, batch: int) -> Iterator[Measured]:
        timing = measure(lambda: run_flow(self.synthesizer, batch), self.runs)
        count = counts.flow(self.synthesizer.config.flow, batch, PROMPT_TOKENS + NEW_TOKENS)
        yield self._measured(FLOW, "flow", batch, timing, count, self.synthesizer.precision.compute.itemsize)

    def vocoder(self, batch: int) -> Iterator[Measured]:
        timing, config = measure(lambda: run_vocoder(self.synthesizer, batch), self.runs), self.synthesizer.config
        frames = config.flow.token_mel_ratio * NEW_TOKENS
        count = counts.vocoder(config.vocoder, batch, frames) + counts.f0(config.vocoder, batch, frames)
        yield self._measured(VOCODER, "vocoder", batch, timing, count, 4)

    def _measured(self, name: str, stage: str, batch: int, timing: Timing, count: Count, value_size: int) -> Measured:
        dtype = product_type(self.synthesizer.precision, stage)
        moved = count.bytes(bytes_per_weight(self.synthesizer.params(stage)), value_size)
        # The memory is the same whatever is read from it.
        bandwidth = max(limits.bandwidth for limits in self.limits.values())
        return Measured(name, dtype, batch, timing, count.flops, moved, self.limits[dtype].matmul, bandwidth)


def bytes_per_weight(params: dict) -> float:
    """Stored bytes over stored numbers; embedding tables, of which a few rows are read, not among them."""
    leaves = jax.tree.leaves({name: part for name, part in params.items() if "embedding" not in name})
    return sum(leaf.nbytes for leaf in leaves) / sum(leaf.size for leaf in leaves)


def measure_stages(bench: Bench, batches: list[int], flow_batches: list[int]) -> list[Measured]:
    """All stages, one stage's parameters in memory at a time."""
    measured = []
    for stage, run, sizes in (
        ("llm", bench.llm, batches),
        ("flow", bench.flow, flow_batches),
        ("vocoder", bench.vocoder, flow_batches),
    ):
        begin = time.perf_counter()
        jax.block_until_ready(bench.synthesizer.params(stage))
        print(f"{stage}: loaded in {time.perf_counter() - begin:.1f} s")
        measured += [entry for batch in sizes for entry in run(batch)]
        bench.synthesizer.release(stage)
    return measured


def speeds(measured: list[Measured]) -> Iterator[Figure]:
    """Tokens a second of the language model, with and without its prefill, and the real-time factor, at each of its
    batch sizes; flow and vocoder in the largest measured batches that fit into it."""
    warm = {(entry.name, entry.batch): entry.timing.warm for entry in measured}
    for entry in [entry for entry in measured if entry.name == DECODE]:
        batch, label = entry.batch, f"{entry.dtype}, batch {entry.batch}"
        whole = warm[DECODE, batch] + warm[PREFILL, batch]
        part = max(size for name, size in warm if name == FLOW and size <= batch)
        rest = batch / part * (warm[FLOW, part] + warm[VOCODER, part])
        yield Figure(f"language model, {label}", batch * NEW_TOKENS / whole, "tokens/s")
        yield Figure(f"language model, {label}, decode only", batch * NEW_TOKENS / warm[DECODE, batch], "tokens/s")
        yield Figure(f"real-time factor, {label}", (whole + rest) / (batch * AUDIO_SECONDS), "")


def print_stages(measured: list[Measured]) -> None:
    print_table(
        ("stage", "type", "batch", "first run, s", "of which compiling", "warm, s", "GFLOP", "GB", "GFLOP/s")
        + ("of products", "GB/s", "of memory", "share"),
        [
            (m.name, m.dtype, m.batch, m.timing.first, m.timing.compiling, m.timing.warm, m.flops / 1e9, m.bytes / 1e9)
            + (m.flops / 1e9 / m.timing.warm, f"{m.compute_share:.0%}")
            + (m.bytes / 1e9 / m.timing.warm, f"{m.memory_share:.0%}", f"{m.share:.0%}")
            for m in measured
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="rows of the language model (default: 1)")
    parser.add_argument("--flow-batch", type=int, nargs="+", default=[1], help="rows of flow and vocoder (default: 1)")
    parser.add_argument("--runs", type=int, default=3)
    add_json_option(parser)
    add_dtype_option(parser)
    add_cache_option(parser)
    args = parser.parse_args()
    start_jax(args.compile_cache)
    print(describe_machine())
    precision = get_precision(args.dtype)
    kinds = dict.fromkeys(product_type(precision, stage) for stage in RUNS)
    limits = {kind: measure_limits(kind, args.runs) for kind in kinds}
    bench = Bench(Synthesizer(args.weights, precision=precision), limits, args.runs)
    measured = measure_stages(bench, sorted(args.batch), sorted(args.flow_batch))
    figures = list(speeds(measured))
    print_stages(measured)
    print_figures(figures)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    write_figures(args.json, [*_shares(measured), *figures])


def _shares(measured: list[Measured]) -> Iterator[Figure]:
    for entry in measured:
        yield Figure(entry.label, entry.timing.warm, "s")
        yield Figure(f"{entry.label}, share of products", 100 * entry.compute_share, "%")
        yield Figure(f"{entry.label}, share of memory", 100 * entry.memory_share, "%")


if __name__ == "__main__":
    main()
