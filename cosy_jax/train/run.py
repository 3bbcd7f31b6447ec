"""A run: from a data set and weights to what was learnt, in a folder, and on from there when it was ended."""

import hashlib
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from cosy_jax.checkpoint.adapter import write_adapter
from cosy_jax.checkpoint.integrity import open_folder
from cosy_jax.checkpoint.reader import encoders_digest, read_digest
from cosy_jax.config import ModelConfig
from cosy_jax.dataset.batches import split
from cosy_jax.dataset.read import Dataset, open_dataset
from cosy_jax.errors import CosyError
from cosy_jax.nn.devices import ONE_DEVICE, Devices
from cosy_jax.nn.product_rate import KINDS, product_rate
from cosy_jax.train import cost
from cosy_jax.train.checkpoints import Checkpoints
from cosy_jax.train.export import export_model
from cosy_jax.train.feed import Feed
from cosy_jax.train.learner import State
from cosy_jax.train.parametrisation import LowRank
from cosy_jax.train.report import Reporter
from cosy_jax.train.run_folder import RunFolder
from cosy_jax.train.samples import SPEAKING, Samples
from cosy_jax.train.settings import TrainSettings
from cosy_jax.train.stage import Stage, begin
from cosy_jax.train.totals import Totals

_MOST_SKIPPED = 10  # steps in a row
_RATE_RUNS, _LONG_ENOUGH = 3, 0.005  # seconds of a product: all of them take less than half of one
_ENCODED = ("llm", "flow")  # stages that learn from tokens and embeddings
_REMAT = ("llm", "flow")  # stages that can compute layers again


@dataclass(frozen=True)
class Plan:
    """What is asked for: a stage's name, a converted folder, a folder of data, the run's folder."""

    stage: str
    weights: Path
    data: Path
    out: Path
    settings: TrainSettings
    from_scratch: bool = False
    devices: Devices = ONE_DEVICE


Told = Callable[[int, dict[str, float]], None]  # step, figures of the last steps


def train(plan: Plan, told: Told = lambda step, figures: None) -> Path:
    """Trains up to `settings.steps`, from the run's last checkpoint where there is one; returns the exported folder.

    The same plan gives the same numbers, however often it was ended in between. CosyError for a plan that cannot be
    followed, and after ten steps in a row whose gradient is not finite.
    """
    config = open_folder(plan.weights)
    dataset = open_dataset(plan.data)
    _check_encoders(plan, dataset)
    folder = RunFolder(plan.out)
    with folder.opened(_describe(plan, dataset)):
        stage = begin(plan.stage, plan.weights, config, plan.settings, plan.from_scratch, dataset)
        checkpoints = Checkpoints(folder.checkpoints, plan.settings.keep)
        try:
            state = _Run(plan, stage, dataset, folder, checkpoints, told).go()
            if plan.settings.export == "best" and (best := checkpoints.best()) is not None:
                state = checkpoints.restore(state, best)
        finally:
            checkpoints.close()
        _export(plan, stage, state, folder, config)
    return folder.path / "export"


def _export(plan: Plan, stage: Stage, state: State, folder: RunFolder, config: ModelConfig) -> None:
    learnt = stage.learner.current(state)
    merged, learnt = _on_host(stage.merged(learnt)), _on_host(learnt)
    if not folder.writes:
        return
    export_model(plan.weights, folder.path / "export", stage.stage, merged, config)
    if isinstance(stage.parametrisation, LowRank):
        adapter = stage.parametrisation.adapter(plan.stage, learnt)
        write_adapter(folder.path / "adapter", adapter, plan.settings.lora_rank, config, str(plan.weights))


def _on_host(tree: Any) -> Any:
    """Numpy arrays of what may lie on the devices of several processes."""
    return multihost_utils.process_allgather(tree, tiled=True) if jax.process_count() > 1 else jax.device_get(tree)


