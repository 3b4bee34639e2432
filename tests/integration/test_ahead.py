"""Runs that are claimed ahead of a worker's threads: begun within a moment, or not by that claim."""

import math
import threading
import time
from datetime import timedelta

import pytest
from working import worker

from bayesian_jobs.broker import claimer as claimer_module
from bayesian_jobs.broker import right_of_way
from bayesian_jobs.broker.claimer import Claimer
from bayesian_jobs.broker.handover import Handover
from bayesian_jobs.domain.run import HandedBack, Succeeded
from bayesian_jobs.lifecycle import define, edit
from bayesian_jobs.lifecycle.service import change_state
from bayesian_jobs.presence.bell import Bell
from bayesian_jobs.presence.membership import Rhythm
from bayesian_jobs.store.begins import BEGIN_WITHIN
from bayesian_jobs.store.claims import claim_runs

MINUTE = timedelta(minutes=1)


def queue_messages(service, count):
    service.execute_sql(
        "INSERT INTO runs (run_id, actor, queue, scheduled_for, claim_at, state, message)"
        " SELECT bayesian_jobs_uuid7(), 'Noop', 'default', now() + n * interval '1 us', now(), 'queued',"
        """ '{"args": [], "kwargs": {}, "options": {}}' FROM generate_series(1, :count) AS n""",
        count=count,
    )


def claimed(service, count):
    queue_messages(service, count)
    return service.claim(limit=count).started


@pytest.fixture
def handover():
    bell = Bell()
    yield Handover(1, bell)
    bell.close()


def returned(handover):
    assert all(result.outcome == HandedBack(result.outcome.reason, begun=False) for result in handover.results)
    return [result.run for result in handover.results]


def make_brisk(handover):
    for _ in range(200):
        handover._held._pace.note_end(0.0001)


def test_what_is_claimed_for_an_idle_thread_may_begin_whenever_the_thread_comes_to_it(service, handover):
    (run,) = claimed(service, 1)
    handover.consume("default")
    handover.deliver([run], idle=1, begin_by=0.0)
    handover.hand_back_late()
    assert handover.begin(run)
    assert returned(handover) == []


def test_what_is_claimed_ahead_and_begun_in_time_is_executed(service, handover):
    runs = claimed(service, 2)
    handover.consume("default")
    handover.deliver(runs, idle=1, begin_by=time.monotonic() + 60)
    handover.hand_back_late()
    assert [handover.begin(run) for run in runs] == [True, True]


def test_what_is_claimed_ahead_and_comes_to_a_thread_too_late_goes_back_and_is_not_executed(service, handover):
    first, second = claimed(service, 2)
    handover.consume("default")
    handover.deliver([first, second], idle=1, begin_by=time.monotonic() - 0.001)
    assert handover.begin(first)
    assert not handover.begin(second)
    assert returned(handover) == [second]


def test_what_is_claimed_ahead_goes_back_though_no_thread_comes_to_it(service, handover):
    first, second = claimed(service, 2)
    handover.consume("default")
    handover.deliver([first, second], idle=1, begin_by=time.monotonic() - 0.001)
    handover.begin(first)
    handover.hand_back_late()
    assert returned(handover) == [second]
    assert not handover.begin(second)


def test_a_run_that_goes_back_ends_the_claiming_ahead(service, handover):
    make_brisk(handover)
    assert handover.take().ahead > 0
    handover.consume("default")
    handover.deliver(claimed(service, 1), idle=0, begin_by=0.0)
    handover.hand_back_late()
    assert handover.take().ahead == 0


def test_threads_that_work_on_something_long_are_not_reckoned_with(service, handover):
    make_brisk(handover)
    (run,) = claimed(service, 1)
    handover.consume("default")
    handover.deliver([run], idle=1, begin_by=math.inf)
    handover.begin(run)
    assert handover.take().ahead > 0
    handover._held[run.key].begun_at -= 1
    assert handover.take().ahead == 0


def test_no_run_is_begun_as_well_as_handed_back(service, handover):
    """Threads come to runs in the very moment in which the time for them ends."""
    runs = claimed(service, 400)
    handover.consume("default")
    begun = []

    def come():
        begun.extend(run for run in runs[::2] if handover.begin(run))

    for run in runs:
        handover.deliver([run], idle=0, begin_by=time.monotonic() + 0.0005)
    threads = [threading.Thread(target=come) for _ in range(2)]
    for thread in threads:
        thread.start()
    while handover.take().results or any(thread.is_alive() for thread in threads):
        handover.hand_back_late()
    assert not {run.key for run in begun} & {result.run.key for result in handover.results}


