"""How a run trains, as one frozen dataclass that a TOML file and the command line fill in."""

import dataclasses
import tomllib
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosy_jax.errors import CosyError

SCHEDULES = ("constant", "inverse-sqrt", "cosine")
OPTIMISERS = ("adam", "muon")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainSettings:
    """Defaults are the reference's for fine-tuning the language model and the flow."""

    steps: int = 10_000  # of the optimiser
    batch_seconds: float = 40.0  # of speech in a micro-batch, padding counted, on each device of the axis data
    accumulate: int = 2  # micro-batches a step
    optimiser: str = "adam"  # or muon, for the matrices of layers; the vocoder has adam alone
    learning_rate: float = 1e-5
    schedule: str = "constant"  # after the warm-up: constant, inverse-sqrt (of steps), cosine (to 0 at the end)
    warmup: int = 0  # steps over which the learning rate rises to its full height
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.0  # decoupled (AdamW), of matrices alone
    clip: float = 5.0  # largest norm of a step's gradient
    ema: float = 0.0  # decay of the averaged weights that are evaluated and exported; 0: the weights themselves
    dtype: str = "float32"  # of products; weights and their moments are float32
    remat: bool = False  # compute layers again in the backward pass instead of keeping what is inside them
    freeze: tuple[str, ...] = ()  # parameters that stay as they are: globs over paths such as 'text_embedding/*'
    lora_rank: int = 0  # train low-rank changes of the matrices instead of the weights
    lora_alpha: float = 0.0  # 0: twice the rank
    lora_targets: tuple[str, ...] = ("query", "key", "value", "output")
    seed: int = 0
    held_out: int = 32  # utterances
    evaluate_every: int = 500
    save_every: int = 500
    keep: int = 3  # checkpoints, the best not counted
    log_every: int = 10
    export: str = "last"  # which weights are: those of the last step, or of the "best" held-out loss
    sample_every: int = 0  # 0: no speech is made on the way
    sample_text: str = "Hello! This is how I sound now."
    dpo: bool = False  # of the language model: learn the preferred speech against the rejected
    beta: float = 0.01  # of DPO
    dropout: float = 0.1  # of the flow
    history_dropout: float = 0.0  # of the language model: share of its own speech that it is not told
    discriminator_learning_rate: float = 2e-4  # of the vocoder's training
    discriminator_width: float = 1.0  # of the reference's channels
    alone: int = 0  # steps that the vocoder learns mel and F0 before there are discriminators
    stft_weight: float = 0.0  # in these steps, of the distance of spectra in three resolutions; the mel's is 45
    fast_f0: bool = False  # of the vocoder: F0 targets by dio alone, twenty times faster than the reference's harvest
    ctc: bool = False  # of the speech tokenizer: labels are a sequence, not one a token

    def __post_init__(self) -> None:
        """CosyError, with the field's name, for what no run can have."""
        positive = ("steps", "batch_seconds", "accumulate", "learning_rate", "clip", "log_every", "save_every",
                    "evaluate_every", "keep", "discriminator_learning_rate", "discriminator_width")  # fmt: skip
        for name in positive:
            self._require(name, getattr(self, name) > 0, "more than 0")
        counted = ("warmup", "weight_decay", "lora_rank", "lora_alpha", "alone", "stft_weight", "held_out",
                   "sample_every", "seed")  # fmt: skip
        for name in counted:
            self._require(name, getattr(self, name) >= 0, "0 or more")
        for name in ("beta1", "beta2", "ema", "dropout", "history_dropout"):
            self._require(name, 0 <= getattr(self, name) < 1, "from 0 up to, not including, 1")
        # Else a run that goes on would have part of a mean's steps before it.
        self._require("save_every", self.save_every % self.log_every == 0, "a multiple of log_every")
        self._require("schedule", self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}")
        self._require("optimiser", self.optimiser in OPTIMISERS, f"one of {', '.join(OPTIMISERS)}")
        self._require("export", self.export in ("last", "best"), "last or best")
        self._require("dtype", self.dtype in PRECISIONS, f"one of {', '.join(PRECISIONS)}")

    def _require(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise CosyError(f"The setting {name} is {getattr(self, name)!r}: it must be {wanted}.", name)


def default_settings(stage: str) -> TrainSettings:
    """Where a stage's settings begin: the reference's; for the encoders, which have none, what small ones learnt."""
    if stage == "vocoder":
        return TrainSettings(learning_rate=2e-4, accumulate=1)
    if stage in ("speech_tokenizer", "speaker_encoder"):
        return TrainSettings(learning_rate=1e-3, accumulate=1)
    return TrainSettings()


def load_settings(path: str | Path | None, changes: dict[str, Any], start: TrainSettings) -> TrainSettings:
    """`start`, changed by a TOML file where one is given, then by `changes`; CosyError for settings that do not exist,
    of a wrong type or value."""
    content: dict[str, Any] = {}
    if path is not None:
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise CosyError(f"Cannot read {path}: {error.strerror}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CosyError(f"{path} is no TOML file ({error}).") from error
    return dataclasses.replace(start, **{name: _value(name, value) for name, value in (content | changes).items()})


def parse_setting(word: str) -> tuple[str, Any]:
    """NAME=VALUE as a name and the value that TOML means by it; what is no TOML is text."""
    name, _, value = word.partition("=")
    if not _:
        raise CosyError(f"'{word}' is no setting: write NAME=VALUE, such as clip=1.0.")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


def _value(name: str, value: Any) -> Any:
    kinds = typing.get_type_hints(TrainSettings)
    if name not in kinds:
        raise CosyError(f"There is no setting '{name}': see TRAINING.md for all of them.", name)
    kind = kinds[name]
    if kind is float and type(value) is int:
        return float(value)
    if typing.get_origin(kind) is tuple:
        value = [value] if isinstance(value, str) else value
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif type(value) is kind:
        return value
    wanted = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(
        kind, "a list of texts"
    )
    raise CosyError(f"The setting {name} is {value!r}: it must be {wanted}.", name)
