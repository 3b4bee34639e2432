"""What people ask of runs: a job runs now, a run is tried again or cancelled."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from waiting import wait_for

from bayesian_jobs.domain import reasons
from bayesian_jobs.errors import InvalidOptions, JobNotFound, RunNotFound, WrongState
from bayesian_jobs.lifecycle import define, edit, request
from bayesian_jobs.store.closing import close_left_open
from bayesian_jobs.store.endings import fail_lost_runs
from bayesian_jobs.store.retention import prune
from bayesian_jobs.store.runs import NewMessage, send_messages

HOUR = timedelta(hours=1)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
NOBODY = "00000000-0000-7000-8000-000000000000"


def run_now(service, job_id="job"):
    return request.run_now(service.engine, job_id)


def retry(service, run_id, kwargs=None):
    return request.retry(service.engine, service.registry, run_id, kwargs)


def cancel(service, run_id):
    return request.cancel(service.engine, run_id)


@pytest.fixture
def waiting(service):
    """A job whose next fire time lies in the future."""
    service.add(periodically="1 hour", when="2026-01-01T00:30", kwargs={"number": 1})
    return service


@pytest.fixture
def failed(waiting):
    """The same, with a run that has failed."""
    run = run_now(waiting)
    waiting.finish(waiting.claim_one(), "failed", "it broke")
    return run["run_id"]


def test_a_job_runs_now_and_its_schedule_stays_as_it_is(waiting):
    before = waiting.job()
    run = run_now(waiting)
    assert (run["state"], run["requested"], run["retry_of"]) == ("queued", True, None)
    assert waiting.claim_one().kwargs == {"number": 1}
    after = waiting.job()
    assert (after["last_run_id"], after["last_state"]) == (run["run_id"], "running")
    for same in ("next_run_at", "state", "version", "starts_at"):
        assert after[same] == before[same]


@pytest.mark.parametrize("state", ["paused", "finished"])
def test_a_job_that_is_not_running_runs_now_as_well_and_stays_what_it_is(waiting, state):
    waiting.execute_sql("UPDATE jobs SET state = :state", state=state)
    run_now(waiting)
    waiting.finish(waiting.claim_one())
    assert (waiting.states(), waiting.job()["state"]) == (["succeeded"], state)


def test_a_pause_cancels_a_requested_run_that_is_still_queued(waiting):
    run_now(waiting)
    define.change_state(waiting.engine, "job", "paused")
    assert waiting.states() == ["cancelled"]
    assert waiting.claim().started == []


@pytest.mark.parametrize("pause_again", [True, False])
def test_a_requested_run_that_goes_back_to_its_queue_obeys_only_a_pause_that_came_after_it(waiting, pause_again):
    define.change_state(waiting.engine, "job", "paused")
    run_now(waiting)
    run = waiting.claim_one()
    if pause_again:
        define.change_state(waiting.engine, "job", "running")
        define.change_state(waiting.engine, "job", "paused")
    waiting.requeue(run, failed=True)
    claim = waiting.claim()
    assert (len(claim.started), len(claim.rejected)) == ((0, 1) if pause_again else (1, 0))
    if pause_again:
        waiting.reject(claim)
        assert waiting.states() == ["cancelled"]


def test_retention_does_not_take_a_finished_job_away_from_its_requested_run(service):
    service.add(state="paused")
    service.execute_sql("UPDATE jobs SET state = 'finished', next_run_at = NULL, updated_at = '2020-01-01'")
    run_now(service)
    assert prune(service.engine, timedelta(days=30), 10_000).jobs == 0
    assert service.claim_one().job_id == "job"


def test_a_requested_run_of_a_deleted_job_is_cancelled(waiting):
    run_now(waiting)
    define.delete(waiting.engine, "job")
    assert waiting.states() == ["cancelled"]


def test_a_paused_service_starts_no_requested_run(waiting):
    waiting.execute_sql("UPDATE service SET state = 'paused'")
    run_now(waiting)
    assert waiting.claim().started == []


@pytest.mark.parametrize("executing", [False, True])
def test_a_job_does_not_run_now_while_a_run_of_it_is_open(waiting, executing):
    first = run_now(waiting)
    if executing:
        waiting.claim_one()
    with pytest.raises(WrongState, match=str(first["run_id"])):
        run_now(waiting)


def test_of_many_who_want_a_job_to_run_now_one_succeeds(waiting):
    def attempt(_):
        try:
            return run_now(waiting)["run_id"]
        except WrongState:
            return None

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(8)))
    assert len([each for each in answers if each]) == len(waiting.runs()) == 1


def test_a_fire_time_that_comes_while_a_requested_run_is_open_is_skipped(waiting):
    run_now(waiting)
    waiting.execute_sql("UPDATE jobs SET next_run_at = clock_timestamp() - interval '1 minute'")
    waiting.dispatch()
    assert sorted(waiting.states()) == ["queued", "skipped"]


def test_a_requested_run_never_takes_the_place_of_a_fire_time(waiting):
    """The clock of one statement is read again and again until it meets the next fire time."""
    waiting.execute_sql("""
        CREATE SCHEMA fake;
        CREATE FUNCTION fake.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$
            SELECT next_run_at FROM jobs $$""")
    with waiting.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL search_path = fake, public, pg_catalog")
        job = define.locked(connection, "job")
        run = request.requested(connection, job, None, None)
    assert run["scheduled_for"] == job["next_run_at"] + timedelta(microseconds=1)


def test_a_pending_job_does_not_run_now(waiting):
    waiting.execute_sql("UPDATE jobs SET state = 'pending', next_run_at = NULL")
    with pytest.raises(WrongState, match="pending"):
        run_now(waiting)


def test_a_one_off_job_that_was_put_off_runs_now_and_still_at_its_time(service):
    service.add(when="2999-01-01")
    run_now(service)
    service.finish(service.claim_one())
    with service.engine.begin() as connection:
        close_left_open(connection)
    assert (service.job()["state"], service.job()["next_run_at"].year) == ("running", 2999)


def test_running_now_needs_a_job(service):
    with pytest.raises(JobNotFound):
        run_now(service)


def test_a_failed_run_is_tried_again_as_a_run_that_names_it(waiting, failed):
    again = retry(waiting, failed)
    assert (again["retry_of"], again["state"], again["run_id"] != failed) == (failed, "queued", True)
    assert waiting.claim_one().kwargs == {"number": 1}
    assert waiting.states() == ["failed", "running"]


def test_a_failed_run_is_tried_again_with_edited_kwargs(waiting, failed):
    retry(waiting, failed, {"number": 2})
    assert waiting.claim_one().kwargs == {"number": 2}
    assert waiting.job()["kwargs"] == {"number": 1}


def test_edited_kwargs_must_fit_the_handler(waiting, failed):
    with pytest.raises(InvalidOptions, match="nmber"):
        retry(waiting, failed, {"nmber": 2})
    assert waiting.states() == ["failed"]


def test_a_retry_that_is_lost_too_often_tells_of_the_kwargs_it_had(waiting, failed):
    retry(waiting, failed, {"number": 2})
    run = waiting.claim_one()
    with waiting.engine.begin() as connection:
        fail_lost_runs(connection, [(run.run_id, run.scheduled_for, run.attempt)], "lost")
    ((kwargs,),) = waiting.execute_sql("SELECT kwargs FROM jobs WHERE kwargs ->> 'run_id' = :id", id=run.run_id)
    assert kwargs["failed_handler_kwargs"] == {"number": 2}


def test_a_run_is_not_tried_again_while_another_one_is_open_or_once_its_job_is_deleted(waiting, failed):
    run_now(waiting)
    with pytest.raises(WrongState, match="still queued or executing"):
        retry(waiting, failed)
    define.delete(waiting.engine, "job")
    waiting.add(periodically="1 hour")
    with pytest.raises(WrongState, match="deleted"):
        retry(waiting, failed)


def test_a_run_that_succeeded_or_is_open_is_not_tried_again(waiting):
    run = run_now(waiting)
    with pytest.raises(WrongState, match="queued"):
        retry(waiting, run["run_id"])
    waiting.finish(waiting.claim_one())
    with pytest.raises(WrongState, match="succeeded"):
        retry(waiting, run["run_id"])


@pytest.fixture
def failed_message(service):
    body = {"args": [], "kwargs": {"a": 1}, "options": {}}
    with service.engine.begin() as connection:
        send_messages(connection, [NewMessage(run_id=NOBODY, actor="greet", queue="default", body=body)])
    service.finish(service.claim_one(), "failed", "it broke")
    return NOBODY


@pytest.mark.parametrize("executing", [False, True])
def test_a_message_that_is_being_tried_again_is_not_sent_once_more_until_that_has_ended(
    service, failed_message, executing
):
    first = retry(service, failed_message)
    run = service.claim_one() if executing else None
    with pytest.raises(WrongState, match=f"is being tried again already, by run {first['run_id']}"):
        retry(service, failed_message)
    service.finish(run or service.claim_one(), "failed", "again")
    assert retry(service, failed_message)["state"] == "queued"


def test_of_many_who_send_a_failed_message_again_one_succeeds(service, failed_message):
    """All of them wait for the row of the run, which is held."""

    def attempt(_):
        try:
            return retry(service, failed_message)["run_id"]
        except WrongState:
            return None

    with ThreadPoolExecutor(4) as pool:
        with service.engine.begin() as other:
            other.exec_driver_sql("SELECT FROM runs FOR UPDATE")
            attempts = [pool.submit(attempt, number) for number in range(4)]
            wait_for(lambda: service.execute_sql(WAITING)[0][0] == 4, "four requests that wait for the row")
        answers = [each.result() for each in attempts]
    assert len([each for each in answers if each]) == 1
    assert sorted(service.states()) == ["failed", "queued"]


def test_a_run_that_is_being_tried_again_is_not_tried_once_more_however_many_runs_its_job_may_have(waiting, failed):
    edit.patch(waiting.engine, waiting.registry, "job", {"max_concurrent_runs": 5})
    retry(waiting, failed)
    with pytest.raises(WrongState, match="is being tried again already"):
        retry(waiting, failed)


def test_the_retries_of_a_run_are_found_by_an_index(service):
    with service.engine.connect() as connection:
        connection.exec_driver_sql("SET enable_seqscan = off")
        plan = connection.exec_driver_sql(f"EXPLAIN SELECT FROM runs WHERE retry_of = '{NOBODY}'").scalars().all()
    assert not any("Seq Scan" in line for line in plan)


def test_a_failed_message_is_sent_again_and_stays_a_task_of_its_flow(service):
    body = {"args": [], "kwargs": {"a": 1}, "options": {"retries": 3, "traceback": "…", "kept": True}}
    message = NewMessage(
        run_id=NOBODY, actor="greet", queue="default", body=body, flow_id=NOBODY.replace("7", "8"), task="scan"
    )
    with service.engine.begin() as connection:
        send_messages(connection, [message])
    service.finish(service.claim_one(), "failed", "it broke")
    retry(service, NOBODY)
    run = service.claim_one()
    assert run.message == {"args": [], "kwargs": {"a": 1}, "options": {"kept": True}}
    assert (run.actor, run.flow_id, run.task) == ("greet", message.flow_id, "scan")
    service.finish(run, "failed", "again")
    retry(service, run.run_id, {"a": 2})
    assert service.claim_one().message["kwargs"] == {"a": 2}


def test_a_queued_run_that_is_cancelled_never_starts(waiting):
    run = run_now(waiting)
    cancelled = cancel(waiting, run["run_id"])
    assert (cancelled["state"], cancelled["reason"]) == ("cancelled", reasons.CANCELLED_REQUESTED)
    assert waiting.claim().started == []
    run_now(waiting)


def test_a_one_off_job_whose_run_is_cancelled_is_finished(service):
    service.add()
    service.dispatch()
    cancel(service, service.runs()[0]["run_id"])
    with service.engine.begin() as connection:
        close_left_open(connection)
    assert service.job()["state"] == "finished"


def test_a_run_that_has_ended_is_not_cancelled(waiting):
    run = run_now(waiting)
    waiting.finish(waiting.claim_one())
    with pytest.raises(WrongState, match="is succeeded"):
        cancel(waiting, run["run_id"])


@pytest.mark.parametrize("do", [retry, cancel])
@pytest.mark.parametrize("run_id", [NOBODY, "no uuid"])
def test_retrying_and_cancelling_need_a_run(service, do, run_id):
    with pytest.raises(RunNotFound):
        do(service, run_id)


def test_a_retry_of_a_retry_keeps_its_edited_kwargs(service):
    service.add(periodically="1 day", kwargs={"number": 1})
    service.dispatch()
    first = service.claim_one()
    service.finish(first, "failed", "x")
    request.retry(service.engine, service.registry, first.run_id, {"number": 2})
    second = service.claim_one()
    service.finish(second, "failed", "x")
    request.retry(service.engine, service.registry, second.run_id, None)
    assert service.claim_one().kwargs == {"number": 2}


def test_the_edited_kwargs_of_a_queued_retry_are_not_for_another_handler(service):
    service.add(handler="OtherQueue", periodically="1 day", kwargs={"number": 1})
    service.dispatch()
    (first,) = service.claim(queues=("other",)).started
    service.finish(first, "failed", "x")
    request.retry(service.engine, service.registry, first.run_id, {"number": 2})
    edit.patch(service.engine, service.registry, "job", {"handler": "Noop", "kwargs": {"number": 3}})
    run = service.claim_one()
    assert (run.actor, run.kwargs) == ("Noop", {"number": 3})


def test_pausing_a_paused_job_cancels_what_has_been_asked_for_since(service):
    service.add(periodically="1 day", when="2100-01-01", state="paused")
    request.run_now(service.engine, "job")
    define.change_state(service.engine, "job", "paused")
    assert service.states() == ["cancelled"]
    version = service.job()["version"]
    define.change_state(service.engine, "job", "paused")
    assert service.job()["version"] == version
