"""A claim is a start: judged by grace, by the job and by the service, fenced by the attempt."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from waiting import wait_for

from bayesian_jobs.lifecycle import define, edit
from bayesian_jobs.lifecycle import service as service_state
from bayesian_jobs.store import processes
from bayesian_jobs.store.claims import claim_runs, next_claim_in
from bayesian_jobs.store.endings import Ending, finish_runs
from bayesian_jobs.store.engine import database_now, make_engine
from bayesian_jobs.store.service import change_state

MINUTE = timedelta(minutes=1)
WAITING_FOR_LOCKS = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def queued(service):
    service.add(periodically="1 hour", kwargs={"number": 7})
    service.dispatch()
    return service


def test_a_claimed_run_is_running_and_carries_what_its_handler_needs(queued):
    process_no = queued.process()
    run = queued.claim_one(process_no)
    (row,) = queued.runs()
    assert (run.actor, run.kwargs, run.attempt, run.job_id) == ("Noop", {"number": 7}, 1, "job")
    assert (row["state"], row["attempt"], row["worker"], row["claim_at"]) == ("running", 1, process_no, None)
    assert row["started_at"] is not None


def test_a_claim_is_noted_as_held_by_its_process(queued):
    process_no = queued.process()
    run = queued.claim_one(process_no)
    with queued.engine.connect() as connection:
        assert processes.read_holding(connection, process_no) == [run.run_id]


def test_a_run_is_claimed_by_one_worker_only(queued):
    queued.claim_one()
    assert queued.claim().started == []


def test_a_run_that_another_transaction_has_locked_is_passed_by(queued):
    with queued.engine.connect() as connection:
        claim_runs(connection, queued.process(), ["default"], 1, holding=[], lease=MINUTE)
        assert queued.claim().started == []
        connection.rollback()
    assert len(queued.claim().started) == 1


def test_only_the_queues_that_are_asked_for_are_claimed(service):
    service.add("here")
    service.add("there", "OtherQueue")
    service.dispatch()
    assert [run.job_id for run in service.claim(queues=("other",)).started] == ["there"]
    assert [run.job_id for run in service.claim(queues=("default", "other")).started] == ["here"]


def test_no_more_runs_are_claimed_than_asked_for_over_all_queues(service):
    for number in range(4):
        service.add(f"here-{number}")
        service.add(f"there-{number}", "OtherQueue")
    service.dispatch()
    assert len(service.claim(limit=5, queues=("default", "other")).started) == 5


def test_a_delayed_run_is_not_claimed_before_its_time(queued):
    run = queued.claim_one()
    assert queued.requeue(run, delay=MINUTE)
    assert queued.claim().started == []
    queued.execute_sql("UPDATE runs SET claim_at = claim_at - interval '1 minute'")
    assert queued.claim_one().attempt == 2


def test_a_run_past_its_grace_never_starts_and_is_recorded_as_missed(service):
    service.add(periodically="1 hour", misfire_grace_time="1 minute")
    service.dispatch()
    service.execute_sql("UPDATE jobs SET misfire_grace_time = interval '1 microsecond'")
    claim = service.claim()
    assert claim.started == []
    service.reject(claim)
    (run,) = service.runs()
    assert (run["state"], run["reason"], run["started_at"]) == ("missed", "late", None)


def test_a_one_off_job_whose_run_waited_beyond_its_grace_is_finished(service):
    service.add(misfire_grace_time="1 minute")
    service.dispatch()
    service.execute_sql("UPDATE jobs SET misfire_grace_time = interval '1 microsecond'")
    service.reject(service.claim())
    assert service.job()["state"] == "finished"


def test_a_retry_is_not_judged_by_the_grace(service):
    service.add(misfire_grace_time="1 minute")
    service.dispatch()
    service.requeue(service.claim_one(), failed=True)
    service.execute_sql("UPDATE jobs SET misfire_grace_time = interval '1 microsecond'")
    assert service.claim_one().attempt == 2


def test_a_run_that_was_handed_back_before_it_began_is_judged_by_the_grace_again(service):
    service.add(misfire_grace_time="1 minute")
    service.dispatch()
    service.requeue(service.claim_one(), begun=False)
    service.execute_sql("UPDATE jobs SET misfire_grace_time = interval '1 microsecond'")
    assert service.claim().started == []


def test_nothing_is_claimed_while_the_service_is_paused(queued):
    service_state.change_state(queued.engine, "paused")
    assert queued.claim().started == []
    service_state.change_state(queued.engine, "running")
    assert len(queued.claim().started) == 1


def test_a_pause_of_the_service_waits_for_claims_that_still_saw_it_running(queued):
    with queued.engine.connect() as connection:
        claim_runs(connection, queued.process(), ["default"], 1, holding=[], lease=MINUTE)
        with queued.engine.connect() as pausing:
            pausing.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
            with pytest.raises(DBAPIError, match="lock timeout"):
                change_state(pausing, "paused")
        connection.rollback()


def test_a_process_that_has_been_given_up_claims_nothing(queued):
    process_no = queued.process()
    with queued.engine.begin() as connection:
        processes.end(connection, process_no)
    assert queued.claim(process_no).alive is False
    assert queued.states() == ["queued"]


def test_a_finish_is_recorded_once(queued):
    run = queued.claim_one()
    assert queued.finish(run)
    assert not queued.finish(run, "failed", "too late")
    (row,) = queued.runs()
    assert (row["state"], row["reason"]) == ("succeeded", None)


def test_a_late_finish_of_an_older_attempt_changes_nothing(queued):
    first = queued.claim_one()
    queued.requeue(first, lost=True)
    second = queued.claim_one()
    assert not queued.finish(first, "failed", "from the dead")
    assert queued.states() == ["running"]
    assert queued.finish(second)
    assert second.attempt == 2


def test_a_late_requeue_of_an_older_attempt_changes_nothing(queued):
    first = queued.claim_one()
    queued.requeue(first)
    queued.claim_one()
    assert not queued.requeue(first)
    assert queued.states() == ["running"]


def test_a_failed_run_leaves_a_failure_entry_that_describes_it(queued):
    run = queued.claim_one()
    with queued.engine.begin() as connection:
        finish_runs(connection, [Ending(run, "failed", "ValueError: boom", "Traceback …")])
    (entry,) = queued.execute_sql("SELECT * FROM jobs WHERE handler = 'ErrorHandler'")
    assert entry.state == "paused"
    assert entry.kwargs == {
        "exc_str": "ValueError: boom",
        "exc_traceback": "Traceback …",
        "failed_job_id": "job",
        "failed_job_handler": "Noop",
        "failed_handler_kwargs": {"number": 7},
        "run_id": run.run_id,
    }
    assert queued.runs()[0]["failures"] == 1


def test_a_failure_entry_is_kept_only_if_the_failure_is(queued):
    run = queued.claim_one()
    with queued.engine.connect() as connection:
        finish_runs(connection, [Ending(run, "failed", "boom", "")])
        connection.rollback()
    assert queued.execute_sql("SELECT FROM jobs WHERE handler = 'ErrorHandler'") == []
    assert queued.states() == ["running"]


def test_a_one_off_job_is_finished_when_its_run_has_ended(service):
    service.add()
    service.dispatch()
    run = service.claim_one()
    assert service.job()["state"] == "running"
    service.finish(run)
    assert service.job()["state"] == "finished"


def test_a_batch_of_ends_is_recorded_together(service):
    for number in range(5):
        service.add(f"job-{number}")
    service.dispatch()
    runs = service.claim().started
    with service.engine.begin() as connection:
        ended = finish_runs(connection, [Ending(run, "succeeded") for run in runs])
    assert ended == {run.run_id for run in runs}


def claim_and_end(service, *runs, process_no=None):
    with service.engine.begin() as connection:
        endings = [Ending(run, "succeeded") for run in runs]
        process_no = process_no or service.process()
        return claim_runs(connection, process_no, ["default"], 1, holding=[], lease=MINUTE, endings=endings)


def test_a_claim_records_ends_on_its_way(service):
    service.add("first")
    service.add("second")
    service.dispatch()
    (first,) = service.claim(limit=1).started
    claim = claim_and_end(service, first)
    assert (claim.ended, len(claim.started)) == (1, 1)
    assert sorted(service.states()) == ["running", "succeeded"]
    assert service.job(first.job_id)["state"] == "finished"


def test_a_claim_that_finds_nothing_records_ends_all_the_same(queued):
    claim = claim_and_end(queued, queued.claim_one())
    assert (claim.ended, claim.started, claim.rejected, claim.alive) == (1, [], [], True)
    assert queued.states() == ["succeeded"]


def test_a_claim_records_no_end_of_an_older_attempt(queued):
    first = queued.claim_one()
    queued.requeue(first)
    assert claim_and_end(queued, first).ended == 0
    assert queued.states() == ["running"]


def test_what_a_process_reports_after_it_has_been_given_up_counts_as_long_as_nobody_has_taken_the_run(service):
    service.add("first")
    service.add("second")
    service.dispatch()
    process_no = service.process()
    (first,) = service.claim(process_no, limit=1).started
    with service.engine.begin() as connection:
        processes.end(connection, process_no)
    claim = claim_and_end(service, first, process_no=process_no)
    assert (claim.ended, claim.started, claim.alive) == (1, [], False)
    assert sorted(service.states()) == ["queued", "succeeded"]


def test_a_claim_that_waits_for_a_run_to_end_starts_others_at_the_time_after_that(service):
    service.add("first")
    service.add("second")
    service.dispatch()
    (first,) = service.claim(limit=1).started
    with service.engine.connect() as holding, ThreadPoolExecutor(1) as pool:
        holding.execute(text("SELECT FROM runs WHERE run_id = :run_id FOR UPDATE"), {"run_id": first.run_id})
        claiming = pool.submit(claim_and_end, service, first)
        wait_for(lambda: service.execute_sql(WAITING_FOR_LOCKS))
        freed_at = database_now(holding)
        holding.rollback()
        (second,) = claiming.result().started
    (run,) = [run for run in service.runs() if run["run_id"] == second.run_id]
    assert run["started_at"] > freed_at


def test_a_claim_that_races_with_an_edit_never_starts_the_old_definition(queued):
    """The edit has brought the queued run along; the claim's snapshot still has the old job."""
    with queued.engine.connect() as claiming:
        queued.execute_sql("UPDATE runs SET job_version = 2")  # an edit whose jobs row is not visible yet
        claim = claim_runs(claiming, queued.process(), ["default"], 1, holding=[], lease=MINUTE)
        assert claim.started == []
        assert claim.rejected == []
        claiming.rollback()


