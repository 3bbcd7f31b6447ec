"""What speech tokens sound like, by what the data say of them."""

import numpy as np

from cosy_jax.evaluate.words import verdict
from recipes.embedded_voice.labels import PHONEMES, PITCHES
from recipes.embedded_voice.pronounced import likely_phonemes, pronounced

B, S, PAU = (PHONEMES.index(name) for name in ("b", "s", "pau"))


def test_an_id_is_the_phoneme_that_most_of_its_uses_are_whatever_their_pitch():
    tokens = np.array([5, 5, 5, 5, 5, 2])
    labels = np.array([B, B, B, S, S, S]) * PITCHES + np.array([0, 3, 5, 1, 1, 0])
    assert likely_phonemes(tokens, labels, 8).tolist() == [PAU, PAU, S, PAU, PAU, B, PAU, PAU]


def test_equal_neighbours_are_one_and_pauses_part_them():
    assert pronounced(np.array([PAU, B, B, S, PAU, PAU, S, PAU])) == "b s s"


def test_phonemes_are_counted_as_words_are():
    wrong = verdict("b ah t er", pronounced(np.array([B, B, S, PHONEMES.index("er")]))).words
    assert (wrong.substitutions, wrong.deletions, wrong.insertions, wrong.length) == (1, 1, 0, 4)
