"""What one set of rows refuses, and what outgrows it."""

import jax
import pytest

from cosy_jax.errors import CosyError
from cosy_jax.llm.context import Context
from cosy_jax.llm.row_state import RowSettings
from cosy_jax.llm.speech_lm import context_row
from tests.llm.rows import alone, alone_arriving, capped, make, run, whole
from tests.llm.test_bistream import END, SPEECH, TEXT, prompt


@pytest.mark.slow
def test_a_row_that_outgrows_the_cache_ends_alone(synthesizer):
    rows, neighbour = make(synthesizer), whole(synthesizer, 2, 60)
    long = whole(synthesizer, 1, 1000, min_new=1000)
    rows.add([("long", long), ("neighbour", neighbour)])
    rows.open("arriving", prompt([END], SPEECH[:0]), jax.random.key(1))
    rows.say("arriving", [1] * 200)  # turns of 5 and 15: full after 25 of them
    ids, ended = run(rows)
    assert ended["long"].error and "512 positions" in str(ended["long"].error)
    assert len(ids["long"]) == 511 - len(long.row.ids)
    assert ids["long"] == alone_raw(synthesizer, long)[: len(ids["long"])]
    assert ended["arriving"].error and ids["arriving"]
    assert ended["neighbour"].error is None and capped(synthesizer, ids["neighbour"]) == alone(synthesizer, neighbour)


def alone_raw(synthesizer, context):
    rows = make(synthesizer, RowSettings(rows=(1,), together=(1,), block=20, context=128, slots=1024))
    rows.add([(0, context)])
    return run(rows)[0][0]


def test_bad_input_is_refused_and_touches_no_other(synthesizer):
    rows, config = make(synthesizer), synthesizer.config.llm
    good = whole(synthesizer, 1)
    rows.add([("good", good)])
    rows.open("arriving", prompt(), jax.random.key(3))
    rows.say("arriving", TEXT[:4])
    for bad in ([config.text_vocab_size], [-1]):
        context = Context(context_row(bad, [], config), jax.random.key(0), 0, 10)
        with pytest.raises(CosyError, match="outside the vocabulary"):
            rows.add([("fine", good), ("bad", context)])
        with pytest.raises(CosyError, match="outside the vocabulary"):
            rows.say("arriving", [5, *bad])
    with pytest.raises(CosyError, match="supported: split"):
        rows.check(whole(synthesizer, 1, length=200))
    assert rows.counts.seated == 2
    rows.say("arriving", TEXT[4:])
    rows.end_text("arriving")
    ids, _ = run(rows)
    assert capped(synthesizer, ids["good"]) == alone(synthesizer, good)
    assert capped(synthesizer, ids["arriving"]) == alone_arriving(synthesizer, prompt(), TEXT, jax.random.key(3))


def test_misuse(synthesizer):
    rows, context = make(synthesizer), whole(synthesizer, 1)
    rows.add([("a", context)])
    with pytest.raises(CosyError, match="its own"):
        rows.add([("a", context)])
    with pytest.raises(CosyError, match="its own"):
        rows.add([("b", context), ("b", context)])
    with pytest.raises(CosyError, match="free rows"):
        rows.add([(number, context) for number in range(8)])
    with pytest.raises(CosyError, match="open one first"):
        rows.say("a", [1])
    with pytest.raises(CosyError, match="endofprompt"):
        rows.open("c", prompt([1, 2]), context.key)
    rows.open("c", prompt(), context.key)
    with pytest.raises(CosyError, match="empty"):
        rows.end_text("c")
    rows.say("c", [1])
    rows.end_text("c")
    with pytest.raises(CosyError, match="has ended"):
        rows.say("c", [1])
    with pytest.raises(CosyError, match="1 to 20"):
        rows.advance(21)
    slips = make(synthesizer, policy=synthesizer.policy(reference_slips=True))
    with pytest.raises(CosyError, match="reference_slips"):
        slips.open("c", prompt(), context.key)


@pytest.mark.parametrize(
    "wrong",
    [{"rows": ()}, {"rows": (4, 1)}, {"together": (0,)}, {"block": 0}, {"context": 100}, {"slots": 300}]
    + [{"context": 512, "slots": 256}],
)
def test_sizes_that_do_not_fit(wrong):
    with pytest.raises(CosyError):
        RowSettings(**wrong)
