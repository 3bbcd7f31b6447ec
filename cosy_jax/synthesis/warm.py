"""All programs that one utterance can need, made and stored before it is there (`nn.programs`); nothing is spoken."""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np

from cosy_jax.llm.context import Context
from cosy_jax.llm.speech_lm import TokenRow
from cosy_jax.nn import buckets
from cosy_jax.nn.programs import only_made
from cosy_jax.prompt.encode import Prompt, batch_speaker_embeddings, batch_speech_tokens
from cosy_jax.synthesis.stage import Stage
from cosy_jax.synthesis.synthesizer import Synthesizer

_FRAMES_A_SECOND = 100  # of both encoders' features
_TOKENS_AN_ID = 5  # speech tokens that an id of a text takes, about
_PREFIX = 16  # ids that stand in front of a transcript, at most

Make = Callable[[], object]


def warm(synthesizer: Synthesizer, speech: float, recording: float) -> Iterator[tuple[Stage, int, int]]:
    """Makes the programs of utterances of up to `speech` seconds in voices of up to `recording`; yields the stage, and
    how many of how many programs there are."""
    stages = {
        Stage.PROMPT: list(_encoders(synthesizer, recording)),
        Stage.LANGUAGE_MODEL: list(_language_model(synthesizer, speech, recording)),
        Stage.FLOW: list(_flow(synthesizer, speech + recording)),
        Stage.VOCODER: list(_vocoder(synthesizer, speech)),
    }
    done, of = 0, sum(map(len, stages.values()))
    for stage, makes in stages.items():
        for make in makes:
            yield stage, done, of
            with only_made():
                make()
            done += 1
        synthesizer.release(*stage.weights)


def _encoders(synthesizer: Synthesizer, seconds: float) -> Iterator[Make]:
    config, frames = synthesizer.config, int(seconds * _FRAMES_A_SECOND)
    encoders: tuple[tuple[Callable[..., object], str, int, int], ...] = (
        (batch_speech_tokens, "speech_tokenizer", config.speech_tokenizer.mel_bands, buckets.TOKENIZER_FRAMES),
        (batch_speaker_embeddings, "speaker_encoder", config.speaker_encoder.feature_bands, buckets.SPEAKER_FRAMES),
    )
    for encode, stage, bands, step in encoders:
        for length in range(step, frames + step, step):
            yield partial(_encode, synthesizer, encode, stage, np.zeros((length, bands), np.float32))


def _encode(synthesizer: Synthesizer, encode: Callable[..., object], stage: str, features: np.ndarray) -> object:
    return encode([features], synthesizer.params(stage), synthesizer.config)


def _language_model(synthesizer: Synthesizer, speech: float, recording: float) -> Iterator[Make]:
    config = synthesizer.config
    spoken, heard = (int(seconds * config.token_rate) for seconds in (speech, recording))
    text = spoken // _TOKENS_AN_ID
    longest = _PREFIX + text + heard // _TOKENS_AN_ID + heard
    for size in buckets.up_to(longest, buckets.LM_CONTEXT, "The prompt with the text"):
        row = TokenRow(np.zeros(size, np.int32), np.zeros(size, bool))
        for new in buckets.up_to(int(text * config.sampling.max_ratio), buckets.LM_NEW, "The speech"):
            context = Context(row, jax.random.key(0), 0, new)
            yield partial(synthesizer.drawn, context, synthesizer.policy())


def _flow(synthesizer: Synthesizer, seconds: float) -> Iterator[Make]:
    flow = synthesizer.config.flow
    nobody = Prompt(
        np.zeros(0, np.int32), np.zeros((0, flow.mel_bands), np.float32), np.zeros(flow.speaker_dim, np.float32)
    )
    for tokens in _lengths(synthesizer, seconds):
        yield partial(synthesizer.mel, np.zeros(tokens, np.int32), nobody)


def _vocoder(synthesizer: Synthesizer, seconds: float) -> Iterator[Make]:
    flow = synthesizer.config.flow
    for tokens in _lengths(synthesizer, seconds):
        yield partial(synthesizer.vocode, np.zeros((flow.token_mel_ratio * tokens, flow.mel_bands), np.float32))


def _lengths(synthesizer: Synthesizer, seconds: float) -> list[int]:
    return list(buckets.up_to(int(seconds * synthesizer.config.token_rate), buckets.SPEECH_TOKENS, "The speech"))
