"""Signals are counted in their handlers and acted upon in the loop."""

import os
import select
import signal
import subprocess
from collections.abc import Iterator

import pytest

from bayesian_jobs.up.signals import Signals


@pytest.fixture(autouse=True)
def hangups_are_heeded() -> Iterator[None]:
    """Whoever starts the tests may have SIGHUP ignored (nohup), which a child inherits."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_stop_is_counted_and_wakes_the_loop(number):
    with Signals() as signals:
        os.kill(os.getpid(), number)
        assert select.select([signals.wake], [], [], 10)[0]
        assert signals.stops == 1
        signals.drain()
        assert not select.select([signals.wake], [], [], 0)[0]


def test_the_end_of_a_child_wakes_the_loop_and_is_no_request_to_stop():
    with Signals() as signals:
        child = subprocess.Popen(["true"])
        assert select.select([signals.wake], [], [], 10)[0]
        assert signals.stops == 0
        child.wait()


def test_a_request_interrupts_where_that_is_safe():
    with Signals() as signals:
        with pytest.raises(KeyboardInterrupt), signals.interrupting():
            os.kill(os.getpid(), signal.SIGTERM)
        assert signals.stops == 1


def test_an_earlier_request_interrupts_as_soon_as_that_is_safe():
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        reached = False
        with pytest.raises(KeyboardInterrupt), signals.interrupting():
            reached = True
        assert not reached


def test_handlers_are_as_before_afterwards():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)}
    with Signals():
        pass
    assert {number: signal.getsignal(number) for number in before} == before


def test_an_ignored_hangup_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.stops == 0
