"""Utterances as the flow's padded inputs."""

from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np

from cosy_jax.config import FlowConfig
from cosy_jax.flow.cfm import FlowInputs
from cosy_jax.nn import buckets
from cosy_jax.nn.noise import flow_noise
from cosy_jax.prompt.encode import Prompt


def utterances(
    sequences: Sequence[tuple[np.ndarray, Prompt]],
    config: FlowConfig,
    place: Callable[[jax.Array], jax.Array] = lambda array: array,
) -> FlowInputs:
    """A batch of speech tokens int (L,), the prompt's first, with their prompts, padded to the longest one's bucket.

    `place` puts an array of rows on its devices. CosyError where one is longer than the reference's noise (300 s).
    """
    size = flow_bucket(max(len(tokens) for tokens, _ in sequences))
    frames = config.token_mel_ratio * size

    def stack(arrays: Iterable[np.ndarray], length: int) -> jax.Array:
        return place(jax.device_put(np.stack([_pad(array, length) for array in arrays])))

    def count(lengths: Iterable[int]) -> jax.Array:
        return place(jax.device_put(np.asarray([*lengths], np.int32)))

    return FlowInputs(
        tokens=stack((tokens.astype(np.int32) for tokens, _ in sequences), size),
        lengths=count(len(tokens) for tokens, _ in sequences),
        prompt_mel=stack((prompt.mel for _, prompt in sequences), frames),
        prompt_frames=count(len(prompt.mel) for _, prompt in sequences),
        speaker=place(jax.device_put(np.stack([prompt.speaker_embedding for _, prompt in sequences]))),
        noise=jax.device_put(flow_noise(frames, config.mel_bands)),
    )


def flow_bucket(tokens: int) -> int:
    """The tokens, the prompt's among them, that an utterance is padded to."""
    return buckets.bucket(tokens, buckets.SPEECH_TOKENS, "The prompt with the speech")


def _pad(array: np.ndarray, length: int) -> np.ndarray:
    """(L, ...) with zeros behind it, (length, ...)."""
    return np.pad(array, [(0, length - len(array)), *[(0, 0)] * (array.ndim - 1)])
