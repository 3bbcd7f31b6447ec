"""A small set of utterances for the tests of training, without a file."""

import numpy as np

from cosy_jax.dataset.read import Utterance
from cosy_jax.text.check import SYSTEM_PREFIX
from tests.reference import REPOSITORY

RECORDING = (REPOSITORY / "tests" / "data" / "prompt_1.flac").read_bytes()
SECONDS = 4.3


def utterance(number, tokens=50, **changes):
    """Random ids in the place of those of the recording's first two seconds."""
    random = np.random.default_rng(number)
    fields = {
        "key": f"u{number}",
        "text": f"Sentence number {number}.",
        "instruct": SYSTEM_PREFIX,
        "speaker": f"s{number % 2}",
        "speech_tokens": random.integers(0, 6561, tokens, np.int32),
        "utterance_embedding": random.standard_normal(192, np.float32),
        "speaker_embedding": random.standard_normal(192, np.float32),
        "rejected_tokens": random.integers(0, 6561, tokens // 2, np.int32),
        "labels": random.integers(0, 5, tokens, np.int32),
        "read_recording": lambda: RECORDING,
    }
    return Utterance(**(fields | changes))


class Utterances:
    """In the place of `cosy_jax.dataset.read.Dataset`."""

    encoders = ""
    label_classes = 5

    def __init__(self, count):
        self._all = [utterance(number, 40 + 3 * number) for number in range(count)]
        self.keys = [each.key for each in self._all]
        self.speakers = [each.speaker for each in self._all]
        self.token_counts = np.asarray([len(each.speech_tokens) for each in self._all], np.int32)
        self.rejected_counts = np.asarray([len(each.rejected_tokens) for each in self._all], np.int32)

    def __len__(self):
        return len(self._all)

    def __getitem__(self, index):
        return self._all[index]

    def texts(self):
        return ((each.instruct, each.text) for each in self._all)
