"""A transcript that cannot be what a recording says gets a word: leaks and repeats come from there."""

import warnings

import pytest

from cosy_jax.audio.usable import RecordingWarning
from cosy_jax.synthesis.voice import check_transcript_length
from cosy_jax.text.check import SYSTEM_PREFIX, speaking_seconds

ENGLISH = "The little harbour town wakes before the sun, and the first boats leave while it is dark."  # 5 s
CHINESE = "希望你以后能够做的比我还好呦。"  # 3 s
JAPANESE = "小さな港町は日の出前に目を覚ます。"  # 3 s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *((ENGLISH, seconds) for seconds in (2.5, 5, 20)),
        *((CHINESE, seconds) for seconds in (1.5, 3, 12)),
        *((JAPANESE, seconds) for seconds in (1.5, 3, 12)),
        (SYSTEM_PREFIX + CHINESE, 3),
        ("1998", 1),
        ("", 30),
        ("[laughter]", 30),
        ("Some words.", 4.3),
    ],
)
def test_speech_of_any_pace_passes_without_a_word(text, seconds):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_transcript_length(text, seconds)


@pytest.mark.parametrize(
    ("text", "seconds"), [(ENGLISH, 1), (ENGLISH * 6, 10), (CHINESE * 4, 3), ("Yes.", 10), ("好", 10), (ENGLISH, 29e1)]
)
def test_what_nobody_speaks_is_warned_of(text, seconds):
    with pytest.warns(RecordingWarning, match="make sure that it is what is said there, word for word"):
        check_transcript_length(text, seconds)


def test_prefixes_and_tags_take_no_time():
    assert speaking_seconds(f"{SYSTEM_PREFIX}Hello [breath] you") == speaking_seconds("Hello you") > 0.4
