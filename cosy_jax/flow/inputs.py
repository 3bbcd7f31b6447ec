"""One utterance as the flow's padded inputs."""

import jax.numpy as jnp
import numpy as np

from cosy_jax import buckets
from cosy_jax.config import FlowConfig
from cosy_jax.flow.cfm import FlowInputs
from cosy_jax.noise import flow_noise
from cosy_jax.prompt.prompt import Prompt


def utterance(tokens: np.ndarray, prompt: Prompt, config: FlowConfig) -> FlowInputs:
    """A batch of one from speech tokens int (L,), the prompt's first, padded to a bucket.

    CosyError where they are more than the reference's noise covers (300 s).
    """
    size = buckets.bucket(len(tokens), buckets.SPEECH_TOKENS, "The prompt with the speech")
    frames = config.token_mel_ratio * size
    return FlowInputs(
        tokens=jnp.asarray(np.pad(tokens, (0, size - len(tokens))).astype(np.int32))[None],
        lengths=jnp.asarray([len(tokens)]),
        prompt_mel=jnp.asarray(np.pad(prompt.mel, ((0, frames - len(prompt.mel)), (0, 0))))[None],
        prompt_frames=jnp.asarray([len(prompt.mel)]),
        speaker=jnp.asarray(prompt.speaker_embedding)[None],
        noise=jnp.asarray(flow_noise(frames)),
    )
