"""The stages by the names that people read: in progress bars, reports and results."""

from enum import StrEnum


class Stage(StrEnum):
    """A stage on the way from a request to a file."""

    PROMPT = "prompt"
    SPEECH_TOKENS = "speech tokens"
    LANGUAGE_MODEL = "language model"
    FLOW = "flow"
    VOCODER = "vocoder"
    WRITE = "write"
