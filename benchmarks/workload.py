"""The standard workload: 47 text ids, 125 prompt and 125 new speech tokens, 500 mel frames, 5 s of audio.

Each stage runs for `batch` equal rows at once, on parameters that the synthesizer holds already.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.llm.context import Context, ContextBatch, pad_contexts
from cosy_jax.llm.decode import advance, start
from cosy_jax.llm.qwen2 import Cache
from cosy_jax.llm.speech_lm import context_row
from cosy_jax.llm.state import DecodeState, Limits
from cosy_jax.nn.precision import Precision
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.synthesizer import Synthesizer

TEXT_IDS, PROMPT_TOKENS, NEW_TOKENS = 47, 125, 125
WORK = {"text_ids": TEXT_IDS, "prompt_tokens": PROMPT_TOKENS, "new_tokens": NEW_TOKENS}
PREFILLED = TEXT_IDS + PROMPT_TOKENS + 2  # with the ids that begin and separate
AUDIO_SECONDS = 5


def standard_prompt() -> Prompt:
    """125 random speech tokens with 250 mel frames of plausible level."""
    random = np.random.default_rng(0)
    tokens = random.integers(0, 6561, PROMPT_TOKENS).astype(np.int32)
    mel = random.normal(-6, 2, (2 * PROMPT_TOKENS, 80)).astype(np.float32)
    return Prompt(tokens, mel, random.standard_normal(192, np.float32))


def lm_inputs(synthesizer: Synthesizer, batch: int) -> tuple[Cache, ContextBatch]:
    """An empty cache and `batch` contexts, each to be followed by exactly 125 tokens."""
    row = context_row(list(range(TEXT_IDS)), standard_prompt().speech_tokens, synthesizer.config.llm)
    context = Context(row, jax.random.key(0), NEW_TOKENS, NEW_TOKENS)
    size = context.bucket()
    cache = synthesizer.policy().cache(batch, size + context.new_bucket())
    return cache, pad_contexts([context] * batch, size, batch)


def prefill(synthesizer: Synthesizer, cache: Cache, contexts: ContextBatch) -> DecodeState:
    """The contexts run into the cache, which is donated."""
    return start(synthesizer.params("llm"), cache, contexts, policy=synthesizer.policy(), bucket=NEW_TOKENS)


def decode(synthesizer: Synthesizer, state: DecodeState) -> DecodeState:
    """125 new tokens a row; the state is donated."""
    batch = len(state.done)
    lengths = jnp.full(batch, NEW_TOKENS)
    limits, keys = Limits(lengths, lengths, jnp.zeros(batch, bool)), jax.random.split(jax.random.key(0), batch)
    policy = synthesizer.policy()
    return advance(synthesizer.params("llm"), state, limits, keys, policy=policy, steps=NEW_TOKENS)


def run_llm(synthesizer: Synthesizer, batch: int) -> jax.Array:
    """Tokens (batch, 125)."""
    return decode(synthesizer, prefill(synthesizer, *lm_inputs(synthesizer, batch))).tokens


def run_flow(synthesizer: Synthesizer, batch: int) -> list[np.ndarray]:
    """Mels (250, 80) of 125 tokens behind the prompt's 125."""
    prompt = standard_prompt()
    return synthesizer.mels([(prompt.speech_tokens, prompt)] * batch)


def run_vocoder(synthesizer: Synthesizer, batch: int) -> list[np.ndarray]:
    """Audio (120000,) of 250 mel frames."""
    return synthesizer.vocode_all([standard_prompt().mel] * batch)


RUNS: dict[str, Callable[[Synthesizer, int], object]] = {"llm": run_llm, "flow": run_flow, "vocoder": run_vocoder}


def product_type(precision: Precision, stage: str) -> str:
    """In which type a stage takes its products: a policy's name may hold for the language model alone."""
    return {"llm": precision.name, "flow": precision.compute.name, "vocoder": "float32"}[stage]
