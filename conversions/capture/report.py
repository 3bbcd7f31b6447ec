"""How many tokens went in and came out: the lines that `cosy-jax tokens` prints for the same run."""

from typing import NamedTuple

SPEECH_IDS = 6561  # ids from here on end the speech


class Segment(NamedTuple):
    """One segment of the text: its text tokens, every id drawn (with the stop id), bounds, steps that fell back."""

    text_tokens: int
    ids: list[int]
    bounds: tuple[int, int]
    fallbacks: list[int]


def token_lines(text_tokens: int, speech_tokens: int, mel_frames: int, segments: list[Segment]) -> list[str]:
    """The report on a prompt of these sizes and the segments decoded after it."""
    lines = [f"prompt: {text_tokens} text tokens, {speech_tokens} speech tokens, {mel_frames} mel frames"]
    for number, segment in enumerate(segments, 1):
        lines += _segment_lines(number, segment)
    texts = sum(segment.text_tokens for segment in segments)
    spoken = sum(len(speech_ids(segment)) for segment in segments)
    fallbacks = sum(len(segment.fallbacks) for segment in segments)
    total = f"{texts} text tokens, {spoken} speech tokens, {fallbacks} repetition fallbacks"
    return [*lines, f"all: {len(segments)} segments, {total}"]


def speech_ids(segment: Segment) -> list[int]:
    """The ids without the one that stopped the decoding."""
    return [token for token in segment.ids if token < SPEECH_IDS]


def _segment_lines(number: int, segment: Segment) -> list[str]:
    spoken = speech_ids(segment)
    stop = segment.ids[-1] if len(spoken) < len(segment.ids) else "the bound"
    fallbacks = f"repetition fallbacks {len(segment.fallbacks)}"
    if segment.fallbacks:
        fallbacks += f" at steps {' '.join(map(str, segment.fallbacks))}"
    counts = f"{segment.text_tokens} text tokens, {len(spoken)} speech tokens"
    bounds = f"bounds {segment.bounds[0]} to {segment.bounds[1]}"
    return [
        f"segment {number}: {counts}, {bounds}, stopped by {stop} at step {len(spoken)}, {fallbacks}",
        f"segment {number} ids: {' '.join(map(str, spoken))}",
    ]
