"""Audio while the language model still decodes.

Two ways to solve the flow. `cached` keeps what finished chunks leave behind (`flow.tracks`): a piece costs the same
whatever came before, and all pieces together equal one chunk-masked solve. `exact` does as the reference: it solves
the whole prefix again for each piece, and the last piece with full attention. The vocoder is the same in both, its
pieces equal one pass.

State lives in the generator: streams share nothing but the parameters.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from cosy_jax.audio.join import fade
from cosy_jax.config import FlowConfig, ModelConfig
from cosy_jax.flow.cfm import solve
from cosy_jax.flow.inputs import utterances
from cosy_jax.flow.tracks import Step, Tracks
from cosy_jax.nn import buckets
from cosy_jax.nn.precision import Precision
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.speech import finite
from cosy_jax.synthesis.stage import Stage
from cosy_jax.vocoder.streaming import VocoderStep, extend, init_state

LARGEST = 4  # chunks of attention in a piece

# (all tokens so far with the prompt's, the piece's end among them, whether it is the last) -> its new mel (T, M)
SolvePiece = Callable[[np.ndarray, int, bool], np.ndarray]


def hops(prompt_tokens: int, config: FlowConfig) -> Iterator[int]:
    """New tokens of each piece: a chunk of attention (25), two, then four each; the first lengthened so that prompt and
    hop end a chunk."""
    chunk = config.chunk_frames // config.token_mel_ratio
    yield chunk + -prompt_tokens % chunk
    hop = chunk
    while True:
        hop = min(2 * hop, LARGEST * chunk)
        yield hop


def cached_solver(
    params: dict, prompt: Prompt, config: FlowConfig, precision: Precision, left_chunks: int | None = None
) -> SolvePiece:
    """Pieces of one utterance from cached keys and values; `left_chunks` bounds the attention to the past."""
    chunk = config.chunk_frames // config.token_mel_ratio
    pages = buckets.STREAM_PAST[0] // config.chunk_frames
    tracks = Tracks(params, config, precision, pages, 1, left_chunks, grows=True)
    track = tracks.begin()

    def piece(tokens: np.ndarray, until: int, last: bool) -> np.ndarray:
        seen = tokens if last else tokens[: until + config.lookahead]
        before, mels = track.frames, []
        while (done := track.frames // config.token_mel_ratio) < until:
            end = min(done + LARGEST * chunk, until)
            mels += tracks.solve([Step(track, seen, end, prompt, last and end == until)])
        return np.concatenate(mels)[max(len(prompt.mel) - before, 0) :]

    return piece


def exact_solver(params: dict, prompt: Prompt, config: FlowConfig, precision: Precision) -> SolvePiece:
    """Pieces of one utterance as the reference computes them: each solves the whole prefix."""
    ratio, given = config.token_mel_ratio, len(prompt.mel)

    def piece(tokens: np.ndarray, until: int, last: bool) -> np.ndarray:
        nonlocal given
        seen = tokens if last else tokens[: until + config.lookahead]
        mel, _, _ = solve(
            params,
            utterances([(seen, prompt)], config),
            config=config,
            precision=precision,
            streaming=not last,
            finalize=last,
        )
        first, given = given, ratio * until
        return np.asarray(mel[0])[first:given]

    return piece


def stream_audio(
    blocks: Iterable[list[int]],
    prompt: Prompt,
    solve_piece: SolvePiece,
    vocoder_params: dict,
    config: ModelConfig,
    fade_in: bool = False,
    fade_out: bool = False,
) -> Iterator[np.ndarray]:
    """Pieces of audio float32 (S,) for speech tokens that arrive in blocks; as soon as a hop and its lookahead are
    there, and the rest when the blocks end. An error of the blocks is raised after the audio of those before it.

    `fade_in` and `fade_out` are for an utterance that others come before or after.
    """
    tokens = list(prompt.speech_tokens)
    state = init_state(config.vocoder)
    sizes = hops(len(tokens), config.flow)
    until = len(tokens) + next(sizes)

    def speak(end: int, last: bool) -> np.ndarray:
        nonlocal state
        mel = finite(solve_piece(np.asarray(tokens, np.int32), end, last), Stage.FLOW)
        head = fade_in and state.given == 0
        ((audio, state),) = extend(vocoder_params, [VocoderStep(state, mel, last)], config)
        return fade(finite(audio, Stage.VOCODER), config.sample_rate, head, fade_out and last)

    failure = None
    try:
        for block in blocks:
            tokens += block
            while len(tokens) >= until + config.flow.lookahead:
                yield speak(until, last=False)
                until += next(sizes)
    except Exception as error:
        failure = error
    if len(tokens) > len(prompt.speech_tokens):
        yield speak(len(tokens), last=True)
    if failure is not None:
        raise failure
