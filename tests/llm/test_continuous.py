"""Continuous batching on the tiny model."""

import jax
import numpy as np
import pytest

from cosy_jax.errors import CosyError
from cosy_jax.llm.context import Context
from cosy_jax.llm.continuous import Batching, ContinuousDecoder, Job
from cosy_jax.llm.speech_lm import context_row
from cosy_jax.nn.compile_log import count_compilations
from tests.llm.test_decode import run


def jobs(config, count=9):
    random = np.random.default_rng(0)
    for index in range(count):
        text, speech = random.integers(0, 200, 3 + index), random.integers(0, 6561, 7 * index)
        row = context_row(text.tolist(), speech, config)
        yield Job(Context(row, jax.random.key(index), 2 * index, 8 + 5 * index), index)


def decode(synthesizer, work, **batching):
    decoder = ContinuousDecoder(synthesizer.params("llm"), synthesizer.policy(), Batching(**batching))
    blocks = []
    return {result.tag: result for result in decoder.run(work, blocks.append)}, blocks


@pytest.fixture(scope="module")
def alone(synthesizer):
    """Each job by itself."""
    found = {}
    for job in jobs(synthesizer.config.llm):
        bounds = {"min_new": job.context.min_new, "max_new": job.context.max_new}
        state = run(synthesizer, [job.context.row], [job.tag], size=128, bucket=64, **bounds)
        found[job.tag] = np.asarray(state.tokens[0][: int(state.lengths[0])])
    return found


@pytest.mark.parametrize(
    "batching",
    [
        pytest.param({"rows": 1}, marks=pytest.mark.slow),
        {"rows": 4, "block": 5},
        {"rows": 4, "started": 3, "block": 16, "refill": 2},
        pytest.param({"rows": 16, "started": 8}, marks=pytest.mark.slow),
    ],
)
def test_ids_are_those_of_each_job_alone(synthesizer, alone, batching):
    results, blocks = decode(synthesizer, jobs(synthesizer.config.llm), **batching)
    assert results.keys() == alone.keys()
    for tag, ids in alone.items():
        np.testing.assert_array_equal(results[tag].ids, ids)
    # Each row draws its ids and, unless its bound ends it, a stop id.
    drawn = sum(len(ids) for ids in alone.values())
    assert drawn <= sum(block.draws for block in blocks) <= drawn + len(alone)
    assert all(block.draws <= block.steps * batching["rows"] for block in blocks)


@pytest.mark.slow
def test_cache_grows_and_shrinks_with_the_rows_in_it(synthesizer):
    config = synthesizer.config.llm
    work = [
        Job(Context(context_row([1], [], config), jax.random.key(0), 300, 300), "long"),
        *(Job(Context(context_row([2], [], config), jax.random.key(1), 20, 20), index) for index in range(3)),
    ]
    results, _ = decode(synthesizer, work, rows=2)
    long_alone, _ = decode(synthesizer, work[:1], rows=1)
    np.testing.assert_array_equal(results["long"].ids, long_alone["long"].ids)
    assert len(results["long"].ids) == 300
    np.testing.assert_array_equal(results[0].ids, results[2].ids)


@pytest.mark.slow
def test_same_jobs_compile_nothing_new(synthesizer):
    decode(synthesizer, jobs(synthesizer.config.llm), rows=3)
    with count_compilations() as compiled:
        decode(synthesizer, jobs(synthesizer.config.llm), rows=3)
    assert compiled.programs == 0


def test_jobs_are_asked_for_when_a_row_is_free(synthesizer):
    asked = []

    def source():
        for job in jobs(synthesizer.config.llm, 5):
            asked.append(job.tag)
            yield job

    decoder = ContinuousDecoder(synthesizer.params("llm"), synthesizer.policy(), Batching(rows=2))
    next(decoder.run(source()))
    assert asked == [0, 1]


def test_context_beyond_the_buckets_is_refused(synthesizer):
    row = context_row([1] * 3000, [], synthesizer.config.llm)
    with pytest.raises(CosyError, match="split the text"):
        Context(row, jax.random.key(0), 0, 10)
