"""A padded or batched row equals the same row alone, in every stage.

The short row of each batch is the one compared: it carries the most padding.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

from cosy_jax.flow.cfm import FlowInputs, solve
from cosy_jax.llm.context import ContextBatch
from cosy_jax.llm.decode import generate
from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.llm.speech_lm import context_row
from cosy_jax.nn.noise import flow_noise, vocoder_noise
from cosy_jax.nn.precision import FLOAT32
from cosy_jax.parity.check import Check, equal, within_scale
from cosy_jax.parity.checks.llm import apply_llm
from cosy_jax.prompt.speaker_encoder import embed_speaker
from cosy_jax.prompt.speech_tokenizer import encode_speech
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.vocoder.vocode import vocode

_LIMIT = 1e-5  # of full scale


def check_padding(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """All stages, on the inputs of a flow dump and on random features."""
    dump = load_file(path)
    return [
        *_check_llm(synthesizer),
        _check_flow(synthesizer, dump),
        _check_vocoder(synthesizer, dump["mel"].transpose(0, 2, 1)),
        *_check_encoders(synthesizer),
    ]


def _pad_rows(rows: list[np.ndarray], size: int) -> np.ndarray:
    return np.stack([np.pad(row, [(0, size - len(row))] + [(0, 0)] * (row.ndim - 1)) for row in rows])


def _check_llm(synthesizer: Synthesizer) -> list[Check]:
    config, precision = synthesizer.config.llm, synthesizer.precision
    random = np.random.default_rng(0)
    lengths = (11, 40)
    rows = [context_row(list(range(n)), random.integers(0, config.speech_token_size, n), config) for n in lengths]
    params = synthesizer.params("llm")

    def prompts(chosen: list[int], size: int) -> ContextBatch:
        return ContextBatch(
            ids=jnp.asarray(_pad_rows([rows[i].ids for i in chosen], size)),
            is_text=jnp.asarray(_pad_rows([rows[i].is_text for i in chosen], size)),
            lengths=jnp.asarray([len(rows[i].ids) for i in chosen]),
            min_new=jnp.full(len(chosen), 20),
            max_new=jnp.full(len(chosen), 20),
        )

    def logits(prompt: ContextBatch) -> np.ndarray:
        batch, size = prompt.ids.shape
        cache = init_cache(config, batch, size, precision)
        arguments = (prompt.ids, prompt.is_text, prompt.lengths, cache)
        return np.asarray(apply_llm(params, *arguments, config=config, precision=precision, method="prefill")[0])

    def tokens(prompt: ContextBatch, seeds: list[int]) -> np.ndarray:
        batch, size = prompt.ids.shape
        cache = init_cache(config, batch, size + 32, precision)
        keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
        state = generate(params, cache, prompt, keys, policy=synthesizer.policy(), bucket=32)
        return np.asarray(state.tokens)

    alone, batch = prompts([0], len(rows[0].ids)), prompts([1, 0], 128)
    return [
        within_scale("language model logits, padded and batched", logits(batch)[1], logits(alone)[0], _LIMIT),
        equal("sampled ids, padded and batched", tokens(batch, [5, 7])[1], tokens(alone, [7])[0], precision == FLOAT32),
    ]


def _check_flow(synthesizer: Synthesizer, dump: dict[str, np.ndarray]) -> Check:
    config = synthesizer.config.flow
    prompt_tokens, prompt_mel = dump["prompt_token"][0], dump["prompt_feat"][0]
    long = np.concatenate([prompt_tokens, dump["token"][0]]).astype(np.int32)
    rows = [long, long[: len(prompt_tokens) + 9]]
    ratio = config.token_mel_ratio

    def mel(chosen: list[np.ndarray], size: int) -> np.ndarray:
        inputs = FlowInputs(
            tokens=jnp.asarray(_pad_rows(chosen, size)),
            lengths=jnp.asarray([len(row) for row in chosen]),
            prompt_mel=jnp.asarray(_pad_rows([prompt_mel] * len(chosen), ratio * size)),
            prompt_frames=jnp.full(len(chosen), len(prompt_mel)),
            speaker=jnp.repeat(jnp.asarray(dump["embedding"]), len(chosen), axis=0),
            noise=jnp.asarray(flow_noise(ratio * size)),
        )
        return np.asarray(solve(synthesizer.params("flow"), inputs, config=config, precision=synthesizer.precision)[0])

    frames = ratio * len(rows[1])
    batch, alone = mel(rows, len(long) + 30)[1, :frames], mel(rows[1:], len(rows[1]))[0]
    return within_scale("mel, padded and batched", batch, alone, _LIMIT)


def _check_vocoder(synthesizer: Synthesizer, mel: np.ndarray) -> Check:
    config = synthesizer.config.vocoder
    short = mel[:, : mel.shape[1] // 2]

    def audio(rows: np.ndarray, frames: list[int]) -> np.ndarray:
        noise = jnp.asarray(vocoder_noise(synthesizer.config, rows.shape[1] * config.samples_per_frame))
        return np.asarray(
            vocode(synthesizer.params("vocoder"), jnp.asarray(rows), jnp.asarray(frames), noise, config).samples
        )

    alone = audio(short, [short.shape[1]])[0]
    # Other speech, not zeros, lies right of the short row's end: nothing of it may leak in.
    batch = audio(np.concatenate([mel, mel]), [mel.shape[1], short.shape[1]])[1, : len(alone)]
    return within_scale("audio, padded and batched", batch, alone, _LIMIT)


def _check_encoders(synthesizer: Synthesizer) -> list[Check]:
    random = np.random.default_rng(1)
    tokenizer, speaker = synthesizer.config.speech_tokenizer, synthesizer.config.speaker_encoder
    lengths = (333, 214)

    def features(bands: int) -> list[np.ndarray]:
        return [random.standard_normal((n, bands), dtype=np.float32) for n in lengths]

    def tokens(rows: list[np.ndarray], size: int) -> tuple[np.ndarray, np.ndarray]:
        frames = jnp.asarray([len(row) for row in rows])
        parameters = synthesizer.params("speech_tokenizer")
        ids, counts = encode_speech(parameters, tokenizer, jnp.asarray(_pad_rows(rows, size)), frames)
        return np.asarray(ids), np.asarray(counts)

    def embedding(rows: list[np.ndarray], size: int) -> np.ndarray:
        frames = jnp.asarray([len(row) for row in rows])
        parameters = synthesizer.params("speaker_encoder")
        return np.asarray(embed_speaker(parameters, speaker, jnp.asarray(_pad_rows(rows, size)), frames))

    mels, fbanks = features(tokenizer.mel_bands), features(speaker.feature_bands)
    (batch, counts), (alone, _) = tokens(mels, 400), tokens(mels[1:], lengths[1])
    padded, single = embedding(fbanks, 400)[1], embedding(fbanks[1:], lengths[1])[0]
    return [
        equal("speech tokens, padded and batched", batch[1, : counts[1]], alone[0, : counts[1]]),
        within_scale("speaker embedding, padded and batched", padded, single, _LIMIT),
    ]
