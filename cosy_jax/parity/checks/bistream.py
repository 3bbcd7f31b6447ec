"""Speech for text that arrives in pieces, against the reference's interleaved decoding.

B batch, V speech vocabulary, W sampling window.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.config import LLMConfig
from cosy_jax.llm.bistream import BistreamPrompt, bistream_blocks
from cosy_jax.llm.stream import BlockDecoder
from cosy_jax.nn.precision import FLOAT32
from cosy_jax.parity.check import Check, equal
from cosy_jax.synthesis.synthesizer import Synthesizer


@dataclass(frozen=True)
class RecordedSampler:
    """The dump's rule: the likeliest speech id, and in draw number `stop_at_call`, counted from 1, the end id."""

    stop_at_call: int
    config: LLMConfig

    def __call__(
        self, logits: jax.Array, recent: jax.Array, keys: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        likeliest = jnp.argmax(logits[:, : self.config.speech_token_size], axis=-1)
        ids = jnp.where(step == self.stop_at_call - 1, self.config.eos_id, likeliest)
        return ids.astype(jnp.int32), jnp.zeros(ids.shape, bool)


def check_bistream(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """The ids of every case."""
    dump = json.loads(path.read_text(encoding="utf-8"))
    exact = synthesizer.precision == FLOAT32 and dump.get("dtype", "float32") == "float32"
    return [_check_case(synthesizer, name, case, exact) for name, case in dump["cases"].items()]


def _check_case(synthesizer: Synthesizer, name: str, case: dict[str, Any], exact: bool) -> Check:
    config = synthesizer.config
    speech = np.asarray(case["prompt_speech_token"], np.int32)
    prompt = BistreamPrompt(case["prompt_text"], speech, synthesizer.tokenizer.end_of_prompt_id)
    sampler = RecordedSampler(case["stop_at_call"], config.llm)
    decoder = BlockDecoder(synthesizer.params("llm"), jax.random.key(0), config.llm, sampler, synthesizer.precision)
    blocks = bistream_blocks(decoder, case["text_pieces"], prompt, config.sampling, reference_slips=True)
    ours = [i for block in blocks for i in block]
    return equal(
        f"interleaved ids, {name.replace('_', ' ')}", np.asarray(ours), np.asarray(case["speech_tokens"]), exact
    )
