"""Speech made on the way, to hear what was learnt so far."""

from pathlib import Path

import numpy as np

from cosy_jax.audio.write import write_audio
from cosy_jax.dataset.read import Dataset
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.train.parametrisation import Tree

SPEAKING = ("llm", "flow", "vocoder")


class Samples:
    """Speaks one text in the voice of one utterance."""

    def __init__(self, weights: Path, dataset: Dataset, index: int, text: str, folder: Path) -> None:
        """The first utterance from `index` on that can be a voice; CosyError for a text that cannot be spoken."""
        self._synthesizer = Synthesizer(weights)
        utterance = dataset[index]
        rate = self._synthesizer.config.sample_rate
        voice = self._synthesizer.voice((utterance.samples(rate), rate), utterance.instruct + utterance.text)
        self._request, self._folder = Request(text, voice), folder

    def speak(self, step: int, stage: str, params: Tree) -> str | None:
        """Writes `step`.wav, said with these parameters of a stage; or says why it cannot be, which is no reason to end
        a run."""
        self._synthesizer.replace("llm" if stage.startswith("llm") else stage, params)
        try:
            speech = self._synthesizer.speak(self._request)
        except CosyError as error:
            return str(error)
        self._folder.mkdir(exist_ok=True)
        write_audio(self._folder / f"{step:07d}.wav", np.asarray(speech.audio), speech.sample_rate)
        return None
