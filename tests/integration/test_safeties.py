"""The safeties whose loss no other test would show: races that are played out step by step, and server-side limits."""

import os
import select
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from waiting import wait_for

from bayesian_jobs.broker import claimer as claimer_module
from bayesian_jobs.broker.claimer import Claimer
from bayesian_jobs.broker.record import Result, record_singly
from bayesian_jobs.domain.run import MAX_RECOVERIES, Failed, HandedBack, Succeeded
from bayesian_jobs.lifecycle import define, edit, execute
from bayesian_jobs.lifecycle.recover import PATIENCE, recover
from bayesian_jobs.presence import bell as bell_module
from bayesian_jobs.presence.bell import Bell
from bayesian_jobs.presence.membership import HOLDING, Membership
from bayesian_jobs.store import closing, processes
from bayesian_jobs.store.claims import claim_runs
from bayesian_jobs.store.closing import close_left_open
from bayesian_jobs.store.dispatch import open_service
from bayesian_jobs.store.endings import fail_lost_runs
from bayesian_jobs.store.engine import make_engine, run_transaction
from bayesian_jobs.store.prepared import FINDS
from bayesian_jobs.store.runs import replace_message
from bayesian_jobs.store.service import change_state

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
LEASE = HOLDING.lease


@pytest.fixture
def queued(service):
    service.add(periodically="1 hour", kwargs={"number": 7})
    service.dispatch()
    return service


@pytest.fixture
def bell():
    bell = Bell()
    yield bell
    bell.close()


def rings(bell):
    """Whether somebody who sleeps on the bell would wake up."""
    return select.select([bell._ear], [], [], 0)[0] != []


def wait_until_someone_waits_for_a_lock(service, work):
    waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while service.execute_sql(waits) == []:
        assert not work.done(), "it did not wait"


# I1: one run for each fire time


@pytest.mark.parametrize("state", ["succeeded", "queued"])
def test_a_fire_time_that_is_dispatched_again_keeps_its_one_run(queued, state):
    """As after a scheduler that was restored from yesterday, or a hand that turned the job back."""
    if state == "succeeded":
        queued.finish(queued.claim_one())
    queued.execute_sql("UPDATE jobs SET next_run_at = starts_at")
    settled = queued.dispatch()
    assert (settled.jobs, settled.queued, settled.skipped) == (1, 0, 0)
    assert queued.states() == [state]
    assert queued.job()["next_run_at"] == queued.job()["starts_at"] + HOUR


# I9: obeyed


def test_a_pause_of_the_service_waits_for_a_dispatch_that_still_saw_it_running(service):
    with service.engine.connect() as dispatching, service.engine.connect() as pausing:
        open_service(dispatching)
        pausing.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(DBAPIError, match="lock timeout"):
            change_state(pausing, "paused")


def test_a_run_that_goes_back_while_its_job_is_edited_waits_for_the_edit(queued):
    run = queued.claim_one()
    with ThreadPoolExecutor(1) as worker, queued.engine.connect() as editing:
        job = define.locked(editing, "job")
        edit.replace(editing, queued.registry, job, replace(edit.spec_of(job, queued.registry), handler="OtherQueue"))
        back = worker.submit(queued.requeue, run)
        wait_until_someone_waits_for_a_lock(queued, back)
        editing.commit()
        assert back.result(timeout=10)
    (row,) = [row for row in queued.runs() if row["run_id"] == run.run_id]
    assert (row["actor"], row["queue"], row["job_version"]) == ("OtherQueue", "other", 2)


def test_a_run_that_goes_back_is_of_the_present_version_of_its_job(queued):
    run = queued.claim_one()
    queued.execute_sql("UPDATE jobs SET version = 5")
    queued.requeue(run)
    assert queued.runs()[0]["job_version"] == 5


def test_a_job_that_is_being_changed_is_not_dispatched_meanwhile(service):
    service.add(periodically="1 hour")
    with service.engine.connect() as editing:
        define.locked(editing, "job")
        assert service.dispatch() is None
    service.dispatch()
    assert service.states() == ["queued"]


