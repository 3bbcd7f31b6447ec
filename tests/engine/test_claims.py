"""Memory is given so that nobody waits for ever."""

from hypothesis import given
from hypothesis import strategies as st

from cosy_jax.engine.claims import Claim, is_safe
from tests.properties.profile import examples

EXAMPLES = examples(100)


def test_each_may_use_what_those_before_it_gave_back():
    assert is_safe(2, [Claim(3, 2), Claim(0, 5)])
    assert not is_safe(2, [Claim(3, 2), Claim(0, 6)])
    assert not is_safe(1, [Claim(3, 2)])
    assert is_safe(0, [])


claims = st.lists(st.builds(Claim, st.integers(0, 9), st.integers(0, 9)), max_size=8)


@EXAMPLES
@given(st.integers(0, 20), claims, st.data())
def test_the_oldest_can_always_have_what_it_asks_for(free, state, data):
    """So there is always one that goes on, whatever the others do meanwhile."""
    if not state or not is_safe(free, state):
        return
    asked = data.draw(st.integers(0, state[0].needs))
    after = [Claim(state[0].holds + asked, state[0].needs - asked), *state[1:]]
    assert asked <= free and is_safe(free - asked, after)
