"""Recordings to speech tokens and speaker embeddings, many at a time.

N speech tokens, S samples, T frames, M bands.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cosy_jax.audio.read import MAX_SECONDS, MIN_RATE, Waveform, audio_format, decode_audio
from cosy_jax.audio.resample import resample
from cosy_jax.audio.usable import load_speech
from cosy_jax.batch.grouping import Grouping
from cosy_jax.checkpoint.integrity import load_tokenizer, open_folder
from cosy_jax.checkpoint.parameters import Parameters
from cosy_jax.checkpoint.reader import encoders_digest
from cosy_jax.config import ModelConfig
from cosy_jax.dataset.items import Item, LeftOut, Reason, UnusableError
from cosy_jax.dataset.prefetch import prefetch
from cosy_jax.dataset.read import peak_limited
from cosy_jax.errors import CosyError
from cosy_jax.nn.backend import host_cores
from cosy_jax.nn.buckets import TOKENIZER_FRAMES
from cosy_jax.nn.devices import ONE_DEVICE
from cosy_jax.nn.precision import FLOAT32
from cosy_jax.prompt.encode import MIN_SECONDS, batch_speaker_embeddings, batch_speech_tokens, speaker_features
from cosy_jax.prompt.features import RATE, whisper_log_mel

_ROWS = 16  # that are computed together
_CHUNK = 32  # utterances that are read at a time, by all cores
_FRAMES_A_SECOND = 100
_LEAST_TEXT, _MOST_TEXT = 0.0005, 1.0  # text tokens a frame of 10 ms


@dataclass(frozen=True)
class Bounds:
    """What is taken; the reference's bounds, but for its 60 s: the speech tokenizer knows no more than 30.

    Reference: examples/libritts/cosyvoice3/conf/cosyvoice3.yaml, filter.
    """

    min_seconds: float = 1.0
    max_seconds: float = MAX_SECONDS
    max_text_tokens: int = 200

    def __post_init__(self) -> None:
        if not MIN_SECONDS <= self.min_seconds <= self.max_seconds <= MAX_SECONDS:
            raise CosyError(
                f"Recordings of {self.min_seconds:g} to {self.max_seconds:g} s cannot be asked for: stay within "
                f"{MIN_SECONDS:g} and {MAX_SECONDS:g} s.",
                "min_seconds",
                "max_seconds",
            )
        if self.max_text_tokens < 1:
            raise CosyError("Texts of no token cannot be asked for: allow 1 or more.", "max_text_tokens")

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


@dataclass(frozen=True)
class Encoded:
    """What was computed of an utterance."""

    index: int  # of its item
    digest: str  # SHA-256 of its recording's file
    speech_tokens: np.ndarray  # int32 (N,)
    embedding: np.ndarray  # float32 (192,)
    rejected_tokens: np.ndarray | None  # int32 (N',)


@dataclass
class _Features:
    """An utterance on its way; what is computed is added to it."""

    index: int
    digest: str
    log_mel: np.ndarray  # float32 (4 N, 128)
    fbank: np.ndarray  # float32 (T, 80), without its mean
    rejected_mel: np.ndarray | None
    found: dict[str, np.ndarray] = field(default_factory=dict)


class Encoders:
    """A model's prompt encoders and text tokenizer, with what is taken."""

    def __init__(self, weights: str | Path, bounds: Bounds) -> None:
        """CosyError where the folder of weights lacks one of them."""
        folder = Path(weights)
        self.config: ModelConfig = open_folder(folder)
        self.digest = encoders_digest(folder)
        self.bounds = bounds
        self._tokenizer = load_tokenizer(folder, self.config)
        self._params = Parameters(folder, self.config, "llm", FLOAT32, ONE_DEVICE)

    def encode(self, items: Sequence[Item], advance: Callable[[int], None]) -> tuple[list[Encoded], list[LeftOut]]:
        """Each item's tokens and embedding, or why it is left out, both in the items' order; `advance` is told
        how many were looked at. What is computed with what depends on the items alone."""
        kept: list[_Features] = []
        left_out: list[LeftOut] = []
        tokens, rejected = Grouping[_Features](_ROWS), Grouping[_Features](_ROWS)
        for count, found in enumerate(self._features(items), 1):
            advance(count)
            if isinstance(found, LeftOut):
                left_out.append(found)
                continue
            kept.append(found)
            for batch in tokens.add(_frames(found.log_mel), found):
                self._compute(batch)
            if found.rejected_mel is not None:
                for batch in rejected.add(_frames(found.rejected_mel), found):
                    self._compute_rejected(batch)
        for batch in tokens.rest():
            self._compute(batch)
        for batch in rejected.rest():
            self._compute_rejected(batch)
        return [self._encoded(items[row.index], row) for row in kept], left_out

    def _encoded(self, item: Item, row: _Features) -> Encoded:
        rejected = row.found.get("rejected")
        if item.rejected_tokens is not None:
            rejected = np.asarray(item.rejected_tokens, np.int32)
        return Encoded(row.index, row.digest, row.found["tokens"], row.found["embedding"], rejected)

    def _compute(self, batch: list[_Features]) -> None:
        tokens = batch_speech_tokens([row.log_mel for row in batch], self._params["speech_tokenizer"], self.config)
        fbanks = [row.fbank for row in batch]
        embeddings = batch_speaker_embeddings(fbanks, self._params["speaker_encoder"], self.config)
        for row, ids, embedding in zip(batch, tokens, embeddings, strict=True):
            row.found |= {"tokens": ids, "embedding": embedding}
            row.log_mel = row.fbank = row.log_mel[:0]  # the memory

    def _compute_rejected(self, batch: list[_Features]) -> None:
        mels = [row.rejected_mel for row in batch if row.rejected_mel is not None]
        tokens = batch_speech_tokens(mels, self._params["speech_tokenizer"], self.config)
        for row, ids in zip(batch, tokens, strict=True):
            row.found["rejected"], row.rejected_mel = ids, None

    def _features(self, items: Sequence[Item]) -> Iterator[_Features | LeftOut]:
        numbers = range(len(items))
        chunks = ((numbers[n : n + _CHUNK], items[n : n + _CHUNK]) for n in numbers[::_CHUNK])
        with (
            ThreadPoolExecutor(host_cores()) as pool,
            closing(prefetch(lambda chunk: list(pool.map(self._read, *chunk)), chunks)) as read,
        ):
            for found in read:
                yield from found

    def _read(self, index: int, item: Item) -> _Features | LeftOut:
        try:
            return self._examined(index, item)
        except UnusableError as error:
            return LeftOut(item.place, item.key, error.reason, str(error))

    def _examined(self, index: int, item: Item) -> _Features:
        letters = len(self._tokenizer.encode(item.text))
        if letters > self.bounds.max_text_tokens:
            raise UnusableError(
                Reason.LONG_TEXT, f"The text has {letters} tokens, more than {self.bounds.max_text_tokens}: split it."
            )
        content = _content(item.read)
        samples, rate = usable_recording(content, self.bounds)
        share = letters / (len(samples) / rate * _FRAMES_A_SECOND)
        if not _LEAST_TEXT <= share <= _MOST_TEXT:
            raise UnusableError(
                Reason.MISMATCH,
                f"The text has {letters} tokens, the recording {len(samples) / rate:.1f} s: give what is said in it.",
            )
        return _Features(
            index,
            hashlib.sha256(content).hexdigest(),
            training_log_mel(samples, rate, self.config),
            speaker_features(resample(samples, rate, RATE), self.config),
            self._rejected_mel(item),
        )

    def _rejected_mel(self, item: Item) -> np.ndarray | None:
        """Of a rejected recording; UnusableError where it, or rejected tokens, cannot be used."""
        if max(item.rejected_tokens or [0]) >= self.config.flow.token_vocab_size:
            raise UnusableError(Reason.REJECTED, "The rejected tokens are of another tokenizer: leave them out.")
        if item.read_rejected is None:
            return None
        try:
            return training_log_mel(*usable_recording(_content(item.read_rejected), self.bounds), self.config)
        except UnusableError as error:
            raise UnusableError(Reason.REJECTED, f"Of the rejected recording: {error}") from error