class _Run:
    """The loop and what it holds."""

    def __init__(
        self, plan: Plan, stage: Stage, dataset: Dataset, folder: RunFolder, checkpoints: Checkpoints, told: Told
    ) -> None:
        settings = plan.settings
        self._plan, self._stage, self._folder, self._checkpoints = plan, stage, folder, checkpoints
        self._devices, self._settings, self._told = plan.devices, settings, told
        trained, held_out = split(dataset, min(settings.held_out, len(dataset) // 2), settings.seed)
        place = (plan.devices.local_data, jax.process_index(), jax.process_count())
        self._feed = Feed(dataset, stage.task, trained, settings.seed, *place)
        self._held_out = Feed(dataset, stage.task, held_out, settings.seed, *place) if len(held_out) else None
        if left_out := self._feed.left_out + (self._held_out.left_out if self._held_out else 0):
            warnings.warn(f"{left_out} utterances are longer than the longest batch, and left out.", stacklevel=2)
        self._frozen = plan.devices.params(stage.frozen)
        self._key = jax.random.key(settings.seed)
        rate = plan.devices.count * product_rate(KINDS[settings.dtype], _RATE_RUNS, _LONG_ENOUGH)
        self._reporter = Reporter(folder, stage.task.unit, rate)
        self._flops: dict[Any, float] = {}  # of a micro-batch, by its shape
        self._latest: tuple[int, Any] | None = None  # the last micro-batch and the length it is padded to
        self._last_held_out = math.inf
        self._samples = self._sampler(dataset, held_out if len(held_out) else trained)

    def go(self) -> State:
        """The state after the last step."""
        state = self._start()
        settings, begun = self._settings, int(state.step)
        batches = self._feed.batches(begun * settings.accumulate)
        try:
            for step in range(begun + 1, settings.steps + 1):
                state = self._step(state, step, batches)
                if step % settings.log_every == 0 or step == settings.steps:
                    self._report(state, step)
                if step % settings.evaluate_every == 0 or step == settings.steps:
                    self._evaluate(state, step)
                if step % settings.save_every == 0 or step == settings.steps:
                    self._checkpoints.save(state, self._last_held_out)
                if self._samples is not None and step % settings.sample_every == 0:
                    self._speak(state, step)
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not cost.is_out_of_memory(error):
                raise
            raise self._too_large(state) from error
        finally:
            batches.close()
            self._reporter.close()
        return state

    def _start(self) -> State:
        state = self._stage.learner.init(self._devices.params(self._stage.learnt))
        done = self._checkpoints.steps
        if done:
            state = self._checkpoints.restore(state, done[-1])
        self._folder.forget_after(int(state.step))
        held_out = [line["held_out_loss"] for line in self._folder.metrics() if "held_out_loss" in line]
        self._last_held_out = held_out[-1] if held_out else math.inf
        return state

    def _step(self, state: State, step: int, batches: Iterator[tuple[int, Any]]) -> State:
        loaded = [next(batches) for _ in range(self._settings.accumulate)]
        self._latest = max(loaded, key=lambda batch: _positions(*batch))
        key = jax.random.fold_in(self._key, step)
        placed = [self._devices.rows(batch) for _, batch in loaded]
        state, figures = self._stage.learner.step(state, self._frozen, placed, key)
        # After the step was begun: what is counted for the first time is counted while the device works.
        flops = sum(self._count(state, batch) for batch in placed)
        self._reporter.add(figures, sum(_positions(*batch) for batch in loaded), flops)
        return state

    def _count(self, state: State, batch: Any) -> float:
        """FLOPs of a micro-batch; nan where they are not known."""
        shape = cost.shape_of(batch)
        if shape not in self._flops:
            found = cost.flops(self._stage.learner.lower(state, self._frozen, batch, self._key))
            if found is None:
                return math.nan
            self._flops[shape] = found
        return self._flops[shape]

    def _too_large(self, state: State) -> CosyError:
        """What is said when the memory does not suffice."""
        settings, task = self._settings, self._stage.task
        remat = self._plan.stage in _REMAT and not settings.remat
        if self._latest is None:
            return cost.too_large(task.unit, task.budget, settings.batch_seconds / 2, remat)
        size, batch = self._latest
        positions = _positions(size, batch)
        if positions <= size * self._devices.data:
            return cost.too_large(task.unit, positions, None, remat)
        programs = self._stage.learner.lower(state, self._frozen, self._devices.rows(batch), self._key)
        share = cost.fitting_share(programs, (state, self._frozen), settings.accumulate)
        seconds = settings.batch_seconds * share * positions / (task.budget * self._devices.data)
        return cost.too_large(task.unit, positions, seconds, remat)

    def _report(self, state: State, step: int) -> None:
        figures = self._reporter.means()
        skipped, in_a_row = int(state.skipped), int(state.in_a_row)
        self._reporter.write(step, figures | {"skipped": skipped})
        self._told(step, figures)
        if in_a_row >= _MOST_SKIPPED:
            raise CosyError(
                f"The gradients of {in_a_row} steps in a row, up to step {step}, were not finite: lower the learning "
                "rate, or look for damaged recordings."
            )

    def _sampler(self, dataset: Dataset, indices: np.ndarray) -> Samples | None:
        if not self._settings.sample_every:
            return None
        if self._plan.stage not in SPEAKING:
            raise CosyError("Only llm, flow and vocoder can be heard: set sample_every=0.", "sample_every")
        text, folder = self._settings.sample_text, self._folder.path / "samples"
        return Samples(self._plan.weights, dataset, int(indices[0]), text, folder)

    def _speak(self, state: State, step: int) -> None:
        assert self._samples is not None
        params = self._stage.parametrisation.merge(self._stage.learner.current(state), self._frozen)
        if reason := self._samples.speak(step, self._plan.stage, params):
            self._folder.add({"step": step, "sample": reason})

    def _evaluate(self, state: State, step: int) -> None:
        """Over the held-out utterances, always in the same batches with the same draws."""
        if self._held_out is None:
            return
        added: Totals | None = None
        for number, (_, batch) in enumerate(self._held_out.once()):
            key = jax.random.fold_in(jax.random.key(self._settings.seed + 1), number)
            found = self._stage.learner.evaluate(state, self._frozen, self._devices.rows(batch), key)
            added = found if added is None else jax.tree.map(np.add, added, found)
        assert added is not None
        figures = {f"held_out_{name}": float(value) for name, value in added.means().items()}
        self._last_held_out = figures["held_out_loss"]
        self._reporter.write(step, figures)
        self._reporter.draw()
        self._told(step, figures)


def _positions(size: int, batch: Any) -> int:
    """Rows times length, padding counted."""
    return size * len(jax.tree.leaves(batch)[0])


def _check_encoders(plan: Plan, dataset: Dataset) -> None:
    if plan.stage in _ENCODED and dataset.encoders and dataset.encoders != encoders_digest(plan.weights):
        raise CosyError(
            f"The data in {plan.data} were made with other prompt encoders than those of {plan.weights}: let "
            "`cosy-jax dataset build` make them again with these weights."
        )


def _describe(plan: Plan, dataset: Dataset) -> dict[str, Any]:
    """What makes a run the same run."""
    keys = hashlib.sha256("\n".join(dataset.keys).encode()).hexdigest()
    return {
        "stage": plan.stage,
        "from_scratch": plan.from_scratch,
        "weights": str(plan.weights.resolve()),
        "weights_digest": read_digest(plan.weights / "config.json"),
        "data": str(plan.data.resolve()),
        "data_digest": keys,
        "settings": asdict(plan.settings),
    }
