"""The stages by name: which module holds a stage's parameters, and their shapes.

Loading and random initialisation both ask here what a stage consists of.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from cosy_jax.checkpoint.reader import LLM_STAGES
from cosy_jax.config import ModelConfig
from cosy_jax.flow.cfm import Flow, FlowInputs
from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.llm.speech_lm import SpeechLM
from cosy_jax.nn.precision import FLOAT32
from cosy_jax.prompt.speaker_encoder import SpeakerEncoder
from cosy_jax.prompt.speech_tokenizer import SpeechTokenizer
from cosy_jax.vocoder.hift import HiFT


def _init_llm(config: ModelConfig, key: jax.Array) -> Any:
    ids = jnp.zeros((1, 2), jnp.int32)
    return SpeechLM(config.llm).init(key, ids, ids > 0, init_cache(config.llm, 1, 2, FLOAT32))


def _init_flow(config: ModelConfig, key: jax.Array) -> Any:
    flow = config.flow
    frames = 4 * flow.token_mel_ratio
    inputs = FlowInputs(
        tokens=jnp.zeros((1, 4), jnp.int32),
        lengths=jnp.full(1, 4),
        prompt_mel=jnp.zeros((1, frames, flow.mel_bands)),
        prompt_frames=jnp.zeros(1, jnp.int32),
        speaker=jnp.ones((1, flow.speaker_dim)),
        noise=jnp.zeros((frames, flow.mel_bands)),
    )
    return Flow(flow).init(key, inputs)


def _init_vocoder(config: ModelConfig, key: jax.Array) -> Any:
    return HiFT(config.vocoder).init(key, jnp.zeros((1, 4, config.vocoder.mel_bands)))


def _init_speech_tokenizer(config: ModelConfig, key: jax.Array) -> Any:
    mel = jnp.zeros((1, 16, config.speech_tokenizer.mel_bands))
    return SpeechTokenizer(config.speech_tokenizer).init(key, mel, jnp.full(1, 16))


def _init_speaker_encoder(config: ModelConfig, key: jax.Array) -> Any:
    fbank = jnp.zeros((1, 16, config.speaker_encoder.feature_bands))
    return SpeakerEncoder(config.speaker_encoder).init(key, fbank, jnp.full(1, 16))


_INITS: dict[str, Callable[[ModelConfig, jax.Array], Any]] = {
    **dict.fromkeys(LLM_STAGES, _init_llm),
    "flow": _init_flow,
    "vocoder": _init_vocoder,
    "speech_tokenizer": _init_speech_tokenizer,
    "speaker_encoder": _init_speaker_encoder,
}


def expected_shapes(stage: str, config: ModelConfig) -> dict:
    """The stage's parameters as a nested dict of `jax.ShapeDtypeStruct`; nothing is computed."""
    with jax.enable_x64(True):
        return jax.eval_shape(lambda key: _INITS[stage](config, key), jax.random.key(0))["params"]
