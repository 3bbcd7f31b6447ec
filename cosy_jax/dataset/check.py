"""What a folder of training data holds, and whether all of it can be read."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosy_jax.audio.read import audio_format
from cosy_jax.dataset.columns import open_shard
from cosy_jax.dataset.read import Dataset, Utterance, open_dataset, read_record
from cosy_jax.errors import CosyError
from cosy_jax.text.special_tokens import END_OF_PROMPT

_MEL_RATE = 50  # Hz, two frames a token


@dataclass(frozen=True)
class Contents:
    """A folder's contents."""

    utterances: int
    seconds: float  # of audio
    speakers: int
    single_speakers: int  # with one utterance
    rejected: int  # utterances with rejected tokens
    shards: int
    columns: list[str]
    longest: float  # s
    letters: int  # of all texts
    encoders: str  # digest, "" where it is not known


def check_dataset(folder: str | Path, advance: Callable[[int, int], None]) -> Contents:
    """Reads every utterance but does not decode it; `advance` is told how many of how many were read.

    CosyError as `open_dataset`, where dataset.json counts others, and for the first utterance that cannot be trained
    with.
    """
    dataset = open_dataset(folder)
    record = read_record(Path(folder))
    if record.get("utterances", len(dataset)) != len(dataset):
        raise CosyError(
            f"{folder} has {len(dataset)} utterances, dataset.json counts {record['utterances']}: copy it again."
        )
    speakers: Counter[str] = Counter()
    rejected = 0
    for index in range(len(dataset)):
        utterance = dataset[index]
        _check(utterance, dataset)
        speakers[utterance.speaker] += 1
        rejected += utterance.rejected_tokens is not None
        advance(index + 1, len(dataset))
    return Contents(
        utterances=len(dataset),
        seconds=float(dataset.seconds.sum(dtype=np.float64)),
        speakers=len(speakers),
        single_speakers=sum(count == 1 for count in speakers.values()),
        rejected=rejected,
        shards=len(dataset.shards),
        columns=open_shard(dataset.shards[0]).schema_arrow.names,
        longest=float(dataset.seconds.max()),
        letters=int(dataset.text_lengths.sum()),
        encoders=dataset.encoders,
    )


def _check(utterance: Utterance, dataset: Dataset) -> None:
    name = f"The utterance '{utterance.key}'"
    shape = dataset[0].utterance_embedding.shape
    for embedding in (utterance.utterance_embedding, utterance.speaker_embedding):
        if embedding.shape != shape or not np.isfinite(embedding).all():
            raise CosyError(f"{name} has an embedding that is damaged: build the data again.")
    if min(utterance.speech_tokens.min(), 0) < 0:
        raise CosyError(f"{name} has speech tokens below 0: build the data again.")
    if not utterance.instruct.endswith(END_OF_PROMPT):
        raise CosyError(f"{name} has an instruction without {END_OF_PROMPT} at its end: build the data again.")
    if not utterance.text.strip():
        raise CosyError(f"{name} has no text: build the data again.")
    frames, rate = audio_format(utterance.read_recording(), f"The recording of '{utterance.key}'")
    tokens = -(-frames * _MEL_RATE // (2 * rate))
    if abs(tokens - len(utterance.speech_tokens)) > 1:
        raise CosyError(
            f"{name} has {len(utterance.speech_tokens)} speech tokens, its recording {tokens}: build the data again."
        )
