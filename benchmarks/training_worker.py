"""Our side of `benchmarks.training`, in a process of its own as the reference's, so that its memory can be told.

    python -m benchmarks.training_worker [--device cuda]

Answers one JSON line with one: {"load": "llm", "dtype": "bfloat16", "sizes": {...}, "work": {...}} draws parameters and
a batch and answers {"flops": ...} of its gradient, by XLA's count, or null; {"run": "gradient"} takes it, {"run":
"step"} and makes a step of Adam, {"seconds": ...}; {"product_rate": "bfloat16"} measures {"flops_per_second": ...}.
Every answer has "cpu_seconds" and "peak_bytes". The work is {"rows": ..., "instruct_ids": ..., "text_ids": ...,
"speech_ids": ...}.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from benchmarks.options import add_cache_option
from benchmarks.timing import seconds_of
from cosy_jax.config import FlowConfig, LLMConfig, ModelConfig
from cosy_jax.nn.compile_cache import start_jax
from cosy_jax.nn.precision import get_precision
from cosy_jax.nn.product_rate import KINDS, product_rate
from cosy_jax.train import cost
from cosy_jax.train.flow.loss import FlowBatch, draw_flow, flow_loss
from cosy_jax.train.initial import draw_initial
from cosy_jax.train.learner import Learner, LossFunction, State
from cosy_jax.train.llm.layout import TrainingRow, stack_rows, training_row
from cosy_jax.train.llm.loss import llm_loss
from cosy_jax.train.optimiser import make_optimiser
from cosy_jax.train.parametrisation import Tree, Whole
from cosy_jax.train.settings import TrainSettings
from cosy_jax.train.totals import Totals

_RATE_RUNS, _LONG_ENOUGH = 5, 0.05


def llm_batch(job: dict) -> tuple[LossFunction, Any]:
    """Every other row in turns of text and speech."""
    config, work, random = LLMConfig(**job["sizes"]), job["work"], np.random.default_rng(0)

    def ids(part: str, vocabulary: int) -> list[int]:
        return random.integers(0, vocabulary, work[f"{part}_ids"]).tolist()

    def row(turns: bool) -> TrainingRow:
        speech = ids("speech", config.speech_token_size)
        return training_row(ids("instruct", 1000), ids("text", 1000), speech, config, turns)

    rows = [row(bool(number % 2)) for number in range(work["rows"])]

    def loss(params: Tree, batch: Any, key: jax.Array) -> Totals:
        return llm_loss(params, batch, config=config, precision=get_precision(job["dtype"]))

    return loss, stack_rows(rows, len(rows[0].ids))


def flow_batch(job: dict) -> tuple[LossFunction, Any]:
    """Rows of one length, their mel of plausible level."""
    config, work, random = FlowConfig(**job["sizes"]), job["work"], np.random.default_rng(0)
    rows, length = work["rows"], work["speech_ids"]
    batch = FlowBatch(
        random.integers(0, config.token_vocab_size, (rows, length), np.int32),
        np.full(rows, length, np.int32),
        random.normal(-6, 2, (rows, config.token_mel_ratio * length, config.mel_bands)).astype(np.float32),
        random.standard_normal((rows, config.speaker_dim), np.float32),
    )

    def loss(params: Tree, batch: Any, key: jax.Array) -> Totals:
        draws = draw_flow(key, batch, config)
        return flow_loss(params, batch, draws, config=config, precision=get_precision(job["dtype"]))

    return loss, batch


_STAGES: dict[str, Callable[[dict], tuple[LossFunction, Any]]] = {"llm": llm_batch, "flow": flow_batch}


class TrainedStage:
    """A stage with its batch. The optimiser's state is made when the first step is asked for."""

    def __init__(self, job: dict) -> None:
        loss, self._batch = _STAGES[job["load"]](job)
        self._learner = Learner(loss, Whole(), make_optimiser(TrainSettings()), 0.0)
        sizes = {"llm": LLMConfig, "flow": FlowConfig}[job["load"]](**job["sizes"])
        self._params: Tree = draw_initial(job["load"], replace(ModelConfig(), **{job["load"]: sizes}), 0)
        self._state: State | None = None
        self._key = jax.random.key(0)

    def flops(self) -> float | None:
        """Of the gradient."""
        return cost.flops([self._learner.gradient.lower(self._params, {}, self._batch, self._key)])

    def gradient(self) -> float:
        """Seconds of one."""
        return seconds_of(self._learner.gradient, self._params, {}, self._batch, self._key)

    def step(self) -> float:
        """Seconds of a gradient and a step of Adam."""
        if self._state is None:
            self._state, self._params = self._learner.init(self._params), None
        begin = time.perf_counter()
        self._state, _ = jax.block_until_ready(self._learner.step(self._state, {}, [self._batch], self._key))
        return time.perf_counter() - begin


def answers(job: dict, held: list[TrainedStage]) -> dict:
    """What a job gives; `held` is the stage that is loaded, if any."""
    if "load" in job:
        held[:] = [TrainedStage(job)]
        return {"flops": held[0].flops()}
    if "product_rate" in job:
        return {"flops_per_second": product_rate(KINDS[job["product_rate"]], _RATE_RUNS, _LONG_ENOUGH)}
    return {"seconds": held[0].step() if job["run"] == "step" else held[0].gradient()}


def peak_bytes() -> int:
    """Of the device's memory where that is its own, of the process otherwise."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    add_cache_option(parser)
    args = parser.parse_args()
    jax.config.update("jax_platforms", {"cpu": "cpu", "cuda": "cuda,cpu"}[args.device])
    start_jax(args.compile_cache)
    answer: dict = {"runs_on": f"jax {jax.__version__}"}
    held: list[TrainedStage] = []
    while True:
        print(json.dumps(answer | {"cpu_seconds": time.process_time(), "peak_bytes": peak_bytes()}), flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        answer = answers(json.loads(line), held)


if __name__ == "__main__":
    main()
