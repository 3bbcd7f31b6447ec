"""The scheduler under load, on a simulated device and clock."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosy_jax.engine.errors import CancelledError
from cosy_jax.engine.limits import Limits
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.streaming import hops
from tests.engine.simulated import CONFIG, SAMPLES, Costs, run, scheduler, stream, voice
from tests.properties.profile import examples

EXAMPLES = examples(25)
VOICES = [voice(60, seed) for seed in range(3)]


def seconds(ticket):
    return len(ticket.result()) / CONFIG.sample_rate


def test_one_stream_is_spoken_in_its_pieces_and_gives_everything_back():
    work, device, clock = scheduler()
    one = stream(clock, 300)
    work.submit(one)
    run(work)
    assert len(one.ticket.result()) == 300 * 2 * SAMPLES
    first = hops(60, CONFIG.flow)
    ends = np.cumsum([60 + next(first), *(next(first) for _ in range(3))]).tolist()
    assert [piece.until for batch in device.tracks.seen for piece in batch] == [50, *ends, 360]
    assert device.tracks.free_pages == 200 - 2 and work.meters.voices == 1  # the voice is kept
    assert work.meters.finished == 1 and work.meters.late_pieces == 0


def test_pieces_never_shrink_under_overload():
    """The same sizes for all, however late they are."""
    work, device, clock = scheduler(costs=Costs(step=0.05, batch=0.5, row=0.5), streams=8)
    for index in range(30):
        work.submit(stream(clock, 200, of=voice(60, index % 5)))
    run(work)
    alone, its, now = scheduler()
    alone.submit(stream(now, 200))
    run(alone)
    starts = sorted((piece.start, piece.until) for batch in its.tracks.seen for piece in batch if piece.until > 60)
    together = sorted((piece.start, piece.until) for batch in device.tracks.seen for piece in batch if piece.until > 60)
    assert together == sorted(starts * 30)
    assert work.meters.late_pieces > 0 and work.meters.finished == 30


def test_a_first_piece_does_not_wait_until_everybody_has_begun():
    work, device, clock = scheduler(begins=1)
    several = [stream(clock, 100, of=voice(60, index)) for index in range(4)]
    for each in several:
        work.submit(each)
    while not several[0].ticket.unread:
        work.turn()
    assert several[0].begun == 1 and several[3].begun == 0
    run(work)
    assert work.meters.finished == 4


@pytest.mark.parametrize(("others", "most"), [(0, 5), (3, 25)])
def test_beside_a_lone_first_piece_little_is_drawn(others, most):
    """Where others wait for tokens, a whole block is."""
    work, device, clock = scheduler(side_by_side=True, begins=1)
    one, *_ = several = [stream(clock, 200, of=voice(60, 0)) for _ in range(1 + others)]
    for each in several:
        work.submit(each)
    drawn = []
    while not one.ticket.unread:
        under_way, before = bool(one.front and one.front.track), device.rows.steps
        work.turn()
        if under_way:
            drawn.append(device.rows.steps - before)
    assert drawn and max(drawn) == most


def test_light_load_keeps_every_listener_supplied():
    work, device, clock = scheduler(streams=8)
    for index in range(8):
        work.submit(stream(clock, 250, of=voice(60, index)))
        for _ in range(3):
            work.turn()
    run(work)
    assert work.meters.late_pieces == 0 and work.meters.finished == 8


def test_one_piece_a_stream_a_batch_and_many_streams_share_it():
    work, device, clock = scheduler(streams=8)
    for _ in range(8):
        work.submit(stream(clock, 150))
    run(work)
    for batch in device.tracks.seen:
        slots = [piece.read for piece in batch if piece.until > 60]
        assert len(batch) <= 8
        assert len(set(slots)) == len(slots) or all(piece.start == 100 for piece in batch)
    assert max(map(len, device.tracks.seen)) == 8


def test_a_voice_is_computed_once_and_forgotten_for_room():
    work, device, clock = scheduler(streams=2, pages=70)
    for seed in (0, 0, 1, 2, 3, 0):
        work.submit(stream(clock, 40, of=voice(700, seed)))
        run(work)
    meters = work.meters
    assert meters.voices_reused == 1 and meters.voices_computed == 5 and meters.voices_forgotten >= 3


def test_whole_requests_wait_for_streams_and_share_batches():
    work, device, clock = scheduler(streams=8)
    wholes = [stream(clock, 50, whole=True) for _ in range(4)]
    for each in wholes:
        work.submit(each)
    live = stream(clock, 250)
    work.submit(live)
    run(work)
    assert device.whole == [4] and all(seconds(each.ticket) == 2 for each in wholes) and seconds(live.ticket) == 10


def test_a_long_text_loses_no_segment():
    work, device, clock = scheduler()
    pieces, whole = stream(clock, 30, 80, 26, 60), stream(clock, 30, 80, 26, 60, whole=True)
    work.submit(pieces)
    work.submit(whole)
    run(work)
    assert seconds(pieces.ticket) == seconds(whole.ticket) == 196 / 25


def test_a_slow_reader_is_paused_and_not_buffered_without_end():
    work, device, clock = scheduler(Limits(ahead=5))
    slow, quick = stream(clock, 1000), stream(clock, 100)
    work.submit(slow)
    work.submit(quick)
    while work.turn():
        pass
    assert 5 <= slow.ticket.unread <= 5 + 4 and not slow.ticket.done and quick.ticket.done
    assert work.meters.paused == 1
    reader, heard = iter(slow.ticket), 0
    while work.busy:
        heard += len(next(reader))
        while work.turn():
            pass
    assert heard + sum(map(len, reader)) == 1000 * 2 * SAMPLES


def test_a_cancelled_stream_leaves_nothing_behind():
    work, device, clock = scheduler()
    gone, waits, stays = stream(clock, 500), stream(clock, 500), stream(clock, 100)
    for each in (gone, waits, stays):
        work.submit(each)
    for _ in range(4):
        work.turn()
    gone.ticket.cancel()
    waits.ticket.cancel()
    run(work)
    assert seconds(stays.ticket) == 4 and device.tracks.free_slots == 15 and device.rows.left == {}
    with pytest.raises(CancelledError):
        gone.ticket.result()
    assert work.meters.cancelled == 2 and work.meters.finished == 1


def test_a_request_that_can_never_fit_is_told_so_at_once():
    work, device, clock = scheduler(pages=20)
    large, small = stream(clock, 1000), stream(clock, 100)
    work.submit(large)
    work.submit(small)
    run(work)
    assert seconds(small.ticket) == 4
    with pytest.raises(CosyError, match="more memory"):
        large.ticket.result()


requests = st.lists(
    st.tuples(st.lists(st.integers(1, 400), min_size=1, max_size=3), st.integers(0, 3), st.booleans(), st.floats(0, 9)),
    min_size=1,
    max_size=20,
)


@EXAMPLES
@given(requests, st.integers(24, 60), st.integers(1, 6), st.booleans(), st.data())
def test_any_load_ends_with_all_audio_and_all_memory(wanted, pages, places, like_cpu, data):
    """Little memory, many streams, some cancelled, at any times: no deadlock, nothing lost, nothing kept."""
    costs, begins = Costs(0.01, 0.1, 0.1), 1 if like_cpu else None
    work, device, clock = scheduler(None, costs, places, pages, begins, side_by_side=like_cpu)
    sent = []
    for lengths, seed, whole, pause in wanted:
        one = stream(clock, *lengths, of=voice(60 + 30 * seed, seed), whole=whole)
        work.submit(one)
        sent.append((one, lengths))
        until = clock.now + pause
        while clock.now < until and work.turn():
            pass
        if data.draw(st.integers(0, 9)) == 0:
            data.draw(st.sampled_from(sent))[0].ticket.cancel()
    run(work)
    for one, lengths in sent:
        if not one.ticket.cancelled:
            assert len(one.ticket.result()) == sum(lengths) * 2 * SAMPLES
    assert device.rows.left == {} and work.meters.queued == work.meters.active == 0
    kept = work.meters.voices
    assert device.tracks.free_slots == 2 * places - kept


def test_two_thousand_requests_leave_nothing_in_memory():
    work, device, clock = scheduler(streams=8)
    left = weakref.WeakSet()
    for index in range(2000):
        one = stream(clock, 20, of=VOICES[index % 3], whole=index % 2 == 0)
        left.update((one, one.ticket))
        work.submit(one)
        if index % 10 == 9:
            run(work)
    del one
    gc.collect()
    assert len(left) == 0 and work.meters.finished == 2000 and device.tracks.free_slots == 16 - 3
