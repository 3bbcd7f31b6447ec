"""Joined pieces: as long as their sum, and no step where they meet."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cosy_jax.audio.join import join_audio

RATE = 24000


def tone(hertz, seconds, phase):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE + phase).astype(np.float32)


def jumps(audio, first=0, last=None):
    return np.abs(np.diff(audio[first:last]))


def test_no_jump_at_a_join():
    pieces = [tone(220, 0.3, 1.5), tone(150, 0.2, -1.5), tone(300, 0.25, 1.0)]
    inside = np.concatenate([jumps(piece) for piece in pieces])
    hard, soft = np.concatenate(pieces), join_audio(pieces, RATE)
    fade = round(0.005 * RATE)
    for join in np.cumsum([len(piece) for piece in pieces[:-1]]):
        assert jumps(hard, join - 1, join + 1).max() > 10 * inside.max()
        assert jumps(soft, join - fade - 1, join + fade + 1).max() <= inside.max()
        assert jumps(soft, join - 1, join + 1).max() < np.quantile(inside, 0.1)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=5))
def test_length_is_the_sum_and_the_ends_stay(lengths):
    pieces = [np.full(length, 0.5, np.float32) for length in lengths]
    joined = join_audio(pieces, RATE)
    assert (len(joined), joined.dtype) == (sum(lengths), np.float32)
    assert all((piece == 0.5).all() for piece in pieces)
    if len(pieces) == 1:
        np.testing.assert_array_equal(joined, pieces[0])


def test_only_the_joins_fade():
    joined = join_audio([np.ones(1000, np.float32), np.ones(1000, np.float32)], RATE)
    np.testing.assert_array_equal(joined[:880], 1)
    np.testing.assert_array_equal(joined[1120:], 1)
    assert joined[999] < 1e-4 and joined[1000] < 1e-4
    assert (np.diff(joined[880:1000]) < 0).all()
    np.testing.assert_allclose(joined, joined[::-1])
