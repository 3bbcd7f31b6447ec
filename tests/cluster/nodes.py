"""A cluster of several nodes on this machine, and what happens to it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# A busy machine is not a dead node, and Ray's workers are not to be the last to run on it.
_PATIENCE = {
    "RAY_worker_niceness": "0",
    "RAY_health_check_failure_threshold": "10",
}


@contextmanager
def cluster(count: int) -> Iterator[tuple[Any, list[Any]]]:
    """A cluster whose head has no cores, and its `count` nodes with one each; workers inherit this environment."""
    from ray.cluster_utils import Cluster

    os.environ |= _PATIENCE | {"RAY_USAGE_STATS_ENABLED": "0"}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        yield made, [made.add_node(num_cpus=1) for _ in range(count)]
    finally:
        made.shutdown()


def kill_an_actor() -> None:
    """Ends one of the pool's, of the clusters that this process has started."""
    for process in _descendants(os.getpid()):
        if (Path("/proc") / str(process) / "cmdline").read_text().startswith("ray::MapWorker"):
            os.kill(process, signal.SIGKILL)
            return
    raise AssertionError("There is no actor.")


def _descendants(ancestor: int) -> list[int]:
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        parents[int(status.parent.name)] = int(fields[1])
    found, last = set[int](), {ancestor}
    while last := {child for child, parent in parents.items() if parent in last} - found:
        found |= last
    return sorted(found)
