"""A padded or batched row equals the same row alone, in every stage.

The `run_*` functions take a batch of rows padded to one length (B, T, ...) and their lengths int (B,), and give what
comes out for each row; beyond a row's end may lie anything. The short row of each batch here is the one compared: it
carries the most padding.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.config import FlowConfig, ModelConfig, SpeakerEncoderConfig, SpeechTokenizerConfig
from cosy_jax.flow.cfm import FlowInputs, solve
from cosy_jax.llm.context import ContextBatch
from cosy_jax.llm.decode import advance, start
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.speech_lm import TokenRow, context_row
from cosy_jax.llm.state import Limits
from cosy_jax.nn.noise import flow_noise, vocoder_noise
from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.parity.check import Check, equal, within_scale
from cosy_jax.parity.dumps import read_dump
from cosy_jax.prompt.speaker_encoder import embed_speaker
from cosy_jax.prompt.speech_tokenizer import encode_speech
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.vocoder.vocode import vocode

LIMIT = 1e-5  # of full scale
_NEW = 20  # speech ids drawn


class Spoken(NamedTuple):
    """What the language model gives: logits after the context (B, V), ids (B, N), how many, and repeated draws (B,)."""

    logits: np.ndarray
    ids: np.ndarray
    lengths: np.ndarray
    fallbacks: np.ndarray


def run_llm(params: dict, policy: DecodePolicy, contexts: ContextBatch, seeds: np.ndarray, new: int) -> Spoken:
    """Contexts, one seed each (B,), and `new` draws."""
    rows, size = contexts.ids.shape
    state = start(params, policy.cache(rows, size + new), contexts, policy=policy, bucket=new)
    logits = np.asarray(state.logits)
    limits = Limits(contexts.min_new, contexts.max_new, jnp.zeros(rows, bool))
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
    state = advance(params, state, limits, keys, policy=policy, steps=new)
    return Spoken(logits, *map(np.asarray, (state.tokens, state.lengths, state.fallbacks)))


class Solved(NamedTuple):
    """What the flow gives: frames (B,), condition and mel, each (B, T, M)."""

    frames: np.ndarray
    mu: np.ndarray
    mel: np.ndarray


def run_flow(
    params: dict, config: FlowConfig, rows: dict[str, np.ndarray], precision: Precision = FLOAT32, **options: bool
) -> Solved:
    """`rows` are the fields of `FlowInputs` but the noise; `options` those of `solve`."""
    frames = config.token_mel_ratio * rows["tokens"].shape[1]
    inputs = FlowInputs(**jax.tree.map(jnp.asarray, rows), noise=jnp.asarray(flow_noise(frames, config.mel_bands)))
    mel, condition, _ = solve(params, inputs, config=config, precision=precision, **options)
    return Solved(*map(np.asarray, (condition.frames, condition.mu, mel)))


def run_vocoder(
    params: dict, config: ModelConfig, mel: np.ndarray, frames: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How many samples each row has (B,), and the samples (B, S)."""
    noise = vocoder_noise(config, mel.shape[1] * config.vocoder.samples_per_frame)
    audio = vocode(params, jnp.asarray(mel), jnp.asarray(frames), jnp.asarray(noise), config.vocoder)
    return np.asarray(audio.lengths), np.asarray(audio.samples)


