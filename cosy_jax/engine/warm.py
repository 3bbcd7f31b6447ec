"""All programs of an engine's budget, run once on nothing, so that no request waits for a compiler."""

import threading
from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np

from cosy_jax.batch.grouping import part_size
from cosy_jax.engine.device import Device
from cosy_jax.engine.limits import Budget, Limits
from cosy_jax.engine.streams import longest
from cosy_jax.flow.pages import BLANK, NOWHERE
from cosy_jax.flow.streaming import Piece
from cosy_jax.nn import buckets
from cosy_jax.prompt.encode import Prompt, batch_speaker_embeddings, batch_speech_tokens
from cosy_jax.synthesis.streaming import LARGEST
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.vocoder.streaming import VocoderStep, left_frames

_FRAMES_A_SECOND = 100  # of both encoders' features

Run = Callable[[], object]


class Warming:
    """Somebody who waits until all programs are there, while another thread runs one after the other."""

    def __init__(self, programs: Iterator[tuple[int, int]], on_program: Callable[[int, int], None]) -> None:
        self._programs, self._on_program = programs, on_program
        self._ended = threading.Event()
        self._failure: Exception | None = None

    def step(self) -> bool:
        """Runs one more; whether there was one."""
        try:
            counts = next(self._programs, None)
            if counts is not None:
                self._on_program(*counts)
                return True
            self.end()
        except Exception as error:
            self.end(error)
        return False

    def end(self, failure: Exception | None = None) -> None:
        """Lets the one who waits go on, or fail."""
        self._failure = failure
        self._ended.set()

    def wait(self) -> None:
        """Until it has ended; raises its failure."""
        self._ended.wait()
        if self._failure is not None:
            raise self._failure


def warm(
    device: Device, synthesizer: Synthesizer, budget: Budget, limits: Limits, whole: bool
) -> Iterator[tuple[int, int]]:
    """Runs every program, and yields how many of how many are there."""
    jax.random.key_data(jax.random.key(0))
    runs = [
        *_encoders(synthesizer, limits),
        *_pieces(device, synthesizer, budget, limits),
        *_windows(device, synthesizer, budget),
    ]
    if whole:
        runs += _whole(device, synthesizer, budget, limits)
    done = 0
    for done, of in device.rows.warm():
        yield done, of + len(runs)
    for count, run in enumerate(runs, done + 1):
        run()
        yield count, done + len(runs)


def _encoders(synthesizer: Synthesizer, limits: Limits) -> Iterator[Run]:
    """Of recordings: the speech tokenizer and the speaker encoder, at every length."""
    config, frames = synthesizer.config, int(limits.recording * _FRAMES_A_SECOND)

    def features(length: int, bands: int) -> list[np.ndarray]:
        return [np.zeros((length, bands), np.float32)]

    for length in range(buckets.TOKENIZER_FRAMES, frames + buckets.TOKENIZER_FRAMES, buckets.TOKENIZER_FRAMES):
        mel = features(length, config.speech_tokenizer.mel_bands)
        yield partial(batch_speech_tokens, mel, synthesizer.params("speech_tokenizer"), config)
    for length in range(buckets.SPEAKER_FRAMES, frames + buckets.SPEAKER_FRAMES, buckets.SPEAKER_FRAMES):
        fbank = features(length, config.speaker_encoder.feature_bands)
        yield partial(batch_speaker_embeddings, fbank, synthesizer.params("speaker_encoder"), config)


def _pieces(device: Device, synthesizer: Synthesizer, budget: Budget, limits: Limits) -> Iterator[Run]:
    """The flow's, for every number of rows, length of a piece and of the past."""
    config, prompt = synthesizer.config.flow, _nobody(synthesizer)
    for past in _pasts(synthesizer, limits):
        for frames in buckets.STREAM_FRAMES:
            start = past * config.chunk_frames
            until = (start + frames) // config.token_mel_ratio
            tokens = np.zeros(until, np.int32)
            piece = Piece(tokens, prompt, start, until, 0, (BLANK,) * past, (), BLANK, NOWHERE, limits.left_chunks)
            for rows in budget.piece_rows:
                yield partial(device.tracks.compute, [piece] * rows)


def _pasts(synthesizer: Synthesizer, limits: Limits) -> list[int]:
    """Pages that a piece's past is padded to: those of any voice and any speech within the limits."""
    config = synthesizer.config.flow
    tokens = longest(config, limits.recording + limits.seconds)
    chunks = config.token_mel_ratio * tokens // config.chunk_frames
    if limits.left_chunks is not None:
        chunks = min(chunks, limits.left_chunks)
    pasts = buckets.up_to(config.chunk_frames * chunks, buckets.STREAM_PAST, "The stream")
    return [frames // config.chunk_frames for frames in pasts]


def _windows(device: Device, synthesizer: Synthesizer, budget: Budget) -> Iterator[Run]:
    """The vocoder's, for every number of rows and length of its window."""
    config = synthesizer.config
    # What is held back of a piece is in the next one's window too.
    tail = left_frames(config.vocoder) + config.vocoder.f0_lookahead + config.vocoder.lookahead + 1
    longest_window = LARGEST * config.flow.chunk_frames + tail
    for frames in buckets.up_to(longest_window, buckets.STREAM_WINDOW, "A piece"):
        step = VocoderStep(device.silence(), np.zeros((frames, config.flow.mel_bands), np.float32), True)
        for rows in budget.piece_rows:
            yield partial(device.vocode, [step] * rows)


def _whole(device: Device, synthesizer: Synthesizer, budget: Budget, limits: Limits) -> Iterator[Run]:
    """Flow and vocoder of whole utterances, for every length and number of them."""
    config, prompt = synthesizer.config.flow, _nobody(synthesizer)
    most = longest(config, limits.recording + limits.seconds)
    parts = {part_size(count, budget.whole_rows) for count in range(1, budget.whole_rows + 1)}
    for tokens in buckets.up_to(most, buckets.SPEECH_TOKENS, "The speech"):
        for rows in parts:
            item = np.zeros(tokens, np.int32), prompt, 1.0
            yield partial(device.speak, [item] * rows)


def _nobody(synthesizer: Synthesizer) -> Prompt:
    flow = synthesizer.config.flow
    nothing = np.zeros((0, flow.mel_bands), np.float32)
    return Prompt(np.zeros(0, np.int32), nothing, np.ones(flow.speaker_dim, np.float32))
