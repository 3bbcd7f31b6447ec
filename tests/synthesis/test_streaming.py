"""Streams: pieces joined equal one pass, and streams do not disturb each other. That it does not matter how
tokens arrive is in properties/test_splits.py."""

import numpy as np
import pytest

from cosy_jax.compare.snr import snr_db
from cosy_jax.config import FlowConfig
from cosy_jax.errors import CosyError
from cosy_jax.flow.pages import empty_pages, page_bytes, slot_bytes
from cosy_jax.flow.tracks import Step, Tracks
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
ALL = np.asarray([*PROMPT.speech_tokens, *TOKENS], np.int32)


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


def step(track, until, tokens=ALL):
    return Step(track, tokens, until, PROMPT)


@pytest.mark.slow
def test_tracks_that_begin_in_one_past_share_it(synthesizer):
    config = synthesizer.config.flow
    tracks = Tracks(synthesizer.params("flow"), config, FLOAT32, pages=10, slots=4)
    voice = tracks.begin()
    tracks.solve([step(voice, 75)])
    first, second = tracks.begin(voice), tracks.begin(voice)
    alone = tracks.solve([step(first, 100)])[0]
    again = tracks.solve([step(second, 100)])[0]
    np.testing.assert_array_equal(alone, again)
    assert tracks.free_pages == 10 - 3 - 2 and tracks.free_slots == 1
    tracks.close(voice)
    tracks.close(first)
    assert tracks.free_pages == 10 - 3 - 1
    tracks.close(second)
    assert (tracks.free_pages, tracks.free_slots) == (10, 4)


@pytest.mark.slow
def test_rows_of_one_batch_equal_rows_alone(synthesizer):
    """Of different age and length, whatever they lie beside."""
    config, params = synthesizer.config.flow, synthesizer.params("flow")
    other = ALL[::-1].copy()

    def tracks_at():
        tracks = Tracks(params, config, FLOAT32, pages=20, slots=4)
        old, young, fresh = tracks.begin(), tracks.begin(), tracks.begin()
        tracks.solve([step(old, 100)])
        tracks.solve([step(young, 50, other)])
        return tracks, [step(old, 200), step(young, 75, other), Step(fresh, ALL[:60], 60, PROMPT, last=True)]

    tracks, steps = tracks_at()
    together = tracks.solve(steps)
    assert [len(mel) for mel in together] == [200, 50, 120]
    tracks, steps = tracks_at()
    for mel, alone in zip(together, steps, strict=True):
        np.testing.assert_allclose(mel, tracks.solve([alone])[0], atol=2e-5)
    after = tracks.solve([step(steps[0].track, 225)])[0]
    tracks, steps = tracks_at()
    tracks.solve(steps)
    np.testing.assert_allclose(tracks.solve([step(steps[0].track, 225)])[0], after, atol=2e-5)


@pytest.mark.slow
def test_a_row_that_is_not_finite_harms_no_other(synthesizer):
    config, params = synthesizer.config.flow, synthesizer.params("flow")
    poison = Prompt(PROMPT.speech_tokens, np.full_like(PROMPT.mel, np.nan), PROMPT.speaker_embedding)

    def after(prompt):
        tracks = Tracks(params, config, FLOAT32, pages=20, slots=4)
        ill, well, late = (tracks.begin() for _ in range(3))
        tracks.solve([Step(ill, ALL, 50, prompt), step(well, 50), Step(late, ALL, 50, prompt)])
        tracks.close(ill)
        return tracks.solve([step(well, 100), step(tracks.begin(), 100)])

    for mel, expected in zip(after(poison), after(PROMPT), strict=True):
        np.testing.assert_array_equal(mel, expected)


def test_no_room_is_said_before_anything_is_taken(synthesizer):
    tracks = Tracks(synthesizer.params("flow"), synthesizer.config.flow, FLOAT32, pages=3, slots=2)
    with pytest.raises(CosyError, match="close a stream first"):
        tracks.solve([step(tracks.begin(), 50), step(tracks.begin(), 50)])
    assert (tracks.free_pages, tracks.free_slots) == (3, 2)


@pytest.mark.slow
def test_limited_past_keeps_memory_and_stays_close(synthesizer, whole):
    limited = np.concatenate(list(start(synthesizer, [TOKENS], left_chunks=2)))
    assert len(limited) == len(whole) == 960 * len(TOKENS) and not np.array_equal(limited, whole)
    everything = np.concatenate(list(start(synthesizer, [TOKENS], left_chunks=20)))
    assert snr_db(everything, whole) > 60
    tracks = Tracks(synthesizer.params("flow"), synthesizer.config.flow, FLOAT32, 6, 1, left_chunks=2)
    track = tracks.begin()
    for until in (75, 125, 200):
        tracks.solve([step(track, until)])
        assert tracks.free_pages == 4


def test_page_bytes_are_those_of_the_arrays():
    config = FlowConfig(depth=2, num_steps=3)
    for precision in (FLOAT32, BFLOAT16):
        pages = empty_pages(config, precision, pages=2, slots=3)
        assert sum(leaf.nbytes for layer in pages.layers for leaf in layer) == 2 * page_bytes(config, precision)
        assert sum(tail.nbytes for tail in pages.convolutions) == 3 * slot_bytes(config)


@pytest.mark.slow
@pytest.mark.parametrize("left_chunks", [300, 10**30])
def test_a_past_of_any_length_takes_what_there_is(synthesizer, whole, left_chunks):
    """Numbers beyond 32 bits are numbers too."""
    np.testing.assert_array_equal(np.concatenate(list(start(synthesizer, [TOKENS], left_chunks=left_chunks))), whole)


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
        wanted = vocoder_streaming.VocoderStep(state, mel[first:last], last == 230)
        ((piece, state),) = vocoder_streaming.extend(params, [wanted], config)
        audio.append(piece)
        first = last
    np.testing.assert_allclose(np.concatenate(audio), synthesizer.vocode(mel), atol=1e-6)
    assert len(state.mel) <= vocoder_streaming.left_frames(config.vocoder) + 10


@pytest.mark.slow
def test_vocoder_rows_equal_rows_alone(synthesizer):
    """One that begins, one in the middle, one that ends."""
    params, config = synthesizer.params("vocoder"), synthesizer.config
    mels = [RANDOM.normal(-4, 2, (frames, 80)).astype(np.float32) for frames in (90, 200, 150)]
    new = vocoder_streaming.init_state(config.vocoder)

    def steps():
        ((_, older), (_, oldest)) = (
            vocoder_streaming.extend(params, [vocoder_streaming.VocoderStep(new, mel, False)], config)[0]
            for mel in mels[1:]
        )
        states = zip([new, older, oldest], (mels[0], mels[1][:50], mels[2][:33]), (False, False, True), strict=True)
        return [vocoder_streaming.VocoderStep(*each) for each in states]

    together = vocoder_streaming.extend(params, steps(), config)
    for (audio, state), alone in zip(together, steps(), strict=True):
        ((expected, after),) = vocoder_streaming.extend(params, [alone], config)
        np.testing.assert_allclose(audio, expected, atol=1e-6)
        np.testing.assert_allclose(state.cycles, after.cycles, atol=1e-9)
        assert (state.start, state.given, len(state.mel)) == (after.start, after.given, len(after.mel))


def test_no_tokens_no_audio(synthesizer):
    assert list(start(synthesizer, [[], []])) == []
