"""Who comes next."""

from hypothesis import given
from hypothesis import strategies as st

from cosy_jax.engine.order import Order, Ready
from tests.properties.profile import examples

ORDER = Order(comfort=3.0, rows=(1, 2, 4), sizes=(100, 200), pads=False)
NOW = 100.0
EXAMPLES = examples(100)


def piece(tag, frames=100, asked=0.0, dry=None):
    return Ready(tag, frames, asked, dry)


def tags(pieces):
    return [piece.tag for piece in pieces]


def test_sounding_streams_by_slack_then_first_pieces_by_age_then_those_far_ahead():
    waiting = [
        piece("far", dry=NOW + 20),
        piece("new", asked=9),
        piece("old", asked=5),
        piece("late", dry=NOW - 1),
        piece("soon", dry=NOW + 1),
    ]
    assert tags(ORDER.choose(waiting, NOW)) == ["late", "soon", "old", "new"]
    assert tags(Order(3.0, (1, 2, 4, 8), (100, 200), True).choose(waiting, NOW))[4:] == ["far"]


def test_a_batch_is_as_long_as_its_most_urgent_piece():
    """Longer ones wait: they would cost it time."""
    short, long = piece("short", 80, dry=NOW), piece("long", 200, dry=NOW + 1)
    assert tags(ORDER.choose([long, short], NOW)) == ["short"]
    assert tags(ORDER.choose([piece("long", 200, dry=NOW - 1), short], NOW)) == ["long", "short"]


def test_idle_rows_are_for_devices_that_do_not_mind():
    three = [piece(tag, asked=tag) for tag in range(3)]
    assert tags(ORDER.choose(three, NOW)) == [0, 1]
    assert tags(Order(3.0, (1, 2, 4), (100, 200), True).choose(three, NOW)) == [0, 1, 2]


def test_nothing_is_ready():
    assert ORDER.choose([], NOW) == []


seconds = st.integers(0, 2000).map(lambda tenths: tenths / 10)
ready = st.builds(Ready, st.integers(), st.integers(1, 200), seconds, st.none() | seconds)
pieces = st.lists(ready, max_size=12, unique_by=lambda piece: piece.tag)


@EXAMPLES
@given(pieces, st.booleans())
def test_the_most_urgent_is_always_served_and_nobody_passes_it(waiting, pads):
    order = Order(3.0, (1, 2, 4), (100, 200), pads)
    chosen = order.choose(waiting, NOW)
    assert bool(chosen) == bool(waiting) and len(chosen) <= 4
    assert len(set(tags(chosen))) == len(chosen) and set(tags(chosen)) <= set(tags(waiting))
    if not pads:
        assert len(chosen) in (0, 1, 2, 4)
    sounding = [piece.dry for piece in waiting if piece.dry is not None and piece.dry - NOW < 3]
    if sounding:
        assert chosen[0].dry == min(sounding)
    elif any(piece.dry is None for piece in waiting):
        assert chosen[0].dry is None and chosen[0].asked == min(p.asked for p in waiting if p.dry is None)
