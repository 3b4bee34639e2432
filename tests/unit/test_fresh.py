"""What is measured once for all who ask."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from waiting import wait_for

from bayesian_jobs.api.fresh import FRESH_SECONDS, Fresh


class HangsError(Exception):
    pass


def test_it_is_measured_again_when_it_is_stale():
    now, measured = [0.0], []
    fresh = Fresh(lambda: measured.append(now[0]) or now[0], clock=lambda: now[0])
    assert fresh.get() == 0.0
    now[0] = FRESH_SECONDS - 0.1
    assert fresh.get() == 0.0
    now[0] = FRESH_SECONDS
    assert fresh.get() == FRESH_SECONDS
    assert len(measured) == 2


def test_who_has_waited_for_a_measurement_that_fails_does_not_try_it_once_more():
    now, tried, over = [1.0], [], threading.Event()

    def measure():
        tried.append(threading.get_ident())
        over.wait(30)
        now[0] = 2.0
        raise HangsError

    fresh = Fresh(measure, clock=lambda: now[0])
    asked = []
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            asked.append(pool.submit(fresh.get))
            wait_for(lambda: len(tried) == 1)
        wait_for(lambda: all(each.running() for each in asked))
        over.set()
        for each in asked:
            with pytest.raises(HangsError):
                each.result(30)
    assert len(tried) == 1


def test_a_failure_is_not_remembered_by_those_who_ask_after_it():
    now, answers = [1.0], [HangsError(), "well again"]

    def measure():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    fresh = Fresh(measure, clock=lambda: now[0])
    with pytest.raises(HangsError):
        fresh.get()
    now[0] = 1.1
    assert fresh.get() == "well again"