def usable_recording(content: bytes, bounds: Bounds) -> Waveform:
    """An audio file's samples float32 (S,) and their rate in Hz; UnusableError where it is not to be trained with."""
    try:
        frames, rate = audio_format(content)
        if rate < MIN_RATE:
            raise UnusableError(
                Reason.LOW_RATE,
                f"The recording has a sample rate of {rate} Hz: use one of {MIN_RATE} Hz or more.",
            )
        if frames <= bounds.max_seconds * rate:
            samples, rate = decode_audio(content, max_seconds=None)
            frames = len(samples)
    except UnusableError:
        raise
    except CosyError as error:
        raise UnusableError(Reason.UNREADABLE, str(error)) from error
    if frames > bounds.max_seconds * rate:
        raise UnusableError(
            Reason.LONG, f"The recording is {frames / rate:.1f} s long: cut it to {bounds.max_seconds:g} s or less."
        )
    if frames < bounds.min_seconds * rate:
        raise UnusableError(
            Reason.SHORT, f"The recording is {frames / rate:.2f} s long: {bounds.min_seconds:g} s are needed."
        )
    try:
        return load_speech((samples, rate), "The recording", 0.0)
    except CosyError as error:
        raise UnusableError(Reason.SILENT, str(error)) from error


def training_log_mel(samples: np.ndarray, rate: int, config: ModelConfig) -> np.ndarray:
    """Whisper log-mel float32 (4 N, 128) of a recording float (S,), as it is padded for training: to whole tokens.

    So each of the N tokens has its two mel frames; tokens of the recording as it is are one too few for a quarter of
    all lengths. Reference: cosyvoice/dataset/processor.py, compute_fbank and compute_whisper_fbank.
    """
    wav = peak_limited(samples, rate, config.sample_rate)
    step = config.prompt_mel.hop * config.flow.token_mel_ratio
    padded = np.pad(wav, (0, -len(wav) % step))
    return whisper_log_mel(resample(padded, config.sample_rate, RATE), config.speech_tokenizer.mel_bands)


def _content(read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except OSError as error:
        raise UnusableError(Reason.UNREADABLE, f"Cannot read {error.filename}: {error.strerror}.") from error
    except CosyError as error:
        raise UnusableError(Reason.UNREADABLE, str(error)) from error


def _frames(features: np.ndarray) -> int:
    """The bucket of features (T, M)."""
    return -(-len(features) // TOKENIZER_FRAMES)
