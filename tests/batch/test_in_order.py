"""Several items at once, results in the items' order."""

import threading
import time

import pytest

from cosy_jax.batch.in_order import in_order


def test_results_keep_the_order_whatever_ends_first():
    def work(n):
        time.sleep(0.02 * (n % 3 == 0))
        return n * n

    assert list(in_order(work, range(10), 3)) == [n * n for n in range(10)]
    assert list(in_order(work, [], 3)) == []


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_that_many_are_worked_on_at_once_and_no_more(at_once):
    lock, running, most = threading.Lock(), 0, 0
    together = threading.Barrier(at_once)

    def work(n):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(10)  # broken, and so an error, unless that many are here
        with lock:
            running -= 1

    list(in_order(work, range(2 * at_once), at_once))
    assert most == at_once


def test_no_more_items_are_taken_than_are_worked_on():
    taken = []
    results = in_order(lambda n: n, (taken.append(n) or n for n in range(10)), 2)
    assert next(results) == 0
    assert taken == [0, 1]


def test_an_error_is_raised_in_its_place():
    results = in_order(lambda n: 1 // n, [1, 0, 1], 2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
