"""What this machine reaches at best: rates of large products, of products of few rows with weights that no cache
holds, and of copying. The other benchmarks are measured against it.

    python -m benchmarks.machine [--dtype float32 bfloat16 int8] [--runs 5]
"""

import argparse
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp

from benchmarks.counts import llm_step
from benchmarks.options import add_cache_option
from benchmarks.table import Figure, add_json_option, print_table, write_figures
from benchmarks.timing import measure
from cosy_jax.config import LLMConfig
from cosy_jax.nn.compile_cache import start_jax
from cosy_jax.nn.product_rate import KINDS, Kind, product_rate

READ_ROWS = (1, 2, 8, 32)
_LONG_ENOUGH = 0.05  # seconds; a larger product would not be faster
_COPIED_VALUES = 1 << 27  # 0.5 GiB of float32
_CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")


@dataclass(frozen=True)
class Limits:
    """FLOP/s of a large product of one kind; bytes/s of its weights by rows; bytes/s read and written by a copy."""

    matmul: float
    reads: dict[int, float]
    copy: float

    @property
    def bandwidth(self) -> float:
        """The most bytes/s that any program here moved."""
        return max(self.copy, *self.reads.values())


def measure_limits(kind: str, runs: int = 5) -> Limits:
    """Medians of `runs` for a key of `KINDS`; takes 1.5 GB (float32) for a moment."""
    return Limits(product_rate(KINDS[kind], runs, _LONG_ENOUGH), _read_rates(KINDS[kind], runs), _copy_rate(runs))


def _read_rates(kind: Kind, runs: int) -> dict[int, float]:
    """A chain of as many weights as a step of the released language model reads, in matrices of its feed-forward."""
    config = LLMConfig()
    shapes = ((config.intermediate_size, config.hidden_size), (config.hidden_size, config.intermediate_size))
    pairs = int(llm_step(config, 1, 1).weights) // (2 * config.intermediate_size * config.hidden_size)
    kernels = [jnp.full(shape, 1 / shape[1]).astype(kind.operand) for _ in range(pairs) for shape in shapes]
    size = sum(kernel.nbytes for kernel in kernels)

    @jax.jit
    def chain(x: jax.Array, kernels: list[jax.Array]) -> jax.Array:
        for kernel in kernels:
            x = kind.product(x, kernel).astype(kind.operand)
        return x

    def rate(rows: int) -> float:
        x = jnp.ones((rows, config.hidden_size), kind.operand)
        return size / measure(chain, runs, lambda: (x, kernels)).warm

    return {rows: rate(rows) for rows in READ_ROWS}


def _copy_rate(runs: int) -> float:
    """Into the same memory: a fresh result would cost the page faults of its allocation."""
    negate = jax.jit(jnp.negative, donate_argnums=0)
    return 8 * _COPIED_VALUES / measure(negate, runs, lambda: (jnp.ones(_COPIED_VALUES),)).warm


def describe_machine() -> str:
    """Processor with its matrix and vector units, cores, accelerator, and versions, in one line."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    name = re.search(r"^model name\s*: (.*)$", info, re.MULTILINE)
    flags = re.search(r"^flags\s*: (.*)$", info, re.MULTILINE)
    units = [flag for flag in _CPU_FLAGS if flags and flag in flags[1].split()]
    device = jax.devices()[0]
    parts = [name[1] if name else platform.machine(), " ".join(units), f"{os.cpu_count()} cores"]
    parts += [device.device_kind] if device.platform != "cpu" else []
    return ", ".join([*filter(None, parts), f"jax {jax.__version__}", f"Python {platform.python_version()}"])


def busy_seconds() -> float:
    """Seconds that all cores together have worked since the machine started, for whatever process; 0 where the system
    does not tell."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    ticks = [int(field) for field in stat.read_text(encoding="utf-8").split()[1:9]]
    idle = ticks[3] + ticks[4]  # waiting for a disk is idle too
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--runs", type=int, default=5)
    add_json_option(parser)
    add_cache_option(parser)
    args = parser.parse_args()
    start_jax(args.compile_cache)
    print(describe_machine())
    limits = {kind: measure_limits(kind, args.runs) for kind in args.dtype}
    print_table(
        ("operands", "product, GFLOP/s", *(f"read, {rows} rows, GB/s" for rows in READ_ROWS), "copy, GB/s"),
        [
            (kind, *(rate / 1e9 for rate in (found.matmul, *found.reads.values(), found.copy)))
            for kind, found in limits.items()
        ],
    )
    write_figures(args.json, [figure for kind, found in limits.items() for figure in _figures(kind, found)])


def _figures(kind: str, limits: Limits) -> list[Figure]:
    return [
        Figure(f"limit, product, {kind}", limits.matmul / 1e12, "TFLOP/s"),
        Figure(f"limit, memory, {kind}", limits.bandwidth / 1e9, "GB/s"),
    ]


if __name__ == "__main__":
    main()
