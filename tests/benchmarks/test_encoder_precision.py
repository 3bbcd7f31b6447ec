"""The encoders' precision on a TPU keeps their ids."""

import pytest

from benchmarks.encoder_precision import encoded, error, load_pieces, passes
from cosy_jax.nn.precision import FLOAT32, THREE_PASSES
from cosy_jax.synthesis.synthesizer import Synthesizer
from tests.reference import REPOSITORY


@pytest.mark.slow
def test_three_passes_change_no_id_and_one_does():
    synthesizer = Synthesizer(REPOSITORY / "weights" / "embedded")
    pieces = load_pieces(sorted(map(str, (REPOSITORY / "docs" / "listen").glob("*-teacher.mp3"))))
    exact = encoded(synthesizer, pieces, FLOAT32)
    count, changed, largest = error(encoded(synthesizer, pieces, passes(3)), exact)
    assert count > 400 and changed == 0 and largest < 5e-5
    _, changed, largest = error(encoded(synthesizer, pieces, passes(1)), exact)
    assert changed > 0 and largest > 1e-3
    # On a CPU the policy itself is float32.
    assert error(encoded(synthesizer, pieces, THREE_PASSES), exact)[1:] == (0, 0.0)
