"""A request spoken while it is decoded: blocks of speech tokens in, pieces of audio out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import jax
import numpy as np

from cosy_jax.llm.bistream import bistream_tokens
from cosy_jax.llm.context import Context
from cosy_jax.llm.stream import stream_tokens
from cosy_jax.synthesis.request import Request, StreamOptions
from cosy_jax.synthesis.streaming import cached_solver, exact_solver, hops, stream_audio
from cosy_jax.synthesis.voice import Voice

if TYPE_CHECKING:
    from cosy_jax.synthesis.synthesizer import Synthesizer


def request_pieces(synthesizer: "Synthesizer", request: Request, options: StreamOptions) -> Iterator[np.ndarray]:
    """Pieces of audio, float32 (S,), of a resolved request. CosyError, at the call, for a text that cannot be spoken;
    what one that arrives raises comes behind the audio before it."""
    if isinstance(request.text, str):
        return _of_segments(synthesizer, synthesizer.contexts(request), request, options)
    return _pieces(synthesizer, _arriving(synthesizer, request.text, request), request.voice_at_hand, options)


def _of_segments(
    synthesizer: "Synthesizer", contexts: Sequence[Context], request: Request, options: StreamOptions
) -> Iterator[np.ndarray]:
    voice, flow = request.voice_at_hand, synthesizer.config.flow
    policy, hop = synthesizer.policy(request.reference_slips), next(hops(len(voice.prompt.speech_tokens), flow))
    for index, context in enumerate(contexts):
        blocks = stream_tokens(synthesizer.params("llm"), context, policy, hop + flow.lookahead)
        yield from _pieces(synthesizer, blocks, voice, options, index > 0, index < len(contexts) - 1)


def _arriving(synthesizer: "Synthesizer", text: Iterable[str], request: Request) -> Iterator[list[int]]:
    policy, context = synthesizer.policy(request.reference_slips), synthesizer.arriving_context(request)
    key, ids = jax.random.key(request.seed), synthesizer.arriving_ids(text)
    return bistream_tokens(synthesizer.params("llm"), ids, context, key, policy)


def _pieces(
    synthesizer: "Synthesizer",
    blocks: Iterable[list[int]],
    voice: Voice,
    options: StreamOptions,
    fade_in: bool = False,
    fade_out: bool = False,
) -> Iterator[np.ndarray]:
    config = synthesizer.config
    flow = (synthesizer.params("flow"), voice.prompt, config.flow, synthesizer.precision)
    solver = exact_solver(*flow) if options.solver == "exact" else cached_solver(*flow, options.left_chunks)
    return stream_audio(blocks, voice.prompt, solver, synthesizer.params("vocoder"), config, fade_in, fade_out)
