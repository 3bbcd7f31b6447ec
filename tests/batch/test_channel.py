"""The queues between the stages."""

import threading
import time

import pytest

from cosy_jax.batch.channel import Cancelled, Channel
from cosy_jax.batch.pipeline import run_together


def test_items_arrive_in_order_and_end():
    failed = threading.Event()
    channel, got = Channel(2, failed), []

    def send():
        for item in range(50):
            channel.put(item)
        channel.close()

    run_together([send, lambda: got.extend(channel)], failed)
    assert got == list(range(50)) and channel.waited >= 0


def test_a_full_channel_makes_its_sender_wait():
    failed = threading.Event()
    channel = Channel(2, failed)
    sent = []

    def send():
        for item in range(5):
            channel.put(item)
            sent.append(item)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    time.sleep(0.3)
    assert sent == [0, 1]
    iterator = iter(channel)
    assert [next(iterator) for _ in range(5)] == list(range(5))
    thread.join(5)


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_one_stage_that_fails_ends_all(broken):
    failed = threading.Event()
    first, second = Channel(1, failed), Channel(1, failed)

    def endless():
        while True:
            first.put(1)

    def pass_on():
        for item in first:
            second.put(item)

    stages = [endless, pass_on, lambda: list(second)]

    def breaks():
        time.sleep(0.2)
        raise RuntimeError("broken")

    stages[broken] = breaks
    with pytest.raises(RuntimeError, match="broken"):
        run_together(stages, failed)


def test_a_cancelled_channel_raises_at_both_ends():
    failed = threading.Event()
    failed.set()
    channel = Channel(1, failed)
    with pytest.raises(Cancelled):
        channel.put(1)
    with pytest.raises(Cancelled):
        next(iter(channel))