def test_a_claimer_hands_back_in_time_what_its_busy_threads_do_not_begin(service, monkeypatch):
    monkeypatch.setattr(claimer_module, "HOLDING", Rhythm(MINUTE, 60.0))  # so that nothing else wakes it
    claimer = Claimer(service.engine, 1)
    make_brisk(claimer.handover)
    claimer.handover.consume("default")
    queue_messages(service, 2)
    claimer.start()
    first = claimer.handover.next_run("default", 10)
    claimer.handover.begin(first)
    ahead = claimer.handover.next_run("default", 10)
    try:
        wait_until(lambda: [row["state"] for row in service.runs() if row["run_id"] == ahead.run_id] == ["queued"])
        (row,) = [row for row in service.runs() if row["run_id"] == ahead.run_id]
        assert row["reason"] == "It was claimed ahead of its worker's threads, and none of them was free in time."
        ((begun,),) = service.execute_sql("SELECT begun FROM runs WHERE run_id = :id", id=ahead.run_id)
        assert not begun
    finally:
        claimer.handover.report(first, Succeeded())
        claimer.close()


def wait_until(condition):
    deadline = time.monotonic() + 5  # less than until the next poll
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_has_been_taken_back_from_a_dead_worker_is_never_claimed_ahead(service):
    queue_messages(service, 6)
    service.execute_sql(
        "UPDATE runs SET recoveries = 1"
        " WHERE run_id IN (SELECT run_id FROM runs ORDER BY claim_at, scheduled_for LIMIT 3)"
    )
    with service.engine.begin() as connection:
        claim = claim_runs(connection, service.process(), ["default"], 2, ahead=10, holding=[], lease=MINUTE)
    assert sum(run.recoveries for run in claim.started) <= 2
    assert len(claim.started) == 5


def test_short_runs_are_claimed_ahead_and_each_is_executed_once(service, database_url):
    with worker(service, database_url):
        queue_jobs(service, 600)
        service.broker.join("default", timeout=60_000)
    assert service.states() == ["succeeded"] * 600
    ((most,),) = service.execute_sql(
        "SELECT max((SELECT count(*) FROM runs AS o WHERE o.started_at = r.started_at)) FROM runs AS r"
    )
    assert most > 2  # threads


def queue_jobs(service, count):
    service.execute_sql(
        "INSERT INTO jobs (job_id, handler, kwargs, state, starts_at, period, next_run_at, queue)"
        " SELECT 'job' || n, 'Noop', '{}', 'running', now(), interval '1 day', now(), 'default'"
        " FROM generate_series(1, :count) AS n",
        count=count,
    )
    service.dispatch(limit=count)


def test_who_gives_way_to_the_claimer_goes_on_when_that_has_sent_its_round(service, database_url, monkeypatch):
    monkeypatch.setattr(right_of_way, "LONGEST", 600.0)  # so that nobody goes on by himself
    with worker(service, database_url):
        queue_jobs(service, 600)
        service.broker.join("default", timeout=60_000)
    assert service.states() == ["succeeded"] * 600


def begun_by_now(service):
    """Whether all that has been claimed has begun by now, or never will by that claim."""
    ((begun,),) = service.execute_sql(
        "SELECT clock_timestamp() >= max(started_at) + :within FROM runs", within=BEGIN_WITHIN
    )
    return begun


def pause_job(service):
    define.change_state(service.engine, "job", "paused")


def pause_service(service):
    change_state(service.engine, "paused")


def change(service):
    edit.patch(service.engine, service.registry, "job", {"kwargs": {"number": 2}})


def delete(service):
    define.delete(service.engine, "job")


@pytest.mark.parametrize("act", [pause_job, pause_service, change, delete])
def test_when_a_change_is_answered_nothing_begins_any_more_from_what_was_before(service, act):
    service.add(periodically="1 hour")
    service.dispatch()
    service.claim_one()
    assert not begun_by_now(service)
    act(service)
    assert begun_by_now(service)
