"""The driver of a run on a Ray cluster: blocks of lines to a pool of actors, and what they count.

It touches no device. Ray gives a block of a lost actor or node to another one, as often as it takes; what is written
twice that way is the same (`worker`, `storage`).
"""

import logging
import os
import pickle
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cosy_jax.batch.stats import Stats
from cosy_jax.cluster.job import Block, Job, Report, Workers
from cosy_jax.cluster.monitor import Monitor
from cosy_jax.cluster.tally import Tally
from cosy_jax.errors import CosyError
from cosy_jax.nn import compile_cache

_ANSWER_SECONDS, _POLL_SECONDS = 30.0, 1.0
_IN_FLIGHT = 1  # blocks that an actor has: one that waits would wait behind a slow one (SCALING.md, the simulation)


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Inside the block this process is a driver of the cluster: that at `address`, else the one that runs on this
    machine, else one of its own. CosyError where there is none."""
    # Nothing is sent to Ray's makers, and what it says to programmers is not shown; errors are raised all the same.
    for name, value in (("RAY_USAGE_STATS_ENABLED", "0"), ("RAY_BACKEND_LOG_LEVEL", "fatal")):
        os.environ.setdefault(name, value)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it forks, and JAX has threads: the children only start programs
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise CosyError(
            f"Cannot reach a Ray cluster at {address or 'this machine'} ({reason}): start one with `ray start`."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def nodes() -> list[dict[str, float]]:
    """The resources of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def run_blocks(job: Job, workers: Workers, blocks: Iterable[Block], tally: Tally, stop: threading.Event) -> None:
    """Has the blocks spoken and `tally` count them. Once `stop` is set, lines that are begun are finished.

    CosyError where a worker cannot start, or cannot write.
    """
    tables = [ray.put(pa.table({"block": [pickle.dumps(block)]})) for block in blocks]
    if not tables:
        return
    monitor = _start_monitor()
    ended = threading.Event()
    poller = threading.Thread(target=_poll, args=(monitor, tally, stop, ended), daemon=True)
    poller.start()
    try:
        for batch in _spoken(job, workers, tables, monitor).iter_batches(batch_size=1, batch_format="pyarrow"):
            report: Report = pickle.loads(batch["report"][0].as_py())
            if report.error:
                raise CosyError(report.error)
            tally.finish(batch["number"][0].as_py(), report)
    except RayError as error:
        raise CosyError(f"The cluster gave up ({_reason(error)}): mend that, and start again.") from error
    finally:
        ended.set()
        poller.join()


def _spoken(job: Job, workers: Workers, tables: list[Any], monitor: Any) -> Any:
    """The dataset of reports, a row a block. Ray starts lost actors and their blocks again without end: a node that is
    gone for a while uses up tries that cost nothing, and `Monitor` counts those that do."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    at_once = min(workers.fitting(nodes()), len(tables), workers.most or len(tables))
    pool = ray.data.ActorPoolStrategy(
        min_size=max(1, at_once), max_size=workers.most, max_tasks_in_flight_per_actor=_IN_FLIGHT
    )
    others: dict[str, Any] = {"resources": {"TPU": workers.tpus}} if workers.tpus else {}
    return ray.data.from_arrow_refs(tables).map_batches(
        _Actor,
        fn_constructor_args=(job, workers.device, monitor),
        compute=pool,
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=workers.cpus,
        num_gpus=workers.gpus,
        runtime_env={"env_vars": workers.environment()},
        **others,
    )


def _start_monitor() -> Any:
    """Beside the driver, whose end is the run's too."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    alone = {"num_cpus": 0, "max_concurrency": 16, "runtime_env": {"env_vars": {"JAX_PLATFORMS": "cpu"}}}
    return ray.remote(Monitor).options(scheduling_strategy=here, **alone).remote()  # type: ignore[attr-defined]


def _poll(monitor: Any, tally: Tally, stop: threading.Event, ended: threading.Event) -> None:
    told = False
    while not ended.wait(_POLL_SECONDS):
        try:
            if stop.is_set() and not told:
                ray.get(monitor.stop.remote(), timeout=_ANSWER_SECONDS)
                told = True
            tally.show(ray.get(monitor.flying.remote(), timeout=_ANSWER_SECONDS))
        except RayError:
            continue  # what is shown gets old


def _reason(error: Exception) -> str:
    """The last line of what a worker said, which names its exception, or the first of Ray's own."""
    lines = [line.strip() for line in str(getattr(error, "cause", None) or error).splitlines() if line.strip()]
    named = [line for line in lines if line.startswith(CosyError.__module__)]
    found = (named or lines or [type(error).__name__])[-1 if named else 0]
    return found.removeprefix(f"{CosyError.__module__}.CosyError: ").rstrip(".")


class _Watch:
    """The monitor, for a worker."""

    def __init__(self, monitor: Any) -> None:
        self._monitor = monitor

    def begin(self, block: int) -> tuple[bool, bool]:
        try:
            return ray.get(self._monitor.begin.remote(block), timeout=_ANSWER_SECONDS)
        except RayError:
            return True, False

    def tell(self, block: int, stats: Stats) -> bool:
        try:
            return ray.get(self._monitor.tell.remote(block, stats), timeout=_ANSWER_SECONDS)
        except RayError:
            return False

    def end(self, block: int) -> None:
        self._monitor.end.remote(block)


class _Actor:
    """What Ray starts; its process has the environment that `Workers` asks for."""

    def __init__(self, job: Job, device: str, monitor: Any) -> None:
        compile_cache.start_jax(job.cache, job.verbose, device)
        from cosy_jax.cluster.worker import Speaker  # jax, not above

        self._speaker = Speaker(job, _Watch(monitor))

    def __call__(self, table: pa.Table) -> pa.Table:
        block: Block = pickle.loads(table["block"][0].as_py())
        report = self._speaker.speak(block)
        return pa.table({"number": [block.number], "report": [pickle.dumps(report)]})
