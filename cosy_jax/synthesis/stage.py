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