def test_a_run_is_rejected_only_by_its_job_as_it_is_at_that_moment(late):
    claim = late.claim()
    with ThreadPoolExecutor(1) as worker, late.engine.connect() as editing:
        editing.execute(text("UPDATE jobs SET misfire_grace_time = NULL"))
        rejecting = worker.submit(late.reject, claim)
        wait_until_someone_waits_for_a_lock(late, rejecting)
        editing.commit()
        rejecting.result(timeout=10)
    assert late.states() == ["queued"]


def test_a_run_that_somebody_has_started_meanwhile_is_not_rejected_any_more(late):
    claim = late.claim()
    late.execute_sql("UPDATE jobs SET misfire_grace_time = NULL")
    late.claim_one()
    late.execute_sql("UPDATE jobs SET misfire_grace_time = interval '1 microsecond'")
    late.reject(claim)
    assert late.states() == ["running"]


@pytest.fixture
def late(queued):
    """Its run has waited for longer than its grace."""
    queued.execute_sql("UPDATE jobs SET misfire_grace_time = interval '1 microsecond'")
    return queued


# I7: fenced


def test_the_loss_of_an_older_attempt_fails_nothing(queued):
    first = queued.claim_one()
    queued.requeue(first)
    queued.claim_one()
    with queued.engine.begin() as connection:
        fail_lost_runs(connection, [first.key], "lost")
    assert queued.states() == ["running"]


@pytest.mark.parametrize("ended", ["succeeded", "failed"])
def test_a_run_that_has_ended_is_neither_lost_nor_put_back(queued, ended):
    run = queued.claim_one()
    queued.finish(run, ended, "a reason")
    before = queued.runs()
    with queued.engine.begin() as connection:
        fail_lost_runs(connection, [run.key], "lost")
    assert not queued.requeue(run, lost=True)
    assert queued.runs() == before


def test_a_run_that_waits_for_its_next_attempt_is_not_ended_by_the_last_one(queued):
    run = queued.claim_one()
    queued.requeue(run, failed=True)
    assert not queued.finish(run)
    assert not queued.requeue(run, failed=True)
    assert queued.runs()[0]["failures"] == 1


def test_what_an_older_attempt_has_noted_in_a_message_is_not_kept(queued):
    first = queued.claim_one()
    queued.requeue(first)
    second = queued.claim_one()
    assert [noted(queued, first), noted(queued, second)] == [None, {"by": 2}]


def test_what_is_noted_in_a_message_that_has_ended_is_not_kept(queued):
    run = queued.claim_one()
    queued.finish(run)
    assert noted(queued, run) is None


def noted(service, run):
    """What is in the message after an attempt has noted something in it."""
    with service.engine.begin() as connection:
        replace_message(connection, run.run_id, run.attempt, {"by": run.attempt})
    return service.runs()[0]["message"]


# I5: what a dead process held is taken back; a living one keeps it


def test_a_claim_is_noted_beside_what_the_process_executes_already_and_renews_its_lease(service):
    service.add("first", periodically="1 hour")
    service.add("second", periodically="1 hour")
    service.dispatch()
    process_no = service.process(lease=MINUTE)
    first = service.claim(process_no, limit=1).started[0]
    with service.engine.begin() as connection:
        lease = 60 * MINUTE
        claim = claim_runs(connection, process_no, ["default"], 1, holding=[first.run_id], lease=lease)
        assert processes.read_holding(connection, process_no) == [first.run_id, claim.started[0].run_id]
    assert service.execute_sql("SELECT FROM processes WHERE lease_until > now() + interval '50 minutes'") != []


def test_a_process_that_comes_back_after_it_was_noted_as_missing_is_not_given_up(queued):
    """It joins again between two statements of the scheduler that is about to give it up."""
    membership = Membership(queued.engine, "worker")
    with membership.join(set()):
        process_no = membership.process_no
    with queued.engine.begin() as looking:
        processes.note_missing(looking, 0)
    with queued.engine.begin() as looking:
        assert processes.find_dead(looking, 0, timedelta(0)) == [process_no]
    with membership.join(set()), queued.engine.begin() as looking:
        assert processes.give_up(looking, process_no, 0, timedelta(0)) is None


