"""Interrupting a thread: inside of what lets itself be interrupted, once, and never afterwards."""

import sys
import threading
from collections.abc import Iterator

import pytest

from bayesian_jobs.interrupt import Cancellation, Cancelled

ROUNDS = 500


@pytest.fixture(autouse=True)
def _threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def steps(number: int) -> int:
    return sum(each for each in range(number))


def work_for_ever(asker: threading.Thread) -> None:
    asker.start()
    while True:
        steps(10)


def test_a_request_interrupts_what_is_executing() -> None:
    cancellation = Cancellation()
    asker = threading.Thread(target=cancellation.request)
    with pytest.raises(Cancelled), cancellation.interrupting_thread():
        work_for_ever(asker)
    asker.join()
    assert cancellation.requested


def test_what_was_cancelled_before_it_begins_does_not_begin() -> None:
    cancellation = Cancellation()
    cancellation.request()
    with pytest.raises(Cancelled), cancellation.interrupting_thread():
        raise AssertionError("it has begun")


def test_it_interrupts_once_however_often_it_is_asked_for() -> None:
    cancellation, interrupts = Cancellation(), []
    cancellation.open(lambda: interrupts.append("interrupted"))
    cancellation.request()
    cancellation.request()
    assert interrupts == ["interrupted"]


def test_after_its_end_nothing_is_interrupted() -> None:
    cancellation = Cancellation()
    with cancellation.interrupting_thread():
        pass
    cancellation.request()
    steps(1000)
    with pytest.raises(Cancelled):
        cancellation.check()


def test_a_request_at_the_very_end_interrupts_either_inside_or_not_at_all() -> None:
    """Whatever the moment: nothing that the thread does next (committing, reporting) is interrupted."""
    outcomes = {"inside": 0, "not at all": 0}
    for turn in range(ROUNDS):
        cancellation = Cancellation()
        go = threading.Event()
        asker = threading.Thread(target=lambda go=go, one=cancellation: (go.wait(), one.request()))
        asker.start()
        try:
            with cancellation.interrupting_thread():
                go.set()
                steps(turn % 50 * 200)
        except Cancelled:
            outcomes["inside"] += 1
        else:
            outcomes["not at all"] += 1
        asker.join()
        steps(100)
    assert min(outcomes.values()) > 0, outcomes
