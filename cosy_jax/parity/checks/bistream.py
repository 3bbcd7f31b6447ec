"""Speech for text that arrives in pieces, against the reference's interleaved decoding.

B batch, V speech vocabulary, W sampling window.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.config import LLMConfig, SamplingConfig
from cosy_jax.llm.bistream import BistreamContext, bistream_blocks
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.stream import BlockDecoder
from cosy_jax.nn.precision import FLOAT32
from cosy_jax.parity.check import Check, equal
from cosy_jax.parity.dumps import read_cases
from cosy_jax.synthesis.synthesizer import Synthesizer


@dataclass(frozen=True)
class RecordedSampler:
    """The dump's rule: the likeliest speech id, and in the draw, counted from 1, whose number is the key's seed, the
    end id; so that all cases share one program."""

    config: LLMConfig
    sampling: SamplingConfig

    def __call__(
        self, logits: jax.Array, recent: jax.Array, keys: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        likeliest = jnp.argmax(logits[:, : self.config.speech_token_size], axis=-1)
        stop = jax.random.key_data(keys)[:, -1].astype(jnp.int32)
        ids = jnp.where(step == stop - 1, self.config.eos_id, likeliest)
        return ids.astype(jnp.int32), jnp.zeros(ids.shape, bool)


def check_bistream(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """The ids of every case."""
    dump = read_cases(path)
    exact = synthesizer.precision == FLOAT32 and dump.get("dtype", "float32") == "float32"
    return [_check_case(synthesizer, name, case, exact) for name, case in dump["cases"].items()]


def _check_case(synthesizer: Synthesizer, name: str, case: dict[str, Any], exact: bool) -> Check:
    config = synthesizer.config
    speech = np.asarray(case["prompt_speech_token"], np.int32)
    context = BistreamContext(case["prompt_text"], speech, synthesizer.tokenizer.end_of_prompt_id)
    sampler = RecordedSampler(config.llm, config.sampling)
    policy = DecodePolicy(config.llm, sampler, synthesizer.precision, reference_slips=True)
    decoder = BlockDecoder(synthesizer.params("llm"), jax.random.key(case["stop_at_call"]), policy)
    blocks = bistream_blocks(decoder, case["text_pieces"], context)
    ours = [i for block in blocks for i in block]
    return equal(
        f"interleaved ids, {name.replace('_', ' ')}", np.asarray(ours), np.asarray(case["speech_tokens"]), exact
    )
