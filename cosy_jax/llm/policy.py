"""What stays the same from draw to draw, as one value."""

from dataclasses import dataclass

from cosy_jax.config import LLMConfig, SamplingConfig
from cosy_jax.llm.qwen2 import Cache, init_cache
from cosy_jax.llm.sampling import Sampler
from cosy_jax.llm.speech_lm import SpeechLM
from cosy_jax.nn.precision import FLOAT32, Precision


@dataclass(frozen=True)
class DecodePolicy:
    """The network's sizes, how an id is drawn and in which precision; hashable, the one static argument of the
    decode loop's programs.

    `reference_slips` does as the reference does where it slips: below the minimum length it masks id 6561 only, though
    the end id is 6562, and with text that arrives it leaves the layout of the training (`bistream`).
    """

    config: LLMConfig
    sampler: Sampler
    precision: Precision = FLOAT32
    reference_slips: bool = False

    @property
    def model(self) -> SpeechLM:
        """The network, without parameters."""
        return SpeechLM(self.config, self.precision)

    @property
    def sampling(self) -> SamplingConfig:
        """The sampler's settings and the length rules."""
        return self.sampler.sampling

    def cache(self, rows: int, slots: int) -> Cache:
        """An empty key/value cache (`qwen2.init_cache`)."""
        return init_cache(self.config, rows, slots, self.precision)
