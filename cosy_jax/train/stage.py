"""A stage as it is trained: where it begins, what is learnt of it, from which batches."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from cosy_jax.checkpoint.integrity import load_tokenizer
from cosy_jax.checkpoint.reader import select_llm
from cosy_jax.config import ModelConfig
from cosy_jax.dataset.read import Dataset
from cosy_jax.errors import CosyError
from cosy_jax.train.flow.task import FlowTask
from cosy_jax.train.initial import draw_initial, load_initial
from cosy_jax.train.learner import Learner
from cosy_jax.train.llm.task import LLMTask
from cosy_jax.train.optimiser import make_optimiser
from cosy_jax.train.parametrisation import LowRank, Parametrisation, Tree, Whole
from cosy_jax.train.prompt.heads import WithHead
from cosy_jax.train.prompt.speaker_encoder import SpeakerEncoderTask
from cosy_jax.train.prompt.speech_tokenizer import SpeechTokenizerTask
from cosy_jax.train.settings import TrainSettings
from cosy_jax.train.task import Task

STAGES = ("llm", "flow", "speech_tokenizer", "speaker_encoder")


@dataclass(frozen=True)
class Stage:
    """What the loop needs of a stage. `stage` is its name in a converted folder, which may be llm.rl."""

    stage: str
    task: Task
    parametrisation: Parametrisation
    learner: Learner
    learnt: Tree
    frozen: Tree

    def merged(self, learnt: Tree) -> Tree:
        """The stage's parameters with what was learnt, on the host."""
        return jax.device_get(self.parametrisation.merge(learnt, self.frozen))


def begin(
    name: str, weights: Path, config: ModelConfig, settings: TrainSettings, from_scratch: bool, dataset: Dataset
) -> Stage:
    """A stage of a converted folder, or with `from_scratch` of its sizes alone. CosyError for settings that it has no
    use for, and what loading finds."""
    _check_settings(name, settings, from_scratch)
    stage = select_llm(weights) if name == "llm" and not from_scratch else name
    params: Any = draw_initial(stage, config, settings.seed) if from_scratch else load_initial(weights, stage, config)
    task, parametrisation = _task(name, weights, config, settings, params, dataset)
    learnt, frozen = parametrisation.split(params, jax.random.key(settings.seed))
    learner = Learner(task.loss, parametrisation, make_optimiser(settings), settings.ema)
    return Stage(stage, task, parametrisation, learner, learnt, frozen)


def _task(
    name: str, weights: Path, config: ModelConfig, settings: TrainSettings, params: Tree, dataset: Dataset
) -> tuple[Task, Parametrisation]:
    if name == "llm":
        tokenizer = load_tokenizer(weights, config)
        return LLMTask(config, tokenizer, settings, params if settings.dpo else None), _parametrisation(settings)
    if name == "flow":
        return FlowTask(config, settings), _parametrisation(settings)
    if name == "speech_tokenizer":
        labels = SpeechTokenizerTask(config, settings, dataset.label_classes)
        return labels, WithHead(labels.head, config.speech_tokenizer.code_dim)
    speakers = SpeakerEncoderTask(config, settings, sorted(set(dataset.speakers)))
    return speakers, WithHead(speakers.head, config.speaker_encoder.embedding_dim)


def _parametrisation(settings: TrainSettings) -> Parametrisation:
    if settings.lora_rank:
        return LowRank(settings.lora_rank, settings.lora_alpha or 2 * settings.lora_rank, settings.lora_targets)
    return Whole(settings.freeze)


def _check_settings(name: str, settings: TrainSettings, from_scratch: bool) -> None:
    if name not in STAGES:
        raise CosyError(f"There is no stage '{name}' to train: choose one of {', '.join(STAGES)}.")
    if settings.dpo and name != "llm":
        raise CosyError("dpo is for the language model: leave it out, or train llm.", "dpo")
    if settings.lora_rank and (from_scratch or settings.freeze):
        raise CosyError("lora_rank changes weights that are there: leave from_scratch and freeze out.", "lora_rank")