def test_a_run_that_has_gone_to_another_process_is_not_taken_back_with_the_first(queued):
    queued.requeue(queued.claim_one())
    membership = Membership(queued.engine, "worker")
    with membership.join(set()), queued.engine.connect() as looking:
        queued.claim_one(membership.process_no)
        assert recover(looking, 0, timedelta(0)).runs == 0
    assert queued.execute_sql("SELECT FROM processes WHERE ended_at IS NOT NULL") != []
    assert queued.states() == ["running"]


def test_a_worker_at_rest_renews_its_lease_soon_after_it_has_claimed(service, database_url):
    claimer = Claimer(make_engine(database_url, "worker", hot=True), 1)
    claimer.start()
    claimer.handover.consume("default")
    at_rest = HOLDING.renew_every + 1
    wait_for(lambda: claimer._renew_at > time.monotonic() + at_rest)
    service.add()
    service.dispatch()
    assert claimer.handover.next_run("default", 10) is not None
    wait_for(lambda: claimer._renew_at < time.monotonic() + at_rest)
    claimer.close()


def test_patience_is_shorter_than_a_lease_and_long_enough_to_connect_again():
    assert claimer_module.RECONNECT_AFTER * SECOND < PATIENCE < LEASE


# I5, I11: an outcome that cannot be recorded is not lost


def test_an_outcome_whose_run_somebody_holds_is_kept_for_later(queued):
    run = queued.claim_one()
    result = Result(run, Succeeded())
    with queued.engine.connect() as holder, queued.engine.connect() as recording:
        recording.exec_driver_sql("SET lock_timeout = '50ms'")
        recording.commit()
        holder.execute(text("SELECT FROM runs FOR UPDATE"))
        assert record_singly(recording, [result]) == [result]
        assert queued.states() == ["running"]
        holder.rollback()
        assert record_singly(recording, [result]) == []
        recording.invalidate()
    assert queued.states() == ["succeeded"]


@pytest.mark.parametrize(("recoveries", "outcome"), [(0, HandedBack), (MAX_RECOVERIES, Failed)])
def test_a_run_whose_commit_got_no_answer_is_tried_again_only_so_often(queued, recoveries, outcome):
    run = queued.claim_one()._replace(recoveries=recoveries)
    with execution_of(run, queued.engine) as execution:
        pid = execution.connection.connection.driver_connection.info.backend_pid
        queued.execute_sql("SELECT pg_terminate_backend(:pid, 5000)", pid=pid)
        came_of_it = execute.commit(execution)
    assert isinstance(came_of_it, outcome)
    assert getattr(came_of_it, "lost", True)


def test_a_commit_of_which_the_driver_only_knows_that_it_got_no_answer_is_no_failure(queued, monkeypatch):
    def break_off(*_):
        raise DBAPIError.instance(
            "COMMIT", None, psycopg2.DatabaseError("server closed the connection"), psycopg2.Error
        )

    monkeypatch.setattr(execute, "finish_runs", break_off)
    with execution_of(queued.claim_one(), queued.engine) as execution:
        execution.connection.execute(text("SELECT 1"))
        assert isinstance(execute.commit(execution), HandedBack)


def test_the_end_of_a_transactional_run_is_planned_as_look_ups_and_limited(queued, database_url, monkeypatch):
    """Whose connection is not a hot one: on it plans would be made, and kept, for tables that are still empty; and a
    worker that freezes before the commit would hold the run for ever."""
    modes, limits, finish_runs = [], [], execute.finish_runs

    def finish(connection, endings):
        modes.append(connection.exec_driver_sql("SHOW plan_cache_mode").scalar())
        limits.extend(limits_of(connection))
        return finish_runs(connection, endings)

    monkeypatch.setattr(execute, "finish_runs", finish)
    engine = make_engine(database_url, "test")
    with execution_of(queued.claim_one(), engine) as execution:
        execution.connection.execute(text("SELECT 1"))
        assert execute.commit(execution) is None
    engine.dispose()
    assert modes == ["force_generic_plan"]
    assert timedelta(0) < limits[0] < LEASE, "when it is idle in the transaction"
    assert queued.states() == ["succeeded"]


