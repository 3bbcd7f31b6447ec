"""The language model against its dump: prompt, logits of both paths, greedy and replayed sampled ids."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.config import LLMConfig
from cosy_jax.llm.qwen2 import Cache, init_cache
from cosy_jax.llm.sampling import Noise, mask_stop_ids, ras_sample
from cosy_jax.llm.speech_lm import SpeechLM, TokenRow, context_row
from cosy_jax.llm.stream import Draw
from cosy_jax.nn.precision import Precision
from cosy_jax.parity.check import Check, equal, judge, within
from cosy_jax.parity.checks.recorded import is_exact
from cosy_jax.parity.dumps import read_count, read_dump, read_shape
from cosy_jax.synthesis.synthesizer import Synthesizer

_LOGIT_LIMIT = 1e-4
_MIN_LENGTH = 8  # of the recorded run, in the dumps that do not say


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
        self._run = functools.partial(apply_llm, self.synthesizer.params("llm"), config=config, precision=precision)
        self.logits, self._cache = self._run(*prompt, method="prefill")
        self._position = length

    def push(self, token: int) -> None:
        """Decode one more id; `logits` (1, V) are then those of the next."""
        ids, position = jnp.asarray([token]), jnp.asarray([self._position])
        self.logits, self._cache = self._run(ids, position, self._cache, method="step")
        self._position += 1


@functools.partial(jax.jit, static_argnames=("config", "precision", "method"))
def apply_llm(
    params: dict, *args: jax.Array | Cache, config: LLMConfig, precision: Precision, method: str
) -> tuple[jax.Array, Cache]:
    """A method of `SpeechLM`, compiled."""
    return SpeechLM(config, precision).apply({"params": params}, *args, method=method)


def check_llm(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """Every tensor of the language model's dump. Each id is drawn after the reference's own ids before it."""
    dump = read_dump(path, synthesizer.config)
    config = synthesizer.config.llm
    row = recorded_row(dump, config)
    ids, is_text = jnp.asarray(row.ids)[None], jnp.asarray(row.is_text)[None]
    exact = is_exact(synthesizer, path)
    embedded = SpeechLM(config).apply({"params": synthesizer.params("llm")}, ids, is_text, method="embed")
    checks = [judge("lm_input", np.asarray(embedded), dump["lm_input"], None, within, 1e-5, exact)]
    if "forced_logits" in dump:
        logits = forced_logits(synthesizer, row, dump["greedy_tokens"])
        checks.append(_check_logits("logits, prefill", logits, dump, "forced_logits", exact))
    return checks + _check_greedy(synthesizer, dump, exact) + _check_sampled(synthesizer, path, dump, exact)


def forced_logits(synthesizer: Synthesizer, row: TokenRow, new: np.ndarray) -> np.ndarray:
    """Logits (1, T + N, V) after every id of the prompt and of the new ids (N,), from one pass."""
    config, precision = synthesizer.config.llm, synthesizer.precision
    ids = jnp.asarray(np.concatenate([row.ids, new.astype(np.int32)]))[None]
    is_text = jnp.asarray(np.concatenate([row.is_text, np.zeros(len(new), bool)]))[None]
    cache = init_cache(config, 1, ids.shape[1], precision)
    settings = {"config": config, "precision": precision, "method": "__call__"}
    return np.asarray(apply_llm(synthesizer.params("llm"), ids, is_text, cache, **settings)[0])


def _check_logits(name: str, ours: np.ndarray, dump: Mapping[str, np.ndarray], key: str, exact: bool) -> Check:
    return judge(name, ours, dump[key], dump.get(f"{key}_f64"), within, _LOGIT_LIMIT, exact)


def _check_greedy(synthesizer: Synthesizer, dump: Mapping[str, np.ndarray], exact: bool) -> list[Check]:
    """arg max over the speech ids only, as the dump's note says."""
    config, tokens = synthesizer.config.llm, dump["greedy_tokens"]
    decoder = CachedDecoder(synthesizer, *recorded_row(dump, config), len(tokens))
    ours = []
    for token in tokens:
        ours.append(np.asarray(decoder.logits[0]))
        decoder.push(int(token))
    logits = np.stack(ours)
    return [
        equal("greedy ids", np.argmax(logits[:, : config.speech_token_size], axis=1), tokens, exact),
        _check_logits("logits, cached decode", logits, dump, "greedy_logits", exact),
    ]


def _check_sampled(synthesizer: Synthesizer, path: Path, dump: Mapping[str, np.ndarray], exact: bool) -> list[Check]:
    tokens, row = dump["sampled_tokens"], recorded_row(dump, synthesizer.config.llm)
    draws = replay(synthesizer, dump, recorded_bounds(path)[0], forced=True)
    ours, fell_back = zip(*draws, strict=True)
    checks = [
        equal("replayed sampled ids", np.asarray(ours), tokens, exact),
        equal("repetition fallbacks", np.asarray(fell_back), dump["fallback"], exact),
    ]
    if "sampled_logits" in dump:
        logits = forced_logits(synthesizer, row, tokens)[0, len(row.ids) - 1 : -1]
        checks.append(_check_logits("logits, sampled run", logits, dump, "sampled_logits", exact))
    return checks


def recorded_row(dump: Mapping[str, np.ndarray], config: LLMConfig) -> TokenRow:
    """What the reference's language model was given."""
    text = [*dump["prompt_text"].tolist(), *dump["tts_text"].tolist()]
    return context_row(text, dump["prompt_speech_token"], config)


def recorded_bounds(path: Path) -> tuple[int, int]:
    """The least and the most speech ids of a dump's sampled run; where it does not say, its number of draws is the
    most."""
    steps = read_shape(path, "sampled_tokens")[0]
    return read_count(path, "min_len", _MIN_LENGTH), read_count(path, "max_len", steps)


def replay(
    synthesizer: Synthesizer, dump: Mapping[str, np.ndarray], min_new: int, forced: bool = False
) -> Iterator[Draw]:
    """The recorded sampled run, drawn again from our logits and the recorded Exp(1) noise; as many draws as it has.

    With `forced` each draw follows the recorded ids, else our own.
    """
    config, sampling = synthesizer.config.llm, synthesizer.config.sampling
    decoder = CachedDecoder(synthesizer, *recorded_row(dump, config), len(dump["fallback"]))
    recent = jnp.full((1, sampling.window), -1)
    full_noise = iter(dump["noise_full"])
    for step, fell_back in enumerate(dump["fallback"]):
        full = next(full_noise) if fell_back else np.ones(config.speech_vocab_size, np.float32)
        noise = Noise(jnp.asarray(dump["noise_nucleus"][step])[None], jnp.asarray(full)[None])
        logits = mask_stop_ids(decoder.logits, jnp.asarray([step < min_new]), config, reference_slips=True)
        drawn, second = ras_sample(logits, recent, noise, sampling)
        yield Draw(int(drawn[0]), bool(second[0]))
        token = int(dump["sampled_tokens"][step] if forced else drawn[0])
        recent = jnp.concatenate([recent[:, 1:], jnp.asarray([[token]])], axis=1)
        decoder.push(token)
