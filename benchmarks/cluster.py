"""How a manifest's speed grows with nodes, and what Ray costs.

    python -m benchmarks.cluster --weights weights/embedded [--lines 400] [--block-lines 20] [--nodes 1 2] [--json FILE]

speaks the same lines on Ray clusters of one or more nodes with one core each, and by plain `cosy-jax batch` on as many
cores. A node is pinned to its core, head and driver to those of all nodes. Rates are of the difference between a run of
all lines and one of a few, so that starting, loading and tracing cancel out; the first run compiles.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.table import Figure, add_json_option, print_figures, write_figures

RECORDING = Path(__file__).parents[1] / "tests" / "data" / "slt.flac"
TRANSCRIPT = "The student's mother measured a poor brown kettle for twelve pounds in the afternoon."
TEXTS = ("Good morning.", "How are you?", "One, two, three.", "Thank you.", "See you soon.")
SEEDS = 4
_SECONDS = re.compile(r"audio +[\d.]+ s in ([\d.]+) s")


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """The address of so many nodes with one core each on this machine, behind a head without any."""
    from ray.cluster_utils import Cluster

    os.environ |= {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    with pinned(range(nodes)):
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        try:
            for core in range(nodes):
                with pinned([core]):
                    made.add_node(num_cpus=1)
            yield made.address
        finally:
            made.shutdown()


@contextmanager
def pinned(cores: Iterable[int]) -> Iterator[None]:
    """Inside the block, this thread and the processes that it starts have these cores of the machine's."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[core] for core in cores})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def speak(manifest: Path, weights: str, cores: int, *options: str) -> float:
    """Seconds that the lines took, by a process on so many cores."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "cosy_jax", "batch", str(manifest), "--weights", weights, "--out", out]
        environment = os.environ | {"NPROC": str(cores)}
        done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True)
    found = _SECONDS.search(done.stdout)
    if done.returncode or not found:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return float(found[1])


def write_manifest(path: Path, lines: int) -> Path:
    """Texts of several lengths, over and over."""
    given = {"prompt_wav": str(RECORDING), "prompt_text": TRANSCRIPT}
    path.write_text(
        "\n".join(
            json.dumps({"key": f"k{n:06d}", "text": TEXTS[n % len(TEXTS)], "seed": n % SEEDS} | given)
            for n in range(lines)
        )
    )
    return path


def measure(weights: str, lines: int, block_lines: int, few: int, sizes: Sequence[int]) -> list[Figure]:
    """Each side, behind a run of `few` lines; `sizes` are the clusters', in nodes."""
    plain, by_ray = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        warm = write_manifest(Path(folder) / "warm.jsonl", len(TEXTS) * SEEDS)
        some, all_of_them = (write_manifest(Path(folder) / f"{count}.jsonl", count) for count in (few, lines))

        def lines_a_second(cores: int, *options: str) -> float:
            taken = [speak(manifest, weights, cores, *options) for manifest in (some, all_of_them)]
            return (lines - few) / (taken[1] - taken[0])

        for cores in sizes:
            with pinned(range(cores)):
                speak(warm, weights, cores)
                plain[cores] = lines_a_second(cores)
        for nodes in sizes:
            with cluster(nodes) as address:
                options = ("--ray", address, "--worker-cpus", "1", "--block-lines", str(block_lines))
                by_ray[nodes] = lines_a_second(1, *options)
    return figures(plain, by_ray)


def figures(plain: dict[int, float], by_ray: dict[int, float]) -> list[Figure]:
    """Of lines a second, by how many cores."""
    first = next(iter(by_ray))
    rates = [
        Figure(f"{name}, cores: {cores}", rate, "lines/s")
        for name, side in (("plain", plain), ("Ray", by_ray))
        for cores, rate in side.items()
    ]
    overheads = [Figure(f"overhead of Ray, cores: {n}", 100 * (plain[n] / rate - 1), "%") for n, rate in by_ray.items()]
    gains = [Figure(f"Ray, {n} nodes / {first}", by_ray[n] / by_ray[first], "x") for n in by_ray if n != first]
    return [*rates, *overheads, *gains]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--lines", type=int, default=400)
    parser.add_argument("--few", type=int, default=40, help="lines of the run that is taken off")
    parser.add_argument("--block-lines", type=int, default=20)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2], help="sizes of the clusters (default: 1 2)")
    add_json_option(parser)
    args = parser.parse_args()
    print(describe_machine())
    found = measure(args.weights, args.lines, args.block_lines, args.few, args.nodes)
    print_figures(found)
    write_figures(args.json, found)


if __name__ == "__main__":
    main()
