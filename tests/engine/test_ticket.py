"""The caller's end."""

import asyncio
import threading

import numpy as np
import pytest

from cosy_jax.engine.errors import CancelledError
from cosy_jax.engine.ticket import Ticket


def piece(value, length=240):
    return np.full(length, value, np.float32)


def test_pieces_in_order_then_the_error():
    told = []
    ticket = Ticket(24_000, lambda: told.append("changed"))
    ticket.when_done(lambda error: told.append(str(error)))
    ticket.put(piece(1))
    ticket.put(piece(2))
    assert ticket.unread == 0.02
    ticket.end(ValueError("lost"))
    ticket.end()
    ticket.put(piece(3))
    heard = []
    with pytest.raises(ValueError, match="lost"):
        heard.extend(float(audio[0]) for audio in ticket)
    assert heard == [1, 2] and told == ["lost", "changed", "changed"]


def test_cancelled_from_another_thread_while_it_is_waited_for():
    ticket = Ticket(24_000, lambda: None)
    threading.Timer(0.05, ticket.cancel).start()
    with pytest.raises(CancelledError):
        next(iter(ticket))
    assert ticket.cancelled and ticket.done and ticket.unread == 0


def test_after_its_end_nothing_is_cancelled():
    ticket = Ticket(24_000, lambda: None)
    ticket.put(piece(1))
    ticket.end()
    ticket.cancel()
    assert not ticket.cancelled and len(ticket.result()) == 240


def test_an_asyncio_task_is_woken_by_a_thread():
    ticket = Ticket(24_000, lambda: None)

    def speak():
        for value in range(3):
            ticket.put(piece(value))
        ticket.end()

    async def listen():
        threading.Timer(0.05, speak).start()
        return [float(audio[0]) async for audio in ticket]

    assert asyncio.run(listen()) == [0, 1, 2]


def test_nothing_spoken_is_an_empty_result():
    ticket = Ticket(24_000, lambda: None)
    ticket.end()
    assert ticket.result().shape == (0,) and ticket.result().dtype == np.float32
