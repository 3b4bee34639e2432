"""Creating, pausing, resuming, changing and deleting jobs: what is answered is obeyed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from bayesian_jobs.domain import reasons
from bayesian_jobs.errors import InvalidOptions, JobExists, JobNotFound
from bayesian_jobs.lifecycle import define, edit
from bayesian_jobs.lifecycle.options import parse_options
from bayesian_jobs.store.claims import claim_runs
from bayesian_jobs.store.closing import close_left_open

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def pause(service, job_id="job"):
    return define.change_state(service.engine, job_id, "paused")


def resume(service, job_id="job"):
    return define.change_state(service.engine, job_id, "running")


def replace(service, **options):
    with service.engine.begin() as connection:
        job = define.locked(connection, "job")
        spec = parse_options({"job_id": "job", "handler": "Noop", **options}, service.registry, service.now())
        edit.replace(connection, service.registry, job, spec)


def test_a_new_job_is_running_and_due_now_unless_told_otherwise(service):
    job = service.add()
    assert (job["state"], job["version"], job["queue"]) == ("running", 1, "default")
    assert job["next_run_at"] == job["starts_at"] <= service.now()


def test_a_job_without_an_id_gets_one(service):
    job = define.create(service.engine, service.registry, {"handler": "Noop"})
    assert len(job["job_id"]) == 36


def test_a_periodic_job_whose_when_lies_in_the_past_keeps_its_phase(service):
    job = service.add(periodically="1 hour", when="2020-01-01T00:30")
    assert job["next_run_at"].minute == 30
    assert timedelta(0) <= job["next_run_at"] - service.now() <= HOUR


def test_a_job_id_is_taken_once(service):
    service.add()
    with pytest.raises(JobExists, match="'job'"):
        service.add()


def test_of_many_that_create_one_job_at_once_one_succeeds(service):
    def create(_):
        try:
            return service.add()["job_id"]
        except JobExists:
            return None

    with ThreadPoolExecutor(8) as creators:
        created = list(creators.map(create, range(8)))
    assert sorted(filter(None, created)) == ["job"]


@pytest.mark.parametrize(
    ("options", "faulty"),
    [
        ({"handler": "Nope"}, "handler"),
        ({"handler": 3}, "handler"),
        ({"kwargs": {"nope": 1}}, "kwargs.nope"),
        ({"kwargs": {"number": "x"}}, "kwargs.number"),
        ({"kwargs": []}, "kwargs"),
        ({"periodically": "1 month"}, "periodically"),
        ({"periodically": "90"}, "periodically"),
        ({"periodically": "0 seconds"}, "periodically"),
        ({"periodically": "-1 day"}, "periodically"),
        ({"periodically": "0 0 30 2 *"}, "periodically"),
        ({"periodically": 5}, "periodically"),
        ({"misfire_grace_time": "soon"}, "misfire_grace_time"),
        ({"when": "someday"}, "when"),
        ({"when": "2020-01-01", "misfire_grace_time": "1 hour"}, "when"),
        ({"state": "finished"}, "state"),
        ({"job_id": ""}, "job_id"),
        ({"job_id": "a\nb"}, "job_id"),
        ({"job_id": "x" * 201}, "job_id"),
        ({"timezone": "Mars/Olympus", "periodically": "@daily"}, "timezone"),
        ({"timezone": "Europe/Paris", "periodically": "1 day"}, "timezone"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_option_that_cannot_be_used_is_named_and_nothing_is_stored(service, options, faulty):
    with pytest.raises(InvalidOptions) as raised:
        define.create(service.engine, service.registry, {"handler": "Noop", **options})
    assert [fault.option for fault in raised.value.faults] == [faulty]
    assert service.execute_sql("SELECT FROM jobs") == []


def test_all_faults_are_told_at_once(service):
    with pytest.raises(InvalidOptions) as raised:
        define.create(service.engine, service.registry, {"when": "x", "periodically": "y", "state": "z"})
    assert {fault.option for fault in raised.value.faults} == {"handler", "when", "periodically", "state"}


def test_pausing_cancels_queued_runs_and_no_run_is_created_afterwards(service):
    service.add(periodically="1 hour")
    service.dispatch()
    assert pause(service)["state"] == "paused"
    (run,) = service.runs()
    assert (run["state"], run["reason"]) == ("cancelled", reasons.CANCELLED_PAUSED)
    assert service.dispatch(service.now() + 5 * HOUR) is None


def test_pausing_leaves_executing_runs_alone(service):
    service.add(periodically="1 hour")
    service.dispatch()
    run = service.claim_one()
    pause(service)
    assert service.finish(run)


def test_a_run_that_goes_back_to_the_queue_of_a_paused_job_never_starts(service):
    service.add(periodically="1 hour")
    service.dispatch()
    run = service.claim_one()
    pause(service)
    service.requeue(run, failed=True)
    claim = service.claim()
    assert claim.started == []
    service.reject(claim)
    assert service.states() == ["cancelled"]


def test_resuming_records_what_passed_as_skipped_and_goes_on_in_the_future(service):
    service.add(periodically="10 minutes", state="paused")
    service.make_due(ago=HOUR + 3 * MINUTE)
    first = service.job()["next_run_at"]
    job = resume(service)
    (record,) = service.runs()
    assert (record["state"], record["reason"], record["missed_count"]) == ("skipped", reasons.SKIPPED_PAUSED, 7)
    assert (record["scheduled_for"], record["missed_until"]) == (first, first + HOUR)
    assert job["next_run_at"] == first + 70 * MINUTE > service.now()
    assert service.dispatch() is None


def test_fire_times_that_were_due_when_the_job_was_paused_are_accounted_for_too(service):
    service.add(periodically="10 minutes")
    service.make_due(ago=25 * MINUTE)
    pause(service)
    resume(service)
    assert [run["missed_count"] for run in service.runs()] == [3]


def test_a_one_off_job_that_was_put_off_by_a_pause_runs_when_it_is_resumed(service):
    service.add(state="paused")
    resume(service)
    service.dispatch()
    assert service.states() == ["queued"]


def test_a_state_that_the_job_has_already_changes_nothing(service):
    service.add(periodically="1 hour")
    version = service.job()["version"]
    resume(service)
    assert service.job()["version"] == version


def test_a_job_without_fire_times_cannot_be_set_running(service):
    service.add()
    service.dispatch()
    service.finish(service.claim_one())
    for change in (pause, resume):
        with pytest.raises(InvalidOptions, match="no fire time left"):
            change(service)


def test_deleting_removes_the_job_cancels_its_queued_runs_and_keeps_its_history(service):
    service.add(periodically="1 hour")
    service.dispatch()
    assert define.delete(service.engine, "job") == ["job"]
    assert service.job() is None
    (run,) = service.runs()
    assert (run["state"], run["reason"]) == ("cancelled", reasons.CANCELLED_DELETED)
    with pytest.raises(JobNotFound):
        define.delete(service.engine, "job")


def test_a_run_whose_job_was_deleted_while_it_executed_does_not_start_again(service):
    service.add(periodically="1 hour")
    service.dispatch()
    run = service.claim_one()
    define.delete(service.engine, "job")
    service.requeue(run, lost=True)
    service.reject(service.claim())
    assert service.states() == ["cancelled"]


def test_a_job_created_again_under_its_old_id_is_another_job(service):
    when = "2100-01-01"
    service.add(when=when)
    service.dispatch(service.job()["starts_at"])
    define.delete(service.engine, "job")
    service.add(when=when)
    service.dispatch(service.job()["starts_at"])
    assert service.states() == ["cancelled", "queued"]


def test_a_change_waits_for_claims_under_way_and_later_claims_start_the_new_definition(service):
    service.add(periodically="1 hour", kwargs={"number": 1})
    service.dispatch()
    with ThreadPoolExecutor(1) as editor, service.engine.connect() as claiming:
        claim = claim_runs(claiming, service.process(), ["default"], 1, holding=[], lease=MINUTE)
        edit = editor.submit(replace, service, periodically="1 hour", kwargs={"number": 2})
        wait_until_someone_waits_for_a_lock(service)
        assert not edit.done()
        claiming.commit()
        edit.result(timeout=10)
    service.requeue(claim.started[0])
    assert service.claim_one().kwargs == {"number": 2}


def wait_until_someone_waits_for_a_lock(service):
    deadline = service.now() + 10 * timedelta(seconds=1)
    while service.execute_sql("SELECT FROM pg_locks WHERE NOT granted") == []:
        assert service.now() < deadline, "nobody waits"


def test_a_queued_run_of_a_changed_job_starts_with_the_new_handler_and_kwargs(service):
    service.add(periodically="1 hour", kwargs={"number": 1})
    service.dispatch()
    replace(
        service, handler="OtherQueue", periodically="1 hour", kwargs={"number": 2}, when=str(service.job()["starts_at"])
    )
    (run,) = service.claim(queues=("other",)).started
    assert (run.actor, run.kwargs) == ("OtherQueue", {"number": 2})


def test_changing_the_trigger_never_fires_by_surprise(service):
    service.add(periodically="10 minutes")
    service.make_due(ago=25 * MINUTE)
    replace(service, periodically="1 hour", when="2020-01-01")
    assert service.job()["next_run_at"] > service.now()
    (record,) = service.runs()
    assert (record["state"], record["reason"], record["missed_count"]) == ("skipped", reasons.SKIPPED_CHANGED, 3)


def test_changing_only_the_kwargs_keeps_the_next_fire_time(service):
    service.add(periodically="1 hour", when="2020-01-01")
    before = service.job()["next_run_at"]
    replace(service, periodically="1 hour", when="2020-01-01", kwargs={"number": 3})
    assert service.job()["next_run_at"] == before
    assert service.job()["kwargs"] == {"number": 3}


def test_failure_entries_are_removed_together(service):
    service.add()
    service.dispatch()
    service.finish(service.claim_one(), "failed", "boom")
    (entry,) = service.execute_sql("SELECT job_id FROM jobs WHERE handler = 'ErrorHandler'")
    assert define.clean_failed(service.engine) == [entry.job_id]
    assert define.clean_failed(service.engine) == []
    assert service.job() is not None


def test_a_retry_that_waited_through_a_pause_starts_after_it(service):
    service.add(periodically="1 hour")
    service.dispatch()
    run = service.claim_one()
    pause(service)
    service.requeue(run, failed=True)
    resume(service)
    assert service.claim_one().attempt == 2


def test_a_finished_one_off_job_that_is_given_a_new_time_begins_again(service):
    service.add()
    service.dispatch()
    service.finish(service.claim_one())
    replace(service, when="2100-01-01", kwargs={"number": 2})
    job = service.job()
    assert (job["state"], job["next_run_at"].year) == ("running", 2100)


def test_a_finished_one_off_job_whose_time_stays_is_not_run_again(service):
    service.add()
    service.dispatch()
    service.finish(service.claim_one())
    replace(service, when=service.job()["starts_at"].isoformat(), kwargs={"number": 2})
    assert (service.job()["state"], service.job()["kwargs"]) == ("finished", {"number": 2})
    assert service.dispatch() is None


def test_a_handler_of_the_services_own_cannot_be_asked_for(service):
    with pytest.raises(InvalidOptions, match="a handler of the service's own"):
        service.add(handler="ErrorHandler", kwargs={"exc_str": "forged"})


def test_a_pending_job_can_be_neither_paused_nor_resumed_and_is_not_taken_for_one_that_is_over(service):
    service.execute_sql("INSERT INTO jobs (job_id, handler) VALUES ('job', 'Noop')")
    for change in (pause, resume):
        with pytest.raises(InvalidOptions, match="pending"):
            change(service)
    with service.engine.begin() as connection:
        close_left_open(connection)
    assert service.job()["state"] == "pending"


def test_a_stored_trigger_that_cannot_be_read_is_named(service):
    service.add(periodically="* * * * *", state="paused")
    service.execute_sql("UPDATE jobs SET cron = 'bogus', next_run_at = now()")
    with pytest.raises(InvalidOptions, match="periodically: 'bogus'"):
        resume(service)