def test_a_run_that_goes_back_takes_the_present_definition_along(queued):
    run = queued.claim_one()
    with queued.engine.begin() as connection:
        job = define.locked(connection, "job")
        spec = replace(edit.spec_of(job, queued.registry), handler="OtherQueue", kwargs={"number": 8})
        edit.replace(connection, queued.registry, job, spec)
    assert queued.requeue(run, lost=True)
    again = queued.claim(queues=("other",)).started[0]
    assert (again.actor, again.kwargs, again.attempt) == ("OtherQueue", {"number": 8}, 2)


def test_a_retry_that_was_handed_back_before_it_began_again_is_not_judged_by_the_grace(service):
    service.add(misfire_grace_time="1 minute")
    service.dispatch()
    service.requeue(service.claim_one(), begun=True)
    service.requeue(service.claim_one(), begun=False)
    service.execute_sql("UPDATE jobs SET misfire_grace_time = interval '1 microsecond'")
    assert service.claim_one().attempt == 3


def test_a_session_sees_what_was_committed_while_it_waited_whatever_the_database_prefers(queued, database_url):
    queued.execute_sql(
        "DO $$ BEGIN EXECUTE format("
        "'ALTER DATABASE %I SET default_transaction_isolation = ''repeatable read''', current_database()); END $$"
    )
    engine = make_engine(database_url, "test", hot=True)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
    engine.dispose()


