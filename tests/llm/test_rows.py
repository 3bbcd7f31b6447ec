"""Requests in one set of rows are what each is alone, on the tiny model."""

import itertools

import jax
import numpy as np
import pytest

from cosy_jax.llm.bistream import bistream_blocks
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.row_state import RowSettings
from cosy_jax.llm.stream import BlockDecoder
from cosy_jax.nn.compile_log import count_compilations
from tests.llm.rows import SETTINGS, Arriving, alone, alone_arriving, arriving, capped, make, run, whole
from tests.llm.test_bistream import END, SPEECH, TEXT, Scripted, prompt, script


def say_some(rows, tag, work, random):
    """A piece of the text, empty ones among them, or its end."""
    if work.ended or random.random() < 0.4:
        return
    if not work.rest:
        rows.end_text(tag)
        work.ended = True
        return
    count = int(random.integers(0, 8))
    rows.say(tag, work.rest[:count])
    del work.rest[:count]


def drive(rows, waiting, dropped, random):
    """Joins at random, text in random pieces, blocks of random sizes; `dropped` are dropped once they were heard."""
    ids, seated, ended = {}, {}, {}
    sizes = set()
    while waiting or seated:
        while waiting and rows.counts.free and random.random() < 0.7:
            tag, work = waiting.pop()
            seated[tag] = work
            if isinstance(work, Arriving):
                rows.open(tag, work.context, work.key)
            else:
                rows.add([(tag, work)])
        for tag, work in seated.items():
            if isinstance(work, Arriving):
                say_some(rows, tag, work, random)
        for drawn in rows.advance(int(random.integers(1, 21)), int(random.integers(1, 4)) or None):
            ids.setdefault(drawn.tag, []).extend(drawn.ids)
            if drawn.ended:
                ended[drawn.tag] = drawn
                del seated[drawn.tag]
        for tag in [tag for tag in seated if tag in dropped and ids.get(tag)]:
            rows.drop(tag)
            del seated[tag]
        sizes.add(rows.counts.rows)
    assert rows.counts.free == SETTINGS.rows[-1]
    return ids, ended, sizes


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_each_is_what_it_is_alone_whatever_joins_and_leaves(synthesizer, seed):
    random = np.random.default_rng(seed)
    texts = [(f"whole {i}", whole(synthesizer, i, 10 + 12 * i)) for i in range(9)]
    work = [*texts, *((f"arriving {i}", arriving(i)) for i in range(7))]
    random.shuffle(work)
    dropped = {tag for tag, _ in work if random.random() < 0.3}
    ids, ended, sizes = drive(make(synthesizer), list(work), dropped, random)
    assert sizes == {1, 3, 8}
    for tag, each in work:
        if isinstance(each, Arriving):
            expected = alone_arriving(synthesizer, each.context, each.text, each.key)
        else:
            expected = alone(synthesizer, each)
        heard = capped(synthesizer, ids[tag])
        assert heard == expected[: len(heard)]
        assert (tag in ended) == (tag not in dropped) or heard == expected
        assert tag in dropped or (heard == expected and ended[tag].error is None)


@pytest.mark.slow
def test_whole_and_arriving_texts_together(synthesizer):
    rows, text = make(synthesizer), arriving(2)
    context = whole(synthesizer, 1)
    rows.open("arriving", text.context, text.key)
    rows.add([("whole", context)])
    rows.say("arriving", text.text)
    rows.end_text("arriving")
    ids, ended = run(rows)
    assert capped(synthesizer, ids["whole"]) == alone(synthesizer, context)
    assert capped(synthesizer, ids["arriving"]) == alone_arriving(synthesizer, text.context, text.text, text.key)
    assert ended.keys() == {"whole", "arriving"} and rows.counts.free == 8 and rows.counts.draws >= len(ids["whole"])


