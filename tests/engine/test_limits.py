"""What an engine takes on, by the memory that there is."""

import pytest

from cosy_jax.config import FlowConfig
from cosy_jax.engine import limits
from cosy_jax.engine.limits import Limits, make_budget
from cosy_jax.flow.pages import page_bytes
from cosy_jax.nn import backend
from cosy_jax.nn.precision import BFLOAT16

RELEASED = FlowConfig()


@pytest.fixture
def budget(monkeypatch):
    def made(platform, gigabytes, **given):
        monkeypatch.setattr(limits, "_free_memory", lambda: int(gigabytes * 2**30))
        with backend.pretend(platform):
            return make_budget(Limits(**given), RELEASED, BFLOAT16)

    return made


SIZES = [("tpu", 13, 2), ("tpu", 29, 2), ("gpu", 130, 16), ("gpu", 13, 4)]


@pytest.mark.parametrize(("platform", "free", "rows"), SIZES)
def test_pieces_find_room_beside_the_pages(budget, platform, free, rows):
    made = budget(platform, free)
    assert made.piece_rows[-1] == rows
    assert made.pages * made.page_bytes + rows * 9 * made.page_bytes < free * 2**30


def test_rows_that_are_asked_for_are_given(budget):
    assert budget("tpu", 13, piece_rows=8).piece_rows == (1, 2, 4, 8)


def test_a_page_is_twice_as_large_where_64_values_are_padded():
    with backend.pretend("gpu"):
        plain = page_bytes(RELEASED, BFLOAT16)
    assert plain == 2 * 2 * 10 * 22 * 50 * 16 * 64 * 2
    with backend.pretend("tpu"):
        assert page_bytes(RELEASED, BFLOAT16) == 2 * plain