def test_of_the_runs_of_a_queue_those_of_the_lowest_priority_are_claimed_first(service):
    for job_id, options in {"late": {"priority": 9}, "usual": {}, "early": {"priority": 0}}.items():
        service.add(job_id, **options)
        service.dispatch()
    process = service.process()
    claimed = [service.claim(process, limit=1).started[0].job_id for _ in range(3)]
    assert claimed == ["early", "usual", "late"]


def test_the_next_claim_is_known_whatever_its_priority(service):
    service.add("later", priority=1)
    service.dispatch()
    service.execute_sql("UPDATE runs SET claim_at = now() + interval '1 hour'")
    service.add("sooner", priority=8)
    service.dispatch()
    service.execute_sql("UPDATE runs SET claim_at = now() + interval '1 minute' WHERE job_id = 'sooner'")
    with service.engine.connect() as connection:
        wait = next_claim_in(connection, ["default"])
    assert timedelta(seconds=50) < wait <= timedelta(minutes=1)


def test_an_edit_takes_the_queued_run_along_to_the_new_queue_and_priority(service):
    service.add()
    service.dispatch()
    edit.patch(service.engine, service.registry, "job", {"priority": 1, "queue": "other"})
    (run,) = service.runs()
    assert (run["priority"], run["queue"]) == (1, "other")
    service.requeue(service.claim(queues=("other",)).started[0])
    assert service.runs()[0]["priority"] == 1
