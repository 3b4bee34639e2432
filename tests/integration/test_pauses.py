"""A pause with a reason and an end: when that has come, a scheduler resumes the job or the service, and nothing fires
by surprise."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from bayesian_jobs.domain import reasons
from bayesian_jobs.errors import InvalidOptions
from bayesian_jobs.lifecycle import admit, define, edit
from bayesian_jobs.lifecycle import service as service_state
from bayesian_jobs.scheduler import Scheduler
from bayesian_jobs.store import service as store

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FAR = "2999-01-01T00:00:00Z"


def pause(service, until=FAR, reason="moving the database"):
    return define.change_state(service.engine, "job", "paused", reason=reason, until=until)


def over(service, ago="1 second"):
    """Let the time of the pause have come."""
    service.execute_sql("UPDATE jobs SET paused_until = now() - CAST(:ago AS interval)", ago=ago)


def admitted(service):
    with service.engine.connect() as connection:
        return admit.admit_jobs(connection, service.registry)


def told(job):
    return job["paused_reason"], job["paused_until"] and job["paused_until"].year


@pytest.fixture
def scheduler(service):
    scheduler = Scheduler(service.engine, service.registry)
    with scheduler._membership.join(set()) as connection:
        yield lambda: scheduler.tick(connection)


def test_a_pause_keeps_its_reason_and_its_end_until_the_job_is_resumed(service):
    service.add(periodically="1 hour")
    assert told(pause(service)) == ("moving the database", 2999)
    assert told(define.change_state(service.engine, "job", "running")) == (None, None)


def test_pausing_again_says_anew_why_and_until_when(service):
    service.add(periodically="1 hour")
    first = pause(service)
    assert told(pause(service, until="2998-01-01", reason=None)) == (None, 2998)
    assert told(define.change_state(service.engine, "job", "paused")) == (None, None)
    assert service.job()["paused_at"] == first["paused_at"]


def test_the_same_pause_again_changes_nothing(service):
    service.add(periodically="1 hour")
    assert {**pause(service)} == {**pause(service)}


def test_a_definition_that_repeats_paused_leaves_the_pause_as_it_is(service):
    service.add(periodically="1 hour")
    before = pause(service)
    edit.patch(service.engine, service.registry, "job", {"state": "paused"})
    assert {**service.job()} == {**before}


def test_at_its_end_the_job_is_resumed_and_nothing_fires_by_surprise(service, scheduler):
    service.add(periodically="10 minutes")
    pause(service)
    service.make_due(ago=HOUR + 3 * MINUTE)
    first = service.job()["next_run_at"]
    over(service)
    scheduler()
    job = service.job()
    assert (job["state"], told(job)) == ("running", (None, None))
    assert job["next_run_at"] == first + 70 * MINUTE > service.now()
    (skipped,) = service.runs()
    assert (skipped["state"], skipped["reason"], skipped["missed_count"]) == ("skipped", reasons.SKIPPED_PAUSED, 7)
    scheduler()
    assert len(service.runs()) == 1


def test_before_its_end_it_stays_paused(service, scheduler):
    service.add(periodically="10 minutes")
    pause(service)
    scheduler()
    assert service.job()["state"] == "paused"


def test_the_scheduler_wakes_when_the_pause_ends(service):
    service.add(periodically="1 day", when=FAR)
    pause(service)
    service.execute_sql("UPDATE jobs SET paused_until = clock_timestamp() + interval '2 seconds'")
    scheduler = Scheduler(service.engine, service.registry)
    with service.engine.connect() as connection:
        scheduler._dispatch(connection)
    assert 0 < scheduler._admitting.at - scheduler._dispatching.at + 5 <= 2.1


def test_a_one_off_job_that_the_pause_put_off_runs_at_its_end(service, scheduler):
    service.add()
    pause(service)
    over(service)
    scheduler()
    scheduler()
    assert service.states() == ["queued"]


@pytest.mark.parametrize("by", ["hand", "itself"])
def test_a_job_whose_last_fire_time_passed_in_the_pause_is_finished(service, by):
    service.add(periodically="10 minutes", end="2998-01-01")
    pause(service)
    service.make_due(ago=25 * MINUTE)
    service.execute_sql("UPDATE jobs SET ends_at = now() - interval '1 minute'")
    if by == "hand":
        define.change_state(service.engine, "job", "running")
    else:
        over(service)
        admitted(service)
    assert (service.job()["state"], told(service.job())) == ("finished", (None, None))
    assert [(run["state"], run["missed_count"]) for run in service.runs()] == [("skipped", 3)]


def test_a_long_pause_of_a_cron_job_is_settled_in_slices(service, monkeypatch):
    monkeypatch.setattr(admit, "SLICE", 100)
    service.add(periodically="* * * * *", when="2026-01-01")
    pause(service)
    service.execute_sql("UPDATE jobs SET next_run_at = date_trunc('minute', now()) - interval '4 hours'")
    first = service.job()["next_run_at"]
    over(service)
    states = []
    while (admitted(service), service.job()["state"])[1] == "paused":
        states.append("paused")
        assert len(states) < 10
    assert len(states) == 2
    records = service.runs()
    assert {record["reason"] for record in records} == {reasons.SKIPPED_PAUSED}
    assert first + sum(record["missed_count"] for record in records) * MINUTE == service.job()["next_run_at"]
    assert service.job()["next_run_at"] > service.now() - MINUTE


def test_a_job_that_cannot_be_resumed_is_set_aside_and_keeps_no_other_waiting(service):
    for job_id in ("bad", "good"):
        service.add(job_id, periodically="* * * * *")
        define.change_state(service.engine, job_id, "paused", until=FAR)
    service.execute_sql(
        "UPDATE jobs SET cron = 'now and then', next_run_at = now() - interval '1 hour' WHERE job_id = 'bad'"
    )
    over(service)
    admitted(service)
    assert service.job("good")["state"] == "running"
    bad = service.job("bad")
    assert (bad["state"], told(bad)) == ("paused", (None, None))
    assert "now and then" in bad["error"]
    assert not admitted(service), "and it is not tried for ever"


def test_two_schedulers_resume_a_job_once(service):
    for number in range(20):
        service.add(f"job-{number}", periodically="10 minutes")
        define.change_state(service.engine, f"job-{number}", "paused", until=FAR)
    service.execute_sql("UPDATE jobs SET next_run_at = now() - interval '25 minutes', starts_at = '2026-01-01'")
    over(service)
    with ThreadPoolExecutor(4) as schedulers:
        done = list(schedulers.map(lambda _: admitted(service), range(4)))
    assert sum(each.resumed for each in done) == 20
    assert service.states() == ["skipped"] * 20


def test_a_job_that_somebody_has_resumed_or_paused_for_longer_is_left_alone(service):
    service.add(periodically="1 hour")
    pause(service)
    over(service)
    pause(service)
    assert not admitted(service)
    assert service.job()["state"] == "paused"


# The service


def end_of_service_pause(service):
    service.execute_sql("UPDATE service SET paused_until = now() - interval '1 second'")


def service_row(service):
    with service.engine.connect() as connection:
        return store.read(connection)


def test_a_pause_of_the_service_ends_by_itself_and_is_judged_like_a_downtime(service, scheduler):
    service.add(periodically="10 minutes")
    paused = service_state.change_state(service.engine, "paused", reason="new disks", until=FAR)
    assert (paused.state, paused.paused_reason, paused.paused_until.year) == ("paused", "new disks", 2999)
    service.make_due(ago=25 * MINUTE)
    scheduler()
    assert service.states() == []
    end_of_service_pause(service)
    another = Scheduler(service.engine, service.registry)
    with another._membership.join(set()) as connection:
        another.tick(connection)
        another.tick(connection)
    now = service_row(service)
    assert (now.state, now.paused_since, now.paused_reason, now.paused_until) == ("running", None, None, None)
    assert service.states() == ["missed", "queued"]


def test_the_end_of_a_service_pause_waits_for_nobody_who_made_it_longer(service, monkeypatch):
    service_state.change_state(service.engine, "paused", until=FAR)
    end_of_service_pause(service)
    lock = store.lock

    def somebody_pauses_for_longer(connection):
        monkeypatch.setattr(store, "lock", lock)
        service_state.change_state(service.engine, "paused", until=FAR)
        lock(connection)

    monkeypatch.setattr(store, "lock", somebody_pauses_for_longer)
    with service.engine.connect() as connection:
        assert not service_state.resume_if_over(connection)
    assert service_row(service).state == "paused"


def test_a_running_service_is_not_locked_to_see_whether_its_pause_is_over(service):
    with service.engine.connect() as holder, service.engine.connect() as connection:
        holder.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": store.locks.SERVICE})
        assert not service_state.resume_if_over(connection)


def test_pausing_the_service_again_says_anew_why_and_not_since_when(service):
    first = service_state.change_state(service.engine, "paused", reason="new disks")
    again = service_state.change_state(service.engine, "paused", until=FAR)
    assert again.paused_since == first.paused_since
    assert (again.paused_reason, again.paused_until.year) == (None, 2999)


# Bad input


@pytest.mark.parametrize(
    ("change", "faulty"),
    [
        ({"state": "paused", "until": "2020-01-01"}, ["until"]),
        ({"state": "paused", "until": "tomorrow-ish"}, ["until"]),
        ({"state": "paused", "until": "infinity"}, ["until"]),
        ({"state": "paused", "reason": ""}, ["reason"]),
        ({"state": "paused", "reason": "x" * 1001}, ["reason"]),
        ({"state": "running", "until": FAR}, ["until"]),
        ({"state": "running", "reason": "x"}, ["reason"]),
        ({"state": "asleep", "until": "x", "reason": " "}, ["state", "reason", "until"]),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_changes(service, change, faulty):
    service.add(periodically="1 hour")
    before = service.job()
    for refused in (
        lambda: define.change_state(service.engine, "job", **change),
        lambda: service_state.change_state(service.engine, **change),
    ):
        with pytest.raises(InvalidOptions) as raised:
            refused()
        assert [fault.option for fault in raised.value.faults] == faulty
    assert {**service.job()} == {**before}
    assert service_row(service).state == "running"


# What has not passed in the pause


def test_what_fires_when_the_pause_ends_or_after_it_is_no_fire_time_of_the_pause(service):
    service.add(periodically="1 hour", when="2100-01-01")
    pause(service)
    service.make_due(ago=timedelta(minutes=290))
    first = service.job()["next_run_at"]
    service.execute_sql("UPDATE jobs SET paused_until = next_run_at + interval '2 hours'")
    assert admitted(service).resumed == 1
    service.dispatch()
    skipped, missed, run = service.runs()
    assert (skipped["state"], skipped["scheduled_for"], skipped["missed_count"]) == ("skipped", first, 2)
    assert (missed["state"], missed["scheduled_for"], missed["missed_count"]) == ("missed", first + 2 * HOUR, 2)
    assert (run["state"], run["scheduled_for"]) == ("queued", first + 4 * HOUR)


@pytest.mark.parametrize("by", ["the end of the pause", "an operator"])
@pytest.mark.parametrize("options", [{}, {"periodically": "1 hour"}], ids=["one-off", "periodic"])
def test_a_job_whose_last_run_is_executing_goes_on_until_that_has_ended(service, options, by):
    service.add(max_retries=3, **options)
    service.dispatch()
    run = service.claim_one()
    pause(service)
    service.execute_sql(
        "UPDATE jobs SET ends_at = next_run_at - interval '1 second', next_run_at = NULL WHERE period IS NOT NULL"
    )
    if by == "an operator":
        define.change_state(service.engine, "job", "running")
    else:
        over(service)
        assert (admitted(service).resumed, service.job()["error"]) == (1, None)
    assert service.job()["state"] == "running"
    service.requeue(run, failed=True)
    again = service.claim_one()
    service.finish(again)
    assert service.job()["state"] == "finished"
