"""What a stream costs: seconds of flow and vocoder for pieces 1, 5, 20 and 60 of one second each, by both solvers; all
pieces against offline, also in the growing pieces that a stream has; and the time to the first audio, by stage.

    python -m benchmarks.streaming --weights weights/random [--dtype bfloat16] [--seconds 60] [--left-chunks 10]

Random speech tokens behind the standard prompt (5 s). Every program is compiled by a first run that is not counted.
`--solvers` without a name takes the time to the first audio only.
"""

import argparse
import time
from collections.abc import Callable

import jax
import numpy as np

from benchmarks.options import add_cache_option, add_dtype_option
from benchmarks.table import Figure, add_json_option, write_figures
from benchmarks.workload import NEW_TOKENS, PROMPT_TOKENS, TEXT_IDS, standard_prompt
from cosy_jax.flow.pages import page_bytes
from cosy_jax.llm.context import Context
from cosy_jax.llm.speech_lm import context_row
from cosy_jax.llm.stream import stream_tokens
from cosy_jax.nn.compile_cache import start_jax
from cosy_jax.nn.precision import get_precision
from cosy_jax.synthesis.streaming import SolvePiece, cached_solver, exact_solver, stream_audio
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.vocoder.streaming import VocoderState, VocoderStep, extend, init_state

SHOWN = (1, 5, 20, 60)
FIRST_HOP = 25  # tokens, a chunk of attention; the standard prompt ends on one


def speak_piece(synthesizer: Synthesizer, state: VocoderState, mel: np.ndarray) -> VocoderState:
    """The vocoder's part of a piece; its state after it."""
    ((_, after),) = extend(synthesizer.params("vocoder"), [VocoderStep(state, mel, False)], synthesizer.config)
    return after


def time_pieces(synthesizer: Synthesizer, make_solver: Callable[[], SolvePiece], tokens: np.ndarray) -> list[float]:
    """Seconds of each piece of FIRST_HOP new tokens, flow and vocoder, until the tokens end."""
    lookahead, seconds = synthesizer.config.flow.lookahead, []
    solve, state = make_solver(), init_state(synthesizer.config.vocoder)
    for until in range(PROMPT_TOKENS + FIRST_HOP, len(tokens) - lookahead + 1, FIRST_HOP):
        start = time.perf_counter()
        mel = solve(tokens, until, False)
        state = speak_piece(synthesizer, state, mel)
        seconds.append(time.perf_counter() - start)
    return seconds


def time_stream(synthesizer: Synthesizer, make_solver: Callable[[], SolvePiece], tokens: np.ndarray) -> float:
    """Seconds of flow and vocoder for all new tokens in pieces of 25, 50, 100, 100 ..., second of two runs."""
    new, prompt = tokens[PROMPT_TOKENS:].tolist(), standard_prompt()
    for _ in range(2):
        start = time.perf_counter()
        for _ in stream_audio([new], prompt, make_solver(), synthesizer.params("vocoder"), synthesizer.config):
            pass
    return time.perf_counter() - start


def time_first_audio(synthesizer: Synthesizer, make_solver: Callable[[], SolvePiece]) -> dict[str, float]:
    """Seconds to the ids of the first hop and its lookahead, then of its flow and of its vocoder."""
    prompt, lookahead = standard_prompt(), synthesizer.config.flow.lookahead
    row = context_row(list(range(TEXT_IDS)), prompt.speech_tokens, synthesizer.config.llm)
    start = time.perf_counter()
    context = Context(row, jax.random.key(0), NEW_TOKENS, NEW_TOKENS)
    blocks = stream_tokens(synthesizer.params("llm"), context, synthesizer.policy(), FIRST_HOP + lookahead)
    tokens = np.asarray([*prompt.speech_tokens, *next(blocks)], np.int32)
    drawn = time.perf_counter()
    mel = make_solver()(tokens, PROMPT_TOKENS + FIRST_HOP, False)
    solved = time.perf_counter()
    state = init_state(synthesizer.config.vocoder)
    speak_piece(synthesizer, state, mel)
    end = time.perf_counter()
    return {"language model": drawn - start, "flow": solved - drawn, "vocoder": end - solved, "all": end - start}


def time_offline(synthesizer: Synthesizer, tokens: np.ndarray) -> float:
    """Seconds of flow and vocoder for all new tokens at once, second of two runs."""
    for _ in range(2):
        start = time.perf_counter()
        synthesizer.vocode(synthesizer.mel(tokens[PROMPT_TOKENS:], standard_prompt()))
    return time.perf_counter() - start


def print_solver(
    synthesizer: Synthesizer, name: str, make_solver: Callable[[], SolvePiece], tokens: np.ndarray, offline: float
) -> None:
    """Seconds of pieces, and of all of them against the seconds `offline`."""
    time_pieces(synthesizer, make_solver, tokens)
    seconds = time_pieces(synthesizer, make_solver, tokens)
    shown = {piece: round(seconds[piece - 1], 3) for piece in SHOWN if piece <= len(seconds)}
    whole = time_stream(synthesizer, make_solver, tokens)
    print(f"{name}: pieces of 1 s {shown}, all {sum(seconds):.2f}; growing pieces, all {whole:.2f}")
    print(f"{name}: offline {offline:.2f}, ratios {sum(seconds) / offline:.2f} and {whole / offline:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--left-chunks", type=int, help="chunks of the past that attention sees (default: all)")
    parser.add_argument("--solvers", nargs="*", default=["cached", "exact"], choices=("cached", "exact"))
    add_json_option(parser)
    add_dtype_option(parser)
    add_cache_option(parser)
    args = parser.parse_args()
    start_jax(args.compile_cache)
    synthesizer = Synthesizer(args.weights, precision=get_precision(args.dtype))
    config, precision, prompt = synthesizer.config.flow, synthesizer.precision, standard_prompt()
    new = np.random.default_rng(1).integers(0, 6561, FIRST_HOP * args.seconds + config.lookahead)
    tokens = np.concatenate([prompt.speech_tokens, new]).astype(np.int32)

    def cached() -> SolvePiece:
        return cached_solver(synthesizer.params("flow"), prompt, config, precision, args.left_chunks)

    def exact() -> SolvePiece:
        return exact_solver(synthesizer.params("flow"), prompt, config, precision)

    time_first_audio(synthesizer, cached)
    first = time_first_audio(synthesizer, cached)
    print("first audio:", {stage: round(value, 3) for stage, value in first.items()})
    write_figures(args.json, [Figure(f"first audio, {args.dtype}, {stage}", first[stage], "s") for stage in first])
    if not args.solvers:
        return
    offline = time_offline(synthesizer, tokens)
    for name, solver in {"cached": cached, "exact": exact}.items():
        if name in args.solvers:
            print_solver(synthesizer, name, solver, tokens, offline)
    print(f"cache: {page_bytes(config, precision) / 2**20:.1f} MiB a chunk of 50 frames")


if __name__ == "__main__":
    main()
