"""The claimer goes first when it is woken, until it waits for the database."""

import math
import threading

import pytest
from waiting import wait_for

from bayesian_jobs.broker import right_of_way
from bayesian_jobs.broker.claimer import Claimer
from bayesian_jobs.broker.handover import Handover
from bayesian_jobs.domain.run import Succeeded
from bayesian_jobs.presence.bell import Bell


@pytest.fixture
def handover():
    bell = Bell()
    yield Handover(1, bell)
    bell.close()


def deliver_one(service, handover):
    run = service.claim(limit=1).started[0]
    handover.consume("default")
    handover.deliver([run], idle=1, begin_by=math.inf)
    return run


def queue(service, *job_ids):
    for job_id in job_ids:
        service.add(job_id)
    service.dispatch()


def test_no_run_begins_before_the_claimer_that_it_has_woken(service, handover, monkeypatch):
    monkeypatch.setattr(right_of_way, "LONGEST", 600.0)  # so that nobody goes on by himself
    queue(service, "first", "second")
    first = deliver_one(service, handover)
    handover._bell.sleep(0)
    assert handover.begin(first)
    sleeping = threading.Thread(target=handover._bell.sleep, args=(60,))
    sleeping.start()
    wait_for(lambda: handover._bell.is_heard)
    handover.report(first, Succeeded())
    sleeping.join()
    second = deliver_one(service, handover)
    beginning = threading.Thread(target=handover.begin, args=(second,))
    beginning.start()
    beginning.join(0.05)
    assert beginning.is_alive()
    handover.right_of_way.free()
    beginning.join()


def test_nobody_gives_way_to_a_claimer_that_is_awake(service, handover, monkeypatch):
    """They would stand still while it waits for the database."""
    monkeypatch.setattr(handover.right_of_way, "take", lambda: pytest.fail("taken"))
    queue(service, "first")
    first = deliver_one(service, handover)
    assert handover.begin(first)
    handover.report(first, Succeeded())


def test_the_way_is_free_while_the_claimer_waits_for_the_database(service, monkeypatch):
    claimer = Claimer(service.engine, 1)
    claimer.handover.consume("default")
    claim, was_free = claimer._source.claim, []

    def claim_and_note(*what, **how):
        was_free.append(claimer.handover.right_of_way.is_free)
        return claim(*what, **how)

    monkeypatch.setattr(claimer._source, "claim", claim_and_note)
    queue(service, "first")
    with claimer._membership.join(set()) as connection:
        claimer.handover.right_of_way.take()
        claimer._round(connection)
    assert was_free == [True]
    assert claimer.handover.next_run("default", 0) is not None


def test_a_claimer_that_does_not_go_on_keeps_nobody_from_beginning(service, handover):
    queue(service, "first")
    run = deliver_one(service, handover)
    handover.right_of_way.take()
    assert handover.begin(run)
