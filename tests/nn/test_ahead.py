"""What is read before it is asked for."""

import threading

import pytest

from cosy_jax.nn.ahead import ReadAhead


class Files:
    """Loads names, and notes by which thread."""

    def __init__(self):
        self.by, self.came = [], threading.Condition()

    def load(self, name):
        with self.came:
            self.by.append((name, threading.current_thread().name))
            self.came.notify_all()
        if name == "broken":
            raise OSError(name)
        return name.upper()

    def until(self, count):
        with self.came:
            assert self.came.wait_for(lambda: len(self.by) >= count, timeout=10)


@pytest.fixture
def files():
    return Files()


def test_no_more_is_read_than_two_before_they_are_taken(files):
    ahead = ReadAhead("abcd", files.load)
    for index, name in enumerate("abcd"):
        files.until(min(index + 2, 4))
        assert len(files.by) == min(index + 2, 4)
        assert ahead.take(name) == name.upper()
    ahead.close()
    assert files.by == [(name, "read-ahead") for name in "abcd"]


def test_what_was_not_foreseen_is_read_when_it_is_taken(files):
    ahead = ReadAhead("ab", files.load)
    files.until(2)
    assert ahead.take("x") == "X" and files.by[-1] == ("x", "MainThread")
    ahead.close()


def test_what_is_passed_over_is_in_nobodys_way(files):
    """Two that nobody takes do not keep the third from being read, nor a later one from being read ahead."""
    ahead = ReadAhead("abcde", files.load)
    files.until(2)
    assert ahead.take("c") == "C"
    names = {name for name, thread in files.by if thread == "read-ahead"}
    files.until(len(files.by) + 2 - len(names & {"d", "e"}))
    assert ahead.take("e") == "E"
    ahead.close()
    assert [name for name, _ in files.by].count("e") == 1


def test_an_error_is_raised_by_who_takes(files):
    ahead = ReadAhead(["broken", "a"], files.load)
    files.until(2)
    with pytest.raises(OSError, match="broken"):
        ahead.take("broken")
    assert ahead.take("a") == "A"
    ahead.close()


def test_closing_ends_a_thread_that_waits_for_room(files):
    ahead = ReadAhead("abc", files.load)
    files.until(2)
    ahead.close()
    assert [name for name, _ in files.by] == ["a", "b"]
