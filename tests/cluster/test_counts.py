"""What the driver makes of what workers tell."""

import pytest

from cosy_jax.batch.stats import Stats
from cosy_jax.cluster.job import Report, Workers
from cosy_jax.cluster.monitor import Monitor
from cosy_jax.cluster.tally import Tally
from cosy_jax.synthesis.stage import Stage


def counted(lines, **fields):
    stats = Stats(lines=lines, **fields)
    stats.busy[Stage.FLOW] = 2.0
    return stats


def test_a_block_is_counted_once_whoever_tells_of_it():
    planned = Stats(skipped=4, lines=1, failed=1)
    tally, monitor = Tally(planned), Monitor()
    monitor.tell(0, counted(3))
    monitor.tell(1, counted(2))
    tally.show(monitor.flying())
    assert tally.shown.lines == 6 and tally.shown.busy[Stage.FLOW] == 4.0
    tally.finish(0, Report(counted(5, audio_seconds=7.0), compiled=(3, 1, 0.5)))
    tally.show(monitor.flying())  # it may still tell of block 0
    assert (tally.shown.lines, tally.shown.skipped, tally.shown.failed) == (8, 4, 1)
    assert tally.shown.audio_seconds == 7.0 and tally.compiled.compiled == 2
    monitor.end(1)
    tally.show(monitor.flying())
    assert tally.shown.lines == 8  # its report is on the way
    monitor.tell(1, counted(1))  # another worker began it anew
    tally.show(monitor.flying())
    assert tally.shown.lines == 7


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        (Workers(None, 4, 0, 0), {"JAX_PLATFORMS": "cpu", "NPROC": "4"}),
        (Workers(None, 1, 1, 0), {"JAX_PLATFORMS": "cuda,cpu"}),
        (Workers(None, 1, 0.5, 0), {"JAX_PLATFORMS": "cuda,cpu", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.450"}),
        (Workers(None, 1, 0, 4), {"JAX_PLATFORMS": "tpu,cpu"}),
    ],
)
def test_the_environment_of_workers(workers, expected):
    assert workers.environment() == expected


def test_how_many_workers_find_room():
    nodes = [{"CPU": 8.0}, {"CPU": 8.0, "GPU": 4.0}, {"CPU": 2.0, "GPU": 4.0}]
    assert Workers(None, 4, 0, 0).fitting(nodes) == 4
    assert Workers(None, 1, 1, 0).fitting(nodes) == 6
    assert Workers(None, 1, 0, 4).fitting(nodes) == 0