class execution_of:
    """An execution whose connection is given back at the end, as `execute` does it."""

    def __init__(self, run, engine):
        self.execution = execute.Execution(run, {}, HOUR, engine, lambda *_: None)

    def __enter__(self):
        return self.execution

    def __exit__(self, *_):
        self.execution.resources.close()


# Server-side limits: a frozen process must not hold rows that others need


def limits_of(connection):
    names = ("idle_in_transaction_session_timeout", "statement_timeout", "lock_timeout")
    row = connection.exec_driver_sql(
        "SELECT " + ", ".join(f"extract(epoch FROM current_setting('{name}')::interval)" for name in names)
    ).one()
    return [float(seconds) * SECOND for seconds in row]


def test_a_hot_session_that_hangs_holds_nothing_for_as_long_as_a_lease(service):
    with service.engine.connect() as connection:
        idle, statement, lock = limits_of(connection)
    assert timedelta(0) < lock < statement < LEASE
    assert timedelta(0) < idle < LEASE


def test_every_session_is_limited_and_the_transaction_of_a_handler_only_in_its_waiting(database_url):
    engine = make_engine(database_url, "test")
    with engine.connect() as connection:
        assert timedelta(0) not in limits_of(connection)
    with run_transaction(engine) as connection:
        idle, statement, lock = limits_of(connection)
    assert (idle, statement) == (timedelta(0), timedelta(0))
    assert lock > timedelta(0)
    engine.dispose()


def test_plans_that_were_made_while_the_tables_were_empty_still_look_up_row_after_row_when_they_are_full(service):
    for number in range(6):
        add_and_dispatch(service, f"early-{number}")
        start_and_finish(service)
    service.execute_sql(
        "INSERT INTO runs (run_id, actor, queue, scheduled_for, state)"
        " SELECT gen_random_uuid(), 'Noop', 'default', now() - n * interval '1 second', 'succeeded'"
        " FROM generate_series(1, 3000) AS n"
    )
    before = sequential_reads(service)
    add_and_dispatch(service, "job")
    start_and_finish(service)
    assert sequential_reads(service) - before < 1000


def test_plans_that_were_made_while_the_tables_were_known_to_be_empty_are_made_anew_in_a_busy_session(service):
    service.execute_sql("ANALYZE jobs, runs")
    process_no = service.process()
    service.claim(process_no)
    service.execute_sql(
        "INSERT INTO runs (run_id, actor, queue, scheduled_for, state, claim_at)"
        " SELECT gen_random_uuid(), 'Noop', 'default', now() - n * interval '1 second', 'queued', now()"
        " FROM generate_series(1, 3000) AS n"
    )
    for _ in range(FINDS):
        service.claim(process_no, limit=1)
    before = read_through_indexes(service)
    assert len(service.claim(process_no, limit=1).started) == 1
    assert read_through_indexes(service) - before < 1000


def add_and_dispatch(service, job_id):
    service.add(job_id, periodically="1 hour")
    service.dispatch()


def start_and_finish(service):
    service.requeue(service.claim_one())
    service.finish(service.claim_one())


def sequential_reads(service):
    """How many rows of the runs sequential scans have read."""
    service.execute_sql("SELECT pg_stat_force_next_flush()")
    ((rows,),) = service.execute_sql(
        "SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables WHERE relname LIKE 'runs%'"
    )
    return rows


def read_through_indexes(service):
    """How many entries of the runs' indexes have been read."""
    service.execute_sql("SELECT pg_stat_force_next_flush()")
    ((entries,),) = service.execute_sql(
        "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname LIKE 'runs%'"
    )
    return entries


# Sweeping up one-off jobs


@pytest.fixture
def over(service):
    """Two one-off jobs, `held` and `other`, whose runs were cancelled: nothing is left of them but to finish them."""
    for job_id in ("held", "other"):
        service.add(job_id)
    service.dispatch()
    service.execute_sql("UPDATE runs SET state = 'cancelled', claim_at = NULL")
    return service


