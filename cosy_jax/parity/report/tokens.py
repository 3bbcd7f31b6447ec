"""The token report: what the language model was given and what it drew, in lines that can be diffed.

The capture of the reference writes the same lines for the same run (conversions/capture).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.llm.stream import Draw, draws
from cosy_jax.parity.checks.llm import recorded_bounds, replay
from cosy_jax.parity.dumps import read_dump
from cosy_jax.synthesis.modes import lm_context
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.synthesizer import Synthesizer

_FIRST_SEGMENT = "llm.safetensors"  # the others: llm_2.safetensors, llm_3.safetensors, ...
_PROMPT_MELS = ("flow_offline.safetensors", "end_to_end.safetensors")


class PromptSize(NamedTuple):
    """What comes before the text. In modes other than zero-shot the language model is given no speech tokens, while
    the flow sees the mel in all of them."""

    text_tokens: int
    speech_tokens: int
    mel_frames: int


class Segment(NamedTuple):
    """One run of the decoder."""

    text_tokens: int
    ids: list[int]  # the speech ids that were drawn, silence not capped
    stop: int | None  # the id that ended the run
    fallbacks: list[int]  # draws, counted from 0, that the repetition rule had made again
    bounds: tuple[int, int]  # the least and the most speech ids


def report_lines(prompt: PromptSize, segments: Iterable[Segment]) -> Iterator[str]:
    """The report line by line, each segment's as soon as it is decoded."""
    yield (
        f"prompt: {prompt.text_tokens} text tokens, {prompt.speech_tokens} speech tokens, "
        f"{prompt.mel_frames} mel frames"
    )
    done: list[Segment] = []
    for segment in segments:
        done.append(segment)
        yield from _segment_lines(f"segment {len(done)}", segment)
    text, speech = sum(segment.text_tokens for segment in done), sum(len(segment.ids) for segment in done)
    fallbacks = sum(len(segment.fallbacks) for segment in done)
    yield f"all: {len(done)} segments, {text} text tokens, {speech} speech tokens, {fallbacks} repetition fallbacks"


def _segment_lines(name: str, segment: Segment) -> Iterator[str]:
    least, most = segment.bounds
    steps = f" at steps {_join(segment.fallbacks)}" if segment.fallbacks else ""
    yield (
        f"{name}: {segment.text_tokens} text tokens, {len(segment.ids)} speech tokens, bounds {least} to {most}, "
        f"stopped by {_end(segment)} at step {len(segment.ids)}, "
        f"repetition fallbacks {len(segment.fallbacks)}{steps}"
    )
    yield f"{name} ids: {_join(segment.ids)}"


def _end(segment: Segment) -> str:
    if segment.stop is not None:
        return str(segment.stop)
    # A run that is replayed ends with its record, which may be before our own one would.
    return "the bound" if len(segment.ids) == segment.bounds[1] else "the end of the record"


def _join(numbers: list[int]) -> str:
    return " ".join(map(str, numbers))


def as_segment(text_tokens: int, drawn: Iterable[Draw], bounds: tuple[int, int], codebook: int) -> Segment:
    """A run up to its first stop id, of which every id of at least `codebook` is one."""
    ids: list[int] = []
    fallbacks: list[int] = []
    for step, draw in enumerate(drawn):
        if draw.fell_back:
            fallbacks.append(step)
        if draw.id >= codebook:
            return Segment(text_tokens, ids, draw.id, fallbacks, bounds)
        ids.append(draw.id)
    return Segment(text_tokens, ids, None, fallbacks, bounds)


def report_text(synthesizer: Synthesizer, request: Request) -> Iterator[str]:
    """The report of what `Synthesizer.speak` draws for a resolved request; CosyError as there."""
    voice = request.voice_at_hand
    context, speech = lm_context(request.way, voice, request.instruct or "", request.whole_text)
    before, policy = len(synthesizer.tokenizer.encode(context)), synthesizer.policy(request.reference_slips)

    def spoken() -> Iterator[Segment]:
        for context in synthesizer.contexts(request):
            drawn = draws(synthesizer.params("llm"), context, policy)
            bounds = context.min_new, context.max_new
            yield as_segment(int(context.row.is_text.sum()) - before, drawn, bounds, policy.config.speech_token_size)

    return report_lines(PromptSize(before, len(speech), len(voice.prompt.mel)), spoken())


def report_dumps(synthesizer: Synthesizer, dumps: Path) -> Iterator[str]:
    """The report of the recorded runs in a folder of dumps, drawn again from our logits and the recorded noise;
    CosyError where it holds none."""
    files = _recorded_segments(dumps)
    first = read_dump(files[0], synthesizer.config)
    speech = len(first["prompt_speech_token"])

    def segments() -> Iterator[Segment]:
        for path in files:
            dump, bounds = read_dump(path, synthesizer.config), recorded_bounds(path)
            drawn = replay(synthesizer, dump, bounds[0])
            yield as_segment(len(dump["tts_text"]), drawn, bounds, synthesizer.config.llm.speech_token_size)

    frames = _prompt_frames(dumps, synthesizer.config, synthesizer.config.flow.token_mel_ratio * speech)
    return report_lines(PromptSize(len(first["prompt_text"]), speech, frames), segments())


def _recorded_segments(dumps: Path) -> list[Path]:
    files = [dumps / _FIRST_SEGMENT]
    if not files[0].is_file():
        raise CosyError(f"{dumps} holds no {_FIRST_SEGMENT}, the recorded run: capture the language model first.")
    while (path := dumps / f"llm_{len(files) + 1}.safetensors").is_file():
        files.append(path)
    return files


def _prompt_frames(dumps: Path, config: ModelConfig, otherwise: int) -> int:
    """Frames of the prompt mel, which stands in the dumps of later stages."""
    for path in (dumps / name for name in _PROMPT_MELS):
        if path.is_file():
            return read_dump(path, config)["prompt_feat"].shape[1]
    return otherwise
