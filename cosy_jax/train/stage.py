"""A stage as it is trained: where it begins, what is learnt of it, from which batches."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from cosy_jax.checkpoint.integrity import load_tokenizer
from cosy_jax.checkpoint.reader import select_llm
from cosy_jax.config import ModelConfig
from cosy_jax.dataset.read import Dataset
from cosy_jax.errors import CosyError
from cosy_jax.nn.precision import get_precision
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
from cosy_jax.train.vocoder.config import AdamConfig, DiscriminatorConfig, GanConfig, LossConfig
from cosy_jax.train.vocoder.learner import GanLearner
from cosy_jax.train.vocoder.task import GanParametrisation, VocoderTask


@dataclass(frozen=True)
class Start:
    """What a stage begins from."""

    weights: Path
    config: ModelConfig
    settings: TrainSettings
    params: Tree
    dataset: Dataset


Parts = tuple[Task, Parametrisation, Learner | GanLearner]


@dataclass(frozen=True)
class Stage:
    """What the loop needs of a stage. `stage` is its name in a converted folder, which may be llm.rl."""

    stage: str
    task: Task
    parametrisation: Parametrisation
    learner: Learner | GanLearner
    learnt: Tree
    frozen: Tree

    def merged(self, learnt: Tree) -> Tree:
        """The stage's parameters with what was learnt."""
        return self.parametrisation.merge(learnt, self.frozen)


def begin(
    name: str, weights: Path, config: ModelConfig, settings: TrainSettings, from_scratch: bool, dataset: Dataset
) -> Stage:
    """A stage of a converted folder, or with `from_scratch` of its sizes alone. CosyError for settings that it has no
    use for, and what loading finds."""
    _check_settings(name, settings, from_scratch)
    stage = select_llm(weights) if name == "llm" and not from_scratch else name
    params: Any = draw_initial(stage, config, settings.seed) if from_scratch else load_initial(weights, stage, config)
    task, parametrisation, learner = _STAGES[name](Start(weights, config, settings, params, dataset))
    learnt, frozen = parametrisation.split(params, jax.random.key(settings.seed))
    return Stage(stage, task, parametrisation, learner, learnt, frozen)


def _llm(start: Start) -> Parts:
    settings = start.settings
    tokenizer = load_tokenizer(start.weights, start.config)
    task = LLMTask(start.config, tokenizer, settings, start.params if settings.dpo else None)
    return task, _weights(settings), _learner(task, _weights(settings), settings)


def _flow(start: Start) -> Parts:
    task = FlowTask(start.config, start.settings)
    return task, _weights(start.settings), _learner(task, _weights(start.settings), start.settings)


def _vocoder(start: Start) -> Parts:
    settings, default = start.settings, DiscriminatorConfig()
    scaled = tuple(max(4, round(settings.discriminator_width * width)) for width in default.period_channels)
    spectral = max(4, round(settings.discriminator_width * default.spectral_channels))
    config = GanConfig(
        start.config.vocoder,
        start.config.prompt_mel,
        DiscriminatorConfig(period_channels=scaled, spectral_channels=spectral),
        generator_adam=AdamConfig(settings.learning_rate, settings.beta1, settings.beta2, settings.clip),
        discriminator_adam=AdamConfig(
            settings.discriminator_learning_rate, settings.beta1, settings.beta2, settings.clip
        ),
        losses=LossConfig(stft=settings.stft_weight),
        fast_f0=settings.fast_f0,
    )
    learner = GanLearner(config, get_precision(settings.dtype), settings.ema, settings.alone)
    return VocoderTask(config, settings), GanParametrisation(config), learner


def _speech_tokenizer(start: Start) -> Parts:
    task = SpeechTokenizerTask(start.config, start.settings, start.dataset.label_classes)
    with_head = WithHead(task.head, start.config.speech_tokenizer.code_dim)
    return task, with_head, _learner(task, with_head, start.settings)


def _speaker_encoder(start: Start) -> Parts:
    task = SpeakerEncoderTask(start.config, start.settings, sorted(set(start.dataset.speakers)))
    with_head = WithHead(task.head, start.config.speaker_encoder.embedding_dim)
    return task, with_head, _learner(task, with_head, start.settings)


_STAGES: dict[str, Callable[[Start], Parts]] = {
    "llm": _llm,
    "flow": _flow,
    "vocoder": _vocoder,
    "speech_tokenizer": _speech_tokenizer,
    "speaker_encoder": _speaker_encoder,
}


def _learner(task: Any, parametrisation: Parametrisation, settings: TrainSettings) -> Learner:
    return Learner(task.loss, parametrisation, make_optimiser(settings), settings.ema)


def _weights(settings: TrainSettings) -> Parametrisation:
    if settings.lora_rank:
        return LowRank(settings.lora_rank, settings.lora_alpha or 2 * settings.lora_rank, settings.lora_targets)
    return Whole(settings.freeze)


def _check_settings(name: str, settings: TrainSettings, from_scratch: bool) -> None:
    if name not in _STAGES:
        raise CosyError(f"There is no stage '{name}' to train: choose one of {', '.join(_STAGES)}.")
    if settings.dpo and name != "llm":
        raise CosyError("dpo is for the language model: leave it out, or train llm.", "dpo")
    if settings.accumulate != 1 and name == "vocoder":
        raise CosyError("The vocoder learns from one batch a step: set accumulate=1.", "accumulate")
    if settings.optimiser != "adam" and name == "vocoder":
        raise CosyError("The vocoder learns by Adam alone: set optimiser=adam.", "optimiser")
    if settings.lora_rank and (from_scratch or settings.freeze):
        raise CosyError("lora_rank changes weights that are there: leave from_scratch and freeze out.", "lora_rank")
    if name not in ("llm", "flow") and (settings.lora_rank or settings.freeze):
        raise CosyError("lora_rank and freeze are for llm and flow: leave them out.", "lora_rank", "freeze")