def run_speech_tokenizer(
    params: dict, config: SpeechTokenizerConfig, mel: np.ndarray, frames: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How many tokens each row has (B,), and the tokens (B, L)."""
    ids, lengths = encode_speech(params, config, jnp.asarray(mel), jnp.asarray(frames))
    return np.asarray(lengths), np.asarray(ids)


def run_speaker_encoder(
    params: dict, config: SpeakerEncoderConfig, fbank: np.ndarray, frames: np.ndarray
) -> np.ndarray:
    """Embeddings (B, 192)."""
    return np.asarray(embed_speaker(params, config, jnp.asarray(fbank), jnp.asarray(frames)))


def check_padding(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """All stages, on the inputs of a flow dump and on random features."""
    dump = read_dump(path, synthesizer.config)
    return [
        *_check_llm(synthesizer),
        _check_flow(synthesizer, dump),
        _check_vocoder(synthesizer, dump["mel"].transpose(0, 2, 1)),
        *_check_encoders(synthesizer),
    ]


def _padded(rows: Sequence[np.ndarray], size: int) -> np.ndarray:
    return np.stack([np.pad(row, [(0, size - len(row))] + [(0, 0)] * (row.ndim - 1)) for row in rows])


def _check_llm(synthesizer: Synthesizer) -> list[Check]:
    config, random = synthesizer.config.llm, np.random.default_rng(0)
    short, long = (
        context_row(list(range(n)), random.integers(0, config.speech_token_size, n), config) for n in (11, 40)
    )

    def run(rows: Sequence[TokenRow], size: int, seeds: Sequence[int]) -> Spoken:
        ids, is_text = (_padded(part, size) for part in zip(*rows, strict=True))
        bounds = np.full(len(rows), _NEW)
        lengths = np.asarray([len(row.ids) for row in rows])
        contexts = ContextBatch(*map(jnp.asarray, (ids, is_text, lengths, bounds, bounds)))
        return run_llm(synthesizer.params("llm"), synthesizer.policy(), contexts, np.asarray(seeds), _NEW)

    alone, batch = run([short], len(short.ids), [7]), run([long, short], 128, [5, 7])
    exact = synthesizer.precision == FLOAT32
    return [
        within_scale("language model logits, padded and batched", batch.logits[1], alone.logits[0], LIMIT),
        equal("sampled ids, padded and batched", batch.ids[1], alone.ids[0], exact),
    ]


def _check_flow(synthesizer: Synthesizer, dump: dict[str, np.ndarray]) -> Check:
    config, prompt = synthesizer.config.flow, dump["prompt_feat"][0]
    long = np.concatenate([dump["prompt_token"][0], dump["token"][0]]).astype(np.int32)
    short = long[: len(dump["prompt_token"][0]) + 9]

    def mel(rows: list[np.ndarray], size: int) -> np.ndarray:
        inputs = {
            "tokens": _padded(rows, size),
            "lengths": np.asarray([len(row) for row in rows]),
            "prompt_mel": _padded([prompt] * len(rows), config.token_mel_ratio * size),
            "prompt_frames": np.full(len(rows), len(prompt)),
            "speaker": np.repeat(dump["embedding"], len(rows), axis=0),
        }
        return run_flow(synthesizer.params("flow"), config, inputs, synthesizer.precision).mel

    frames = config.token_mel_ratio * len(short)
    batch, alone = mel([long, short], len(long) + 30)[1, :frames], mel([short], len(short))[0]
    return within_scale("mel, padded and batched", batch, alone, LIMIT)


def _check_vocoder(synthesizer: Synthesizer, mel: np.ndarray) -> Check:
    short, params = mel[:, : mel.shape[1] // 2], synthesizer.params("vocoder")
    _, alone = run_vocoder(params, synthesizer.config, short, np.asarray([short.shape[1]]))
    # Other speech, not zeros, lies right of the short row's end: nothing of it may leak in.
    frames = np.asarray([mel.shape[1], short.shape[1]])
    _, batch = run_vocoder(params, synthesizer.config, np.concatenate([mel, mel]), frames)
    return within_scale("audio, padded and batched", batch[1, : alone.shape[1]], alone[0], LIMIT)


def _check_encoders(synthesizer: Synthesizer) -> list[Check]:
    config, random, frames = synthesizer.config, np.random.default_rng(1), np.asarray([333, 214])
    mels, fbanks = (
        [random.standard_normal((n, bands), dtype=np.float32) for n in frames]
        for bands in (config.speech_tokenizer.mel_bands, config.speaker_encoder.feature_bands)
    )
    tokenizer, speaker = synthesizer.params("speech_tokenizer"), synthesizer.params("speaker_encoder")
    counts, batch = run_speech_tokenizer(tokenizer, config.speech_tokenizer, _padded(mels, 400), frames)
    _, alone = run_speech_tokenizer(tokenizer, config.speech_tokenizer, mels[1][None], frames[1:])
    padded = run_speaker_encoder(speaker, config.speaker_encoder, _padded(fbanks, 400), frames)
    single = run_speaker_encoder(speaker, config.speaker_encoder, fbanks[1][None], frames[1:])
    return [
        equal("speech tokens, padded and batched", batch[1, : counts[1]], alone[0, : counts[1]]),
        within_scale("speaker embedding, padded and batched", padded[1], single[0], LIMIT),
    ]
