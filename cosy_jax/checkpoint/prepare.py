"""Parameters in the form that the platform's programs want."""

from collections.abc import Callable
from functools import partial

import jax

from cosy_jax.config import ModelConfig
from cosy_jax.nn import backend
from cosy_jax.nn.stacked import stack_blocks
from cosy_jax.prompt.dense_loop import join_blocks
from cosy_jax.vocoder.blocks import join_layers

# XLA's TPU compiler takes seconds for each layer, of a stack of equal ones too: there loops run over them.
_LOOPED: dict[str, Callable[[dict, ModelConfig], dict]] = {
    "flow": lambda params, config: {**params, "dit": stack_blocks(params["dit"], config.flow.depth)},
    "speech_tokenizer": lambda params, config: stack_blocks(params, config.speech_tokenizer.num_blocks),
    "speaker_encoder": lambda params, config: join_blocks(params, config.speaker_encoder),
    "vocoder": lambda params, config: join_layers(params, config.vocoder),
}


def looped(stage: str, params: dict, config: ModelConfig) -> dict:
    """A stage's parameters with those of equal layers joined, which its programs then loop over."""
    return _LOOPED[stage](params, config) if stage in _LOOPED else params


def prepare(stage: str, params: dict, config: ModelConfig) -> dict:
    """A stage's parameters as the programs of this process's platform want them: `looped` on a TPU."""
    if backend.host_platform() != "tpu" or stage not in _LOOPED:
        return params
    # On the host: on a TPU this would be a program too, and one that takes as long to compile.
    return jax.device_put(backend.on_host(partial(looped, stage, config=config))(params))