def test_a_row_that_waits_for_text_lets_the_others_go_on(synthesizer):
    rows, key = make(synthesizer), jax.random.key(3)
    rows.open("slow", prompt(), key)
    rows.say("slow", TEXT[:6])
    ids, _ = run(rows)
    before = list(ids["slow"])
    assert before and rows.counts.waiting == 1 and rows.advance(20) == []
    context = whole(synthesizer, 2, 60)
    rows.add([("quick", context)])
    ids, ended = run(rows, ids=ids)
    assert capped(synthesizer, ids["quick"]) == alone(synthesizer, context)
    assert ended.keys() == {"quick"} and ids["slow"] == before
    rows.say("slow", TEXT[6:])
    rows.end_text("slow")
    assert rows.counts.waiting == 0
    ids, ended = run(rows, ids=ids)
    assert capped(synthesizer, ids["slow"]) == alone_arriving(synthesizer, prompt(), TEXT, key)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "instead"),
    [
        (prompt(), ((4, 6564), (40, 6562))),
        (prompt([56, 265, END], SPEECH[:0]), ((70, 6562),)),
        (prompt([56, END, *range(40)], SPEECH[:3]), ((0, 6564), (33, 6564))),  # more transcript than speech
    ],
)
def test_turns_that_end_early(synthesizer, given, instead):
    config = synthesizer.config.llm
    assert (config.eos_id, config.fill_id) == (6562, 6564)
    policy, key = DecodePolicy(config, Scripted()), script(instead)
    decoder = BlockDecoder(synthesizer.params("llm"), key, policy)
    expected = list(itertools.chain.from_iterable(bistream_blocks(decoder, [[i] for i in TEXT], given)))
    rows = make(synthesizer, policy=policy)
    rows.open(0, given, key)
    rows.say(0, TEXT)
    rows.end_text(0)
    rows.add([(1, whole(synthesizer, 1))])
    assert run(rows, 7)[0][0] == expected


def test_rows_come_and_go_with_the_requests(synthesizer):
    rows = make(synthesizer)
    assert rows.counts.rows == 1
    rows.add([(number, whole(synthesizer, number, 15 + 40 * (number == 5), min_new=15)) for number in range(7)])
    rows.advance(4)
    assert (rows.counts.rows, rows.counts.seated, rows.counts.free) == (8, 7, 1)
    for number in range(4):
        rows.drop(number)
    rows.advance(4)
    assert rows.counts.rows == 3
    ids, ended = run(rows)
    assert ended.keys() == {4, 5, 6} and rows.counts.free == 8
    rows.add([("next", whole(synthesizer, 1))])
    rows.advance(4)
    assert rows.counts.rows == 1


def test_a_dropped_request_makes_no_more_draws(synthesizer):
    rows, context = make(synthesizer), whole(synthesizer, 3, 60, min_new=60)
    rows.add([("kept", context), ("dropped", whole(synthesizer, 1, 400, min_new=400))])
    rows.advance(5)
    rows.drop("dropped")
    rows.drop("dropped")
    before = rows.counts.draws
    drawn = rows.advance(20, until_done=1)
    assert [each.tag for each in drawn] == ["kept"] and rows.counts.draws - before == 20


def test_a_block_ends_early_when_asked(synthesizer):
    rows = make(synthesizer)
    rows.add([("short", whole(synthesizer, 1, 6, min_new=6)), ("long", whole(synthesizer, 2, 60, min_new=60))])
    news = {drawn.tag: drawn for drawn in rows.advance(20, until_done=1)}
    assert news["short"].ended and len(news["short"].ids) == len(news["long"].ids) == 6 and not news["long"].ended
    assert len(rows.advance(20)[0].ids) == 20


def test_a_request_that_may_not_speak_ends_at_once(synthesizer):
    rows = make(synthesizer)
    rows.add([("mute", whole(synthesizer, 1, 0))])
    (drawn,) = rows.advance(20)
    assert drawn.ended and drawn.ids == [] and drawn.error is None and rows.counts.free == 8


@pytest.mark.slow
def test_nothing_compiles_once_warm(synthesizer):
    settings = RowSettings(rows=(1, 2, 5), together=(1, 2), block=19, context=128, slots=512)
    rows, random = make(synthesizer, settings), np.random.default_rng(0)
    with count_compilations() as compiled:
        parts = list(rows.warm())
    assert [done for done, _ in parts] == list(range(1, len(parts) + 1)) and parts[-1][1] == len(parts)
    assert 0 < compiled.programs < 120
    work = [(("whole", i), whole(synthesizer, i, 10 + 60 * i)) for i in range(7)]
    work += [(("arriving", i), arriving(i)) for i in range(7)]
    random.shuffle(work)
    with count_compilations() as compiled:
        while work:
            for tag, each in [work.pop() for _ in range(min(len(work), rows.counts.free))]:
                if isinstance(each, Arriving):
                    rows.open(tag, each.context, each.key)
                    rows.say(tag, each.text)
                    rows.end_text(tag)
                else:
                    rows.add([(tag, each)])
            rows.advance(int(random.integers(1, 20)), 1)
        run(rows, 19)
    assert compiled.programs == 0
