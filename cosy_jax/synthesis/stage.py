"""The stages of synthesis under the names that progress, results and reports show."""

import enum


class Stage(enum.StrEnum):
    """A stage whose time is taken; it is its name."""

    PROMPT = "prompt"
    LANGUAGE_MODEL = "language model"
    SPEECH_TOKENS = "speech tokens"
    FLOW = "flow"
    VOCODER = "vocoder"
    WRITE = "write"

    @property
    def weights(self) -> tuple[str, ...]:
        """The parts of the weights that it runs."""
        return _WEIGHTS.get(self, ())


_WEIGHTS = {
    Stage.PROMPT: ("speech_tokenizer", "speaker_encoder"),
    Stage.SPEECH_TOKENS: ("speech_tokenizer",),
    Stage.LANGUAGE_MODEL: ("llm",),
    Stage.FLOW: ("flow",),
    Stage.VOCODER: ("vocoder",),
}
