"""Streams: pieces joined equal one pass, and streams do not disturb each other. That it does not matter how
tokens arrive is in properties/test_splits.py."""

import numpy as np
import pytest

from cosy_jax.compare.snr import snr_db
from cosy_jax.config import FlowConfig
from cosy_jax.flow.streaming import extend, init_state, state_bytes
from cosy_jax.nn.compile_log import count_compilations
from cosy_jax.nn.precision import BFLOAT16, FLOAT32
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.streaming import cached_solver, exact_solver, hops, stream_audio
from cosy_jax.vocoder import streaming as vocoder_streaming

RANDOM = np.random.default_rng(0)
TOKENS = RANDOM.integers(0, 6561, 190).tolist()
PROMPT = Prompt(
    RANDOM.integers(0, 6561, 37).astype(np.int32),
    RANDOM.normal(-4, 2, (74, 80)).astype(np.float32),
    RANDOM.standard_normal(192).astype(np.float32),
)


def start(synthesizer, blocks, solver=cached_solver, **options):
    solve = solver(synthesizer.params("flow"), PROMPT, synthesizer.config.flow, FLOAT32, **options)
    return stream_audio(blocks, PROMPT, solve, synthesizer.params("vocoder"), synthesizer.config)


@pytest.fixture(scope="module")
def whole(synthesizer):
    return np.concatenate(list(start(synthesizer, [TOKENS])))


def test_hops_end_on_chunks():
    flow = FlowConfig()
    sizes = hops(37, flow)
    assert [next(sizes) for _ in range(4)] == [38, 50, 100, 100]
    assert next(hops(50, flow)) == 25


@pytest.mark.slow
@pytest.mark.parametrize("solver", [cached_solver, exact_solver])
def test_interleaved_and_cancelled_streams_do_not_disturb(synthesizer, solver):
    alone = list(start(synthesizer, [TOKENS], solver))
    first, second, third = (start(synthesizer, [tokens], solver) for tokens in (TOKENS, TOKENS[::-1], TOKENS))
    next(third)
    third.close()
    pieces = [next(first)]
    next(second)
    pieces.append(next(first))
    next(second)
    pieces += list(first)
    np.testing.assert_array_equal(np.concatenate(pieces), np.concatenate(alone))


@pytest.mark.slow
def test_same_state_continues_twice(synthesizer):
    params, config = synthesizer.params("flow"), synthesizer.config.flow
    tokens = np.asarray([*PROMPT.speech_tokens, *TOKENS], np.int32)
    _, state = extend(params, init_state(config, FLOAT32), tokens, 75, PROMPT, config, FLOAT32)
    first, _ = extend(params, state, tokens, 100, PROMPT, config, FLOAT32)
    again, _ = extend(params, state, tokens, 100, PROMPT, config, FLOAT32)
    np.testing.assert_array_equal(first, again)


@pytest.mark.slow
def test_limited_past_keeps_memory_and_stays_close(synthesizer, whole):
    limited = np.concatenate(list(start(synthesizer, [TOKENS], left_chunks=2)))
    assert len(limited) == len(whole) == 960 * len(TOKENS) and not np.array_equal(limited, whole)
    everything = np.concatenate(list(start(synthesizer, [TOKENS], left_chunks=20)))
    assert snr_db(everything, whole) > 60
    config = synthesizer.config.flow
    params, tokens = synthesizer.params("flow"), np.asarray([*PROMPT.speech_tokens, *TOKENS], np.int32)
    state = init_state(config, FLOAT32)
    for until in (75, 125, 200):
        _, state = extend(params, state, tokens, until, PROMPT, config, FLOAT32, left_chunks=2)
        held = sum(leaf.nbytes for layer in state.layers for leaf in layer)
        assert held == state_bytes(config, FLOAT32, 100) == 2 * state_bytes(config, BFLOAT16, 100)


@pytest.mark.parametrize("left_chunks", [300, 100_000, 10**30])
def test_a_past_of_any_length_takes_what_there_is(synthesizer, left_chunks):
    """Not 3.6 GB, and numbers beyond 32 bits are numbers too."""
    config = synthesizer.config.flow
    params, tokens = synthesizer.params("flow"), np.asarray([*PROMPT.speech_tokens, *TOKENS], np.int32)
    state = init_state(config, FLOAT32)
    with count_compilations() as compiled:
        _, state = extend(params, state, tokens, 75, PROMPT, config, FLOAT32, left_chunks=left_chunks)
    held = sum(leaf.nbytes for layer in state.layers for leaf in layer)
    assert held == state_bytes(config, FLOAT32, 500)
    assert left_chunks == 300 or compiled.programs == 0


@pytest.mark.slow
def test_joins_do_not_click(synthesizer):
    pieces = list(start(synthesizer, [TOKENS]))
    inside = np.concatenate([np.abs(np.diff(piece)) for piece in pieces])
    joins = [abs(float(b[0]) - float(a[-1])) for a, b in zip(pieces, pieces[1:], strict=False)]
    assert max(joins) <= np.quantile(inside, 0.999)


@pytest.mark.slow
def test_second_stream_compiles_nothing(synthesizer):
    list(start(synthesizer, [TOKENS]))
    with count_compilations() as compiled:
        list(start(synthesizer, [TOKENS[:189]]))
    assert compiled.programs == 0


@pytest.mark.slow
def test_vocoder_pieces_equal_one_pass(synthesizer):
    mel = RANDOM.normal(-4, 2, (230, 80)).astype(np.float32)
    params, config = synthesizer.params("vocoder"), synthesizer.config
    state, audio, first = vocoder_streaming.init_state(config.vocoder), [], 0
    for last in (5, 9, 100, 180, 230):
        piece, state = vocoder_streaming.extend(params, state, mel[first:last], config, last == 230)
        audio.append(piece)
        first = last
    np.testing.assert_allclose(np.concatenate(audio), synthesizer.vocode(mel), atol=1e-6)
    assert len(state.mel) <= vocoder_streaming.left_frames(config.vocoder) + 10


def test_no_tokens_no_audio(synthesizer):
    assert list(start(synthesizer, [[], []])) == []
