"""The language model against its dump: prompt, logits of both paths, greedy and replayed sampled ids."""

import functools
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

from cosy_jax.config import LLMConfig
from cosy_jax.llm.qwen2 import Cache, init_cache
from cosy_jax.llm.sampling import Noise, mask_stop_ids, ras_sample
from cosy_jax.llm.speech_lm import SpeechLM, prompt_row
from cosy_jax.parity.check import Check, equal, within
from cosy_jax.precision import Precision
from cosy_jax.synthesis import Synthesizer

_LOGIT_LIMIT = 1e-4
_REFERENCE_MIN_LENGTH = 8  # of the recorded sampled run


@dataclass
class CachedDecoder:
    """One prompt, prefilled, and the ids decoded after it one by one."""

    synthesizer: Synthesizer
    ids: np.ndarray
    is_text: np.ndarray
    steps: int

    def __post_init__(self) -> None:
        config, precision = self.synthesizer.config.llm, self.synthesizer.precision
        length = len(self.ids)
        cache = init_cache(config, 1, length + self.steps, precision)
        prompt = (jnp.asarray(self.ids)[None], jnp.asarray(self.is_text)[None], jnp.asarray([length]), cache)
        self._run = functools.partial(_apply, self.synthesizer.params("llm"), config=config, precision=precision)
        self.logits, self._cache = self._run(*prompt, method="prefill")
        self._position = length

    def push(self, token: int) -> None:
        """Decode one more id; `logits` (1, V) are then those of the next."""
        ids, position = jnp.asarray([token]), jnp.asarray([self._position])
        self.logits, self._cache = self._run(ids, position, self._cache, method="step")
        self._position += 1


@functools.partial(jax.jit, static_argnames=("config", "precision", "method"))
def _apply(
    params: dict, *args: jax.Array | Cache, config: LLMConfig, precision: Precision, method: str
) -> tuple[jax.Array, Cache]:
    return SpeechLM(config, precision).apply({"params": params}, *args, method=method)


def check_llm(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """Every tensor of the language model's dump."""
    dump = load_file(path)
    config = synthesizer.config.llm
    text = [*dump["prompt_text"].tolist(), *dump["tts_text"].tolist()]
    row = prompt_row(text, dump["prompt_speech_token"], config)
    params = synthesizer.params("llm")
    ids, is_text = jnp.asarray(row.ids)[None], jnp.asarray(row.is_text)[None]
    embedded = SpeechLM(config).apply({"params": params}, ids, is_text, method="embed")
    checks = [within("lm_input", np.asarray(embedded), dump["lm_input"], 1e-5)]

    if "forced_logits" in dump:
        forced = np.concatenate([row.ids, dump["greedy_tokens"].astype(np.int32)])
        flags = np.concatenate([row.is_text, np.zeros(len(dump["greedy_tokens"]), bool)])
        cache = init_cache(config, 1, len(forced), synthesizer.precision)
        logits, _ = _apply(
            params, jnp.asarray(forced)[None], jnp.asarray(flags)[None], cache,
            config=config, precision=synthesizer.precision, method="__call__",
        )  # fmt: skip
        checks.append(within("logits, prefill", np.asarray(logits), dump["forced_logits"], _LOGIT_LIMIT))

    def decoder(steps: int) -> CachedDecoder:
        return CachedDecoder(synthesizer, row.ids, row.is_text, steps)

    return (
        checks
        + _check_greedy(decoder(len(dump["greedy_tokens"])), dump, config)
        + _check_sampled(decoder(len(dump["sampled_tokens"])), dump, synthesizer)
    )


def _check_greedy(decoder: CachedDecoder, dump: dict[str, np.ndarray], config: LLMConfig) -> list[Check]:
    """arg max over the speech ids only, as the dump's note says."""
    ours, logits = [], []
    for _ in dump["greedy_tokens"]:
        logits.append(np.asarray(decoder.logits[0]))
        ours.append(int(np.argmax(logits[-1][: config.speech_token_size])))
        decoder.push(ours[-1])
    return [
        equal("greedy ids", np.asarray(ours), dump["greedy_tokens"]),
        within("logits, cached decode", np.stack(logits), dump["greedy_logits"], _LOGIT_LIMIT),
    ]


def _check_sampled(decoder: CachedDecoder, dump: dict[str, np.ndarray], synthesizer: Synthesizer) -> list[Check]:
    """The recorded run, drawn again from our logits and the recorded Exp(1) noise."""
    config, sampling = synthesizer.config.llm, synthesizer.config.sampling
    recent = jnp.full((1, sampling.window), -1)
    full_noise = iter(dump["noise_full"])
    ours, fallbacks = [], []
    for step, fell_back in enumerate(dump["fallback"]):
        full = next(full_noise) if fell_back else np.ones(config.speech_vocab_size, np.float32)
        noise = Noise(jnp.asarray(dump["noise_nucleus"][step])[None], jnp.asarray(full)[None])
        too_short = jnp.asarray([step < _REFERENCE_MIN_LENGTH])
        logits = mask_stop_ids(decoder.logits, too_short, config, reference_slip=True)
        drawn, second = ras_sample(logits, recent, noise, sampling)
        recent = jnp.concatenate([recent[:, 1:], drawn[:, None]], axis=1)
        ours.append(int(drawn[0]))
        fallbacks.append(bool(second[0]))
        decoder.push(ours[-1])
    return [
        equal("replayed sampled ids", np.asarray(ours), dump["sampled_tokens"]),
        equal("repetition fallbacks", np.asarray(fallbacks), dump["fallback"]),
    ]