def test_a_job_that_somebody_holds_keeps_no_other_from_being_finished(over):
    with over.engine.connect() as holder:
        holder.execute(text("SELECT FROM jobs WHERE job_id = 'held' FOR UPDATE"))
        with over.engine.begin() as connection:
            close_left_open(connection)
        holder.rollback()
    assert [over.job(job_id)["state"] for job_id in ("held", "other")] == ["running", "finished"]


def test_a_job_that_got_another_run_while_it_was_being_locked_is_not_finished(over, monkeypatch):
    lock_over = closing.lock_over_statement

    class LockedJustBeforeARunIsCommitted:
        def run(self, connection, values):
            locked = lock_over.run(connection, values)
            over.execute_sql("UPDATE runs SET state = 'queued', claim_at = now() WHERE job_id = 'held'")
            return locked

    monkeypatch.setattr(closing, "lock_over_statement", LockedJustBeforeARunIsCommitted())
    with over.engine.begin() as connection:
        close_left_open(connection)
    assert [over.job(job_id)["state"] for job_id in ("held", "other")] == ["running", "finished"]


# A worker that stops


def test_what_was_claimed_and_no_thread_has_begun_goes_back_at_once_when_the_worker_stops(service):
    claimer = Claimer(service.engine, 1)
    claimer.handover.consume("default")
    claim = claimed(service)
    with service.engine.connect() as connection:
        claimer._deliver(connection, claim, idle=1, begin_by=0.0)
    claimer.handover.close()
    assert handed_back(claimer) == [(claim.started[0].key, False)]


def test_what_was_still_being_claimed_when_the_worker_stopped_goes_back_too(service):
    claimer = Claimer(service.engine, 1)
    claimer.handover.consume("default")
    claim = claimed(service)
    claimer.handover.close()
    with service.engine.connect() as connection:
        claimer._deliver(connection, claim, idle=1, begin_by=0.0)
    assert handed_back(claimer) == [(claim.started[0].key, False)]


def test_a_run_whose_result_waits_to_be_recorded_is_held_when_others_are_claimed(service):
    claimer = Claimer(service.engine, 2)
    claimer.handover.consume("default")
    with claimer._membership.join(set()) as connection:
        service.add("first")
        service.dispatch()
        claimer._round(connection)
        first = claimer.handover.next_run("default", 1)
        claimer._waiting, claimer._retry_at = [Result(first, Succeeded())], float("inf")
        claimer.handover.release(first)
        service.add("second")
        service.dispatch()
        claimer._source.notified()
        claimer._round(connection)
        second = claimer.handover.next_run("default", 1)
        ((held,),) = service.execute_sql("SELECT holding::text[] FROM processes WHERE ended_at IS NULL")
        assert sorted(held) == sorted([first.run_id, second.run_id])


def claimed(service):
    service.add(periodically="1 hour")
    service.dispatch()
    return service.claim()


def handed_back(claimer):
    """The runs that are to go back, and whether they had begun."""
    assert claimer.handover.next_run("default", 0.001) is None
    outcomes = [(result.run.key, result.outcome) for result in claimer.handover.results]
    assert all(isinstance(outcome, HandedBack) for _, outcome in outcomes)
    return [(key, outcome.begun) for key, outcome in outcomes]


# The bell


def test_who_rings_while_the_sleeper_awakes_does_not_make_the_bell_mute(bell, monkeypatch):
    read = os.read
    bell.ring()
    with monkeypatch.context() as patched:
        patched.setattr(bell_module.os, "read", lambda *args: (bell.ring(), read(*args))[1])
        bell.sleep(0)
    bell.ring()
    assert rings(bell)


def test_a_sleeper_that_awakes_before_the_ringing_is_over_hears_the_next_ring(bell, monkeypatch):
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(bell_module.os, "write", lambda *args: (write(*args), bell.sleep(0))[0])
        bell.ring()
    bell.ring()
    assert rings(bell)
