"""Why a run did or did not happen at a time, or whether it will: one test for each thing that can be said."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.datetimes import format_datetime
from bayesian_jobs.domain.misfire import MISSED_COALESCED, MISSED_LATE
from bayesian_jobs.domain.run import RunState
from bayesian_jobs.domain.verdict import Verdict
from bayesian_jobs.errors import InvalidOptions, JobNotFound
from bayesian_jobs.lifecycle import define, edit, request
from bayesian_jobs.lifecycle import service as service_state
from bayesian_jobs.lifecycle.explain import explain
from bayesian_jobs.store import ledger

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FAR = "2999-01-01T00:00:00Z"


@pytest.fixture
def staffed(service):
    """A service with a scheduler and a worker that takes from queue default, so that nothing has to be said of them."""
    service.process("scheduler")
    worker = service.process("worker")
    service.execute_sql("UPDATE processes SET queues = '{default}' WHERE process_no = :worker", worker=worker)
    return service


def ask(service, at=None, job_id="job"):
    return explain(service.engine, job_id, at if at is None or isinstance(at, str) else format_datetime(at))


def hourly(service, **options):
    """A job whose fire times are whole hours, from the next one on."""
    return service.add(periodically="1 hour", when="2026-01-01", **options)


def born(service, ago):
    """Let the job have been there for a while."""
    service.execute_sql("UPDATE jobs SET created_at = clock_timestamp() - :ago", ago=ago)


def overdue(service, ago):
    """Let the job have been there, and nothing dispatched, for so long. Returns its first fire time."""
    service.make_due(ago=ago)
    service.execute_sql("UPDATE jobs SET starts_at = next_run_at, created_at = next_run_at")
    return service.job()["next_run_at"]


def told(explanation, *parts):
    for part in parts:
        assert part in explanation.words, explanation.words
    assert not explanation.words.endswith(".."), explanation.words


# What the ledger holds


def test_a_run_that_has_succeeded(staffed):
    job = staffed.add(periodically="1 hour")
    staffed.dispatch()
    staffed.finish(staffed.claim_one())
    answer = ask(staffed, job["starts_at"])
    assert (answer.verdict, answer.fire_time) == ("succeeded", job["starts_at"])
    assert (answer.previous, answer.next) == (None, job["starts_at"] + HOUR)
    assert answer.run["run_id"] == staffed.runs()[0]["run_id"]
    told(answer, f"The run of {format_datetime(job['starts_at'])} has succeeded: started at ", ", ended at ")
    assert "attempt" not in answer.words


def test_a_whole_second_means_the_fire_time_within_it(staffed):
    at = staffed.add(periodically="1 hour")["starts_at"]
    born(staffed, DAY)
    staffed.dispatch()
    answer = ask(staffed, at.replace(microsecond=0))
    assert (answer.verdict, answer.fire_time) == ("queued", at)
    assert ask(staffed, at + timedelta(microseconds=1)).verdict == "no_fire_time"


def test_a_run_that_has_failed_tells_its_error_and_its_attempts(staffed):
    at = staffed.add(periodically="1 hour")["starts_at"]
    staffed.dispatch()
    staffed.requeue(staffed.claim_one(), failed=True)
    staffed.finish(staffed.claim_one(), "failed", "ValueError: no such package")
    answer = ask(staffed, at)
    assert answer.verdict == "failed"
    told(answer, "has failed (started at ", "attempt 2): ValueError: no such package.")


def test_a_run_that_was_cancelled(staffed):
    at = staffed.add(periodically="1 hour")["starts_at"]
    staffed.dispatch()
    define.change_state(staffed.engine, "job", "paused")
    answer = ask(staffed, at)
    assert answer.verdict == "cancelled"
    told(answer, "was cancelled at ", reasons.CANCELLED_PAUSED)


def test_a_run_that_executes_and_where(staffed):
    at = staffed.add(periodically="1 hour")["starts_at"]
    staffed.dispatch()
    worker = staffed.process()
    staffed.claim_one(worker)
    answer = ask(staffed, at)
    assert answer.verdict == "running"
    told(answer, "is executed since ", "attempt 1", f"by worker {worker} (process ")
    staffed.execute_sql("UPDATE processes SET ended_at = now() WHERE process_no = :worker", worker=worker)
    told(ask(staffed, at), "That worker is not alive any more; the run is about to go back.")
    staffed.execute_sql("DELETE FROM processes WHERE process_no = :worker", worker=worker)
    assert ask(staffed, at).words.endswith("attempt 1.")


def test_a_run_that_executes_and_is_to_be_cancelled(staffed):
    at = staffed.add(periodically="1 hour")["starts_at"]
    staffed.dispatch()
    run = request.cancel(staffed.engine, staffed.claim_one().run_id)
    asked = format_datetime(run["cancel_requested_at"])
    told(ask(staffed, at), "is executed since ", f"At {asked} somebody asked for it to be cancelled.")


def test_fire_times_that_were_missed_together(staffed):
    staffed.add(periodically="10 minutes")
    first = overdue(staffed, ago=HOUR + 3 * MINUTE)
    staffed.dispatch()
    answer = ask(staffed, first + 20 * MINUTE)
    assert (answer.verdict, answer.fire_time) == ("missed", first + 20 * MINUTE)
    span = f"from {format_datetime(first)} to {format_datetime(first + 50 * MINUTE)}"
    told(answer, f"is one of 6 fire times, {span}, that were missed: {MISSED_COALESCED}")
    assert ask(staffed, first + HOUR).verdict == "queued"


def test_a_missed_range_says_nothing_of_the_fire_times_after_it(staffed):
    staffed.add(periodically="10 minutes", misfire_grace_time="1 minute")
    first = overdue(staffed, ago=HOUR + 3 * MINUTE)
    staffed.dispatch()
    assert ask(staffed, first + HOUR).verdict == "missed"
    answer = ask(staffed, first + 70 * MINUTE)
    assert (answer.verdict, answer.run) == ("will_run", None)


def test_one_fire_time_that_was_missed(staffed):
    staffed.add(periodically="10 minutes", misfire_grace_time="1 minute")
    at = overdue(staffed, ago=5 * MINUTE)
    staffed.dispatch()
    answer = ask(staffed, at)
    assert answer.verdict == "missed"
    told(answer, f"{format_datetime(at)} was missed: {MISSED_LATE}")


def test_a_run_that_waited_in_its_queue_for_too_long(staffed):
    at = staffed.add(periodically="1 hour", misfire_grace_time="1 minute")["starts_at"]
    staffed.dispatch()
    staffed.execute_sql("UPDATE jobs SET misfire_grace_time = interval '1 microsecond'")
    claim = staffed.claim()
    staffed.reject(claim)
    answer = ask(staffed, at)
    assert answer.verdict == "missed"
    told(answer, "The run of ", " was missed: late.")


def test_a_fire_time_that_was_skipped_while_an_earlier_run_was_open(staffed):
    at = staffed.add(periodically="10 minutes")["starts_at"]
    staffed.dispatch()
    staffed.dispatch(at + 10 * MINUTE)
    answer = ask(staffed, at + 10 * MINUTE)
    assert answer.verdict == "skipped"
    told(answer, "was skipped: " + reasons.SKIPPED_OVERLAP)


def test_fire_times_that_were_skipped_in_a_pause_are_of_an_earlier_version(staffed):
    staffed.add(periodically="10 minutes", state="paused")
    first = overdue(staffed, ago=25 * MINUTE)
    define.change_state(staffed.engine, "job", "running")
    answer = ask(staffed, first + 10 * MINUTE)
    assert answer.verdict == "skipped"
    told(answer, "one of 3 fire times", reasons.SKIPPED_PAUSED, "this is of its version 1, and it is at 2.")


def test_a_run_that_somebody_asked_for_is_of_no_fire_time(staffed):
    staffed.add(periodically="1 hour", when=FAR)
    run = request.run_now(staffed.engine, "job")
    answer = ask(staffed, run["scheduled_for"])
    assert (answer.verdict, answer.fire_time, answer.run["run_id"]) == ("queued", None, run["run_id"])
    told(answer, "The run that somebody asked for at ")


def test_a_run_that_somebody_asked_for_hides_no_range_before_it(staffed):
    staffed.add(periodically="10 minutes")
    first = overdue(staffed, ago=HOUR + 3 * MINUTE)
    staffed.dispatch()
    staffed.execute_sql("UPDATE runs SET state = 'succeeded', claim_at = NULL WHERE state = 'queued'")
    run = request.run_now(staffed.engine, "job")
    staffed.execute_sql(
        "UPDATE runs SET scheduled_for = :at WHERE run_id = CAST(:run_id AS uuid)",
        at=first + 15 * MINUTE, run_id=run["run_id"],
    )  # fmt: skip
    assert ask(staffed, first + 20 * MINUTE).verdict == "missed"
    assert ask(staffed, first + 15 * MINUTE).run["requested"]


# Queued, and why it does not start


@pytest.fixture
def queued(staffed):
    staffed.add(periodically="1 hour")
    staffed.dispatch()
    return staffed


def why(service):
    answer = ask(service, service.job()["last_scheduled_for"])
    assert answer.verdict == "queued"
    return answer


def others_before_it(service, number):
    service.execute_sql(
        "INSERT INTO runs (run_id, actor, queue, scheduled_for, state, claim_at)"
        " SELECT gen_random_uuid(), 'x', 'default', now(), 'queued', now() - interval '1 hour'"
        " FROM generate_series(1, :number)",
        number=number,
    )


def test_a_queued_run_is_about_to_start(queued):
    told(why(queued), "is queued since ", "A worker is about to take it.")


def test_a_queued_run_waits_for_a_worker_to_live(queued):
    queued.execute_sql("UPDATE processes SET ended_at = now() WHERE kind = 'worker'")
    told(why(queued), "No worker is alive.")


def test_a_worker_whose_lease_is_over_is_none(queued):
    queued.execute_sql("UPDATE processes SET lease_until = now() WHERE kind = 'worker'")
    told(why(queued), "No worker is alive.")


def test_a_queued_run_waits_for_a_worker_that_takes_from_its_queue(queued):
    queued.execute_sql("UPDATE processes SET queues = '{other}' WHERE kind = 'worker'")
    told(why(queued), "None of the workers that are alive (1) takes runs from queue 'default'.")


def test_a_queued_run_waits_its_turn(queued):
    others_before_it(queued, 3)
    told(why(queued), "It waits its turn: 3 of queue 'default' come before it.")


def test_a_long_line_is_not_counted_to_its_end(queued, monkeypatch):
    monkeypatch.setattr(ledger, "MOST_AHEAD", 2)
    others_before_it(queued, 9)
    told(why(queued), "more than 2 of queue 'default'")
    (run,) = [run for run in queued.runs() if run["job_id"]]
    with queued.engine.connect() as connection:
        assert ledger.runs_ahead(connection, run) == 3


def test_a_queued_run_waits_for_the_service(queued):
    service_state.change_state(queued.engine, "paused", reason="new disks", until=FAR)
    told(why(queued), "The service is paused since ", f" until {FAR} (new disks).")


def test_a_queued_run_waits_for_its_next_attempt(queued):
    queued.requeue(queued.claim_one(), failed=True, delay=HOUR)
    answer = why(queued)
    told(answer, "Attempt 1 has ended (again); the next one may start at ")


def test_a_queued_run_may_be_delayed(queued):
    queued.execute_sql("UPDATE runs SET claim_at = now() + interval '1 hour'")
    told(why(queued), "It may not start before ")


def test_a_queued_run_has_until_the_end_of_its_grace(queued):
    queued.execute_sql("UPDATE jobs SET misfire_grace_time = interval '2 hours'")
    by = format_datetime(queued.runs()[0]["scheduled_for"] + 2 * HOUR)
    told(why(queued), f"If it has not started by {by}, it is missed.")
    queued.requeue(queued.claim_one(), failed=True)
    assert "it is missed" not in why(queued).words, "its handler had begun"


def test_a_queued_run_of_a_job_that_was_paused_behind_its_back(queued):
    queued.execute_sql("UPDATE jobs SET state = 'paused'")
    told(why(queued), "The job is paused: a worker that comes upon it cancels it.")


def test_a_run_that_somebody_asked_for_does_not_mind_the_pause(staffed):
    staffed.add(periodically="1 hour", state="paused")
    request.run_now(staffed.engine, "job")
    assert "cancels it" not in why(staffed).words


# Passed, and not in the ledger


def test_a_fire_time_that_is_about_to_be_dispatched(staffed):
    at = staffed.add(periodically="1 hour")["starts_at"]
    answer = ask(staffed, at)
    assert (answer.verdict, answer.fire_time, answer.run) == ("due", at, None)
    told(answer, "has passed and is not dispatched yet. A scheduler is about to do so.")


def test_a_fire_time_that_waits_for_a_scheduler(service):
    at = service.add(periodically="1 hour")["starts_at"]
    told(ask(service, at), "No scheduler is alive")


def test_a_fire_time_that_waits_for_the_service_and_is_too_late_already(staffed):
    staffed.add(periodically="1 hour", misfire_grace_time="1 minute")
    service_state.change_state(staffed.engine, "paused")
    staffed.make_due(ago=HOUR / 2)
    answer = ask(staffed, staffed.job()["next_run_at"])
    assert answer.verdict == "due"
    told(answer, "The service is paused since ", "as after a downtime", "and will be missed.")


def test_a_fire_time_that_has_passed_in_a_pause(staffed):
    staffed.add(periodically="1 hour")
    define.change_state(staffed.engine, "job", "paused", reason="npm is down", until=FAR)
    staffed.make_due(ago=HOUR / 2)
    answer = ask(staffed, staffed.job()["next_run_at"])
    assert answer.verdict == "put_off"
    told(answer, "has passed while the job is paused since ", f" until {FAR} (npm is down).", "is recorded as skipped")


def test_a_one_off_time_that_has_passed_in_a_pause(staffed):
    at = staffed.add(state="paused")["starts_at"]
    answer = ask(staffed, at)
    assert answer.verdict == "put_off"
    told(answer, "while the job is paused.", "when the job is resumed it is due")


def test_a_fire_time_of_a_job_that_was_set_aside(staffed):
    at = staffed.add(periodically="1 hour")["starts_at"]
    staffed.execute_sql("UPDATE jobs SET state = 'paused', error = 'handler: ''Nope'': is unknown'")
    told(ask(staffed, at), "set aside, because it cannot be used: handler: 'Nope': is unknown.")


def test_a_pending_job(service):
    service.add(periodically="1 hour")
    service.execute_sql("UPDATE jobs SET state = 'pending', next_run_at = NULL")
    at = service.job()["starts_at"]
    answer = ask(service, at)
    assert answer.verdict == "due"
    told(answer, "The job is pending: a scheduler has yet to admit it.", "No scheduler is alive")
    assert ask(service, at + HOUR).verdict == "will_run"


def test_a_time_before_the_job_was_created(staffed):
    hourly(staffed)
    for at, fires in (("2026-02-01T05:00", True), ("2026-02-01T05:30", False)):
        answer = ask(staffed, at)
        assert (answer.verdict, answer.fire_time is not None) == ("before_the_job", fires)
        told(answer, "did not exist at 2026-02-01T05:", "it was created at ")


def test_a_fire_time_whose_record_is_gone(staffed):
    hourly(staffed)
    born(staffed, 90 * DAY)
    answer = ask(staffed, (staffed.now() - 80 * DAY).replace(minute=0, second=0, microsecond=0))
    assert answer.verdict == "not_recorded"
    told(answer, "the ledger holds nothing of it. Its record is gone: history is kept for JOBS_RETENTION only.")


def test_a_fire_time_of_before_the_job_was_changed(staffed):
    hourly(staffed)
    born(staffed, 90 * DAY)
    edit.patch(staffed.engine, staffed.registry, "job", {"periodically": "30 minutes"})
    answer = ask(staffed, (staffed.now() - DAY).replace(minute=30, second=0, microsecond=0))
    assert answer.verdict == "not_recorded"
    told(answer, "was changed, paused or resumed since, last at ", "may have had other fire times then")


# To come


def test_a_fire_time_to_come(staffed):
    following = hourly(staffed)["next_run_at"]
    answer = ask(staffed, following + HOUR)
    assert (answer.verdict, answer.fire_time) == ("will_run", following + HOUR)
    assert (answer.previous, answer.next) == (following, following + 2 * HOUR)
    assert answer.words == f"The job will run at {format_datetime(following + HOUR)}, if nothing changes."


def test_what_is_in_the_way_of_a_fire_time_to_come(service):
    following = hourly(service)["next_run_at"]
    answer = ask(service, following)
    assert answer.verdict == "will_run"
    told(answer, "No scheduler is alive", "No worker that takes runs from queue 'default' is alive.")


def test_an_open_run_that_would_have_the_next_one_skipped(queued):
    answer = ask(queued, queued.job()["next_run_at"])
    assert answer.verdict == "will_run"
    told(answer, "Its run of ", " is queued or executing; while that is so, a fire time is skipped.")
    queued.finish(queued.claim_one())
    assert "Its run of " not in ask(queued, queued.job()["next_run_at"]).words


def test_several_open_runs_that_would_have_the_next_one_wait(staffed):
    at = staffed.add(periodically="1 hour", max_concurrent_runs=2, overlap="queue_one")["starts_at"]
    staffed.dispatch(at)
    assert "executing" not in ask(staffed, staffed.job()["next_run_at"]).words, "one more may run"
    staffed.dispatch(at + HOUR)
    told(ask(staffed, at + 2 * HOUR), "2 runs of it are queued or executing; while that is so, a fire time waits.")


def test_a_fire_time_that_waits_for_an_open_run(staffed):
    staffed.add(periodically="1 hour", overlap="queue_one")
    staffed.dispatch()
    at = staffed.job()["next_run_at"]
    staffed.dispatch(at)
    staffed.execute_sql("UPDATE jobs SET next_run_at = next_run_at - interval '90 minutes'")
    answer = ask(staffed, at - 1.5 * HOUR)
    assert answer.verdict == "due"
    told(answer, "It waits for a run of the job to end that is queued or executing.")


def test_a_job_with_jitter_tells_when_it_starts(staffed):
    following = hourly(staffed, jitter="10 minutes", misfire_grace_time="1 minute")["next_run_at"]
    answer = ask(staffed, following)
    assert answer.verdict == "will_run"
    told(answer, f"The job will run at {format_datetime(following)}, with its jitter at ")
    staffed.dispatch(following)
    (run,) = staffed.runs()
    assert format_datetime(run["claim_at"]) in answer.words
    by = format_datetime(run["claim_at"] + MINUTE)
    told(ask(staffed, following), "It may not start before ", f"If it has not started by {by}, it is missed.")


def test_a_job_that_has_ended_has_no_further_fire_time(staffed):
    staffed.add(periodically="1 hour", when="2998-01-01", end="2998-01-01T05:30")
    answer = ask(staffed, "2998-01-02T05:00")
    assert answer.verdict == "no_fire_time"
    told(answer, "the one before it is 2998-01-01T05:00:00Z, there is none after it.")


def test_a_run_of_a_later_priority_waits_for_more(queued):
    others_before_it(queued, 3)
    queued.execute_sql("UPDATE runs SET priority = 9 WHERE job_id IS NULL")
    told(why(queued), "A worker is about to take it.")


def test_a_paused_job_will_not_run(staffed):
    following = hourly(staffed)["next_run_at"]
    define.change_state(staffed.engine, "job", "paused", reason="npm is down")
    answer = ask(staffed, following)
    assert answer.verdict == "will_not_run"
    told(answer, "will not run at ", "It is paused since ", "(npm is down).", "is recorded as skipped")


def test_a_job_whose_pause_ends_before_will_run(staffed):
    following = hourly(staffed)["next_run_at"]
    define.change_state(staffed.engine, "job", "paused", until=format_datetime(following + 3 * HOUR))
    assert ask(staffed, following).verdict == "will_not_run"
    answer = ask(staffed, following + 3 * HOUR)
    assert answer.verdict == "will_run"
    told(answer, "It is paused since ", ", and is resumed by then.")


def test_a_paused_one_off_job_is_put_off(staffed):
    staffed.add(when=FAR, state="paused")
    answer = ask(staffed, FAR)
    assert answer.verdict == "will_not_run"
    told(answer, "It is put off: when the job is resumed it is due")


def test_a_job_that_was_set_aside_will_not_run(staffed):
    following = hourly(staffed)["next_run_at"]
    staffed.execute_sql("UPDATE jobs SET state = 'paused', error = 'handler: ''Nope'': is unknown'")
    answer = ask(staffed, following)
    assert answer.verdict == "will_not_run"
    assert answer.words.endswith("It is set aside, because it cannot be used: handler: 'Nope': is unknown.")


def test_a_paused_service_runs_nothing(staffed):
    following = hourly(staffed)["next_run_at"]
    service_state.change_state(staffed.engine, "paused", reason="new disks", until=format_datetime(following + HOUR))
    answer = ask(staffed, following)
    assert answer.verdict == "will_not_run"
    told(answer, "The service is paused since ", "(new disks).", "as after a downtime")
    later = ask(staffed, following + HOUR)
    assert later.verdict == "will_run"
    told(later, "The service is paused since ", ", and is resumed by then.")


def test_a_finished_job_will_not_run(staffed):
    hourly(staffed)
    staffed.execute_sql("UPDATE jobs SET state = 'finished', next_run_at = NULL")
    answer = ask(staffed, "2998-01-01T00:00")
    assert answer.verdict == "will_not_run"
    told(answer, "It is finished.")


def test_a_job_whose_next_fire_time_is_later_does_not_run_before(staffed):
    following = hourly(staffed)["next_run_at"]
    staffed.execute_sql("UPDATE jobs SET next_run_at = next_run_at + interval '5 hours'")
    answer = ask(staffed, following)
    assert answer.verdict == "will_not_run"
    told(answer, f"Its next fire time is {format_datetime(following + 5 * HOUR)}.")
    assert ask(staffed).next == following + 5 * HOUR


# No fire time


def test_a_time_between_two_fire_times_tells_of_both(queued):
    first = queued.runs()[0]["scheduled_for"]
    answer = ask(queued, first + HOUR / 2)
    assert (answer.verdict, answer.fire_time, answer.run) == ("no_fire_time", None, None)
    assert (answer.previous, answer.next) == (first, first + HOUR)
    before, after = format_datetime(first), format_datetime(first + HOUR)
    told(
        answer,
        f"is no fire time of job 'job': the one before it is {before}, the next one is {after}.",
        f"The run of {before} is queued since ",
        f"The job will run at {after}",
    )


def test_of_two_fire_times_to_come_only_the_later_one_is_told_of(staffed):
    following = hourly(staffed)["next_run_at"]
    answer = ask(staffed, following + 1.5 * HOUR)
    assert answer.words.count("The job will run at ") == 1
    assert answer.words.endswith(f"The job will run at {format_datetime(following + 2 * HOUR)}, if nothing changes.")


def test_without_a_time_it_is_of_now(queued):
    answer = ask(queued)
    assert answer.verdict == "no_fire_time"
    assert abs(answer.at - answer.now) < MINUTE


def test_a_time_before_the_first_and_after_the_last_fire_time(staffed):
    staffed.add(when="2998-01-01")
    told(ask(staffed, "2997-01-01"), "there is none before it, the next one is 2998-01-01T00:00:00Z.")
    told(ask(staffed, "2999-01-01"), "the one before it is 2998-01-01T00:00:00Z, there is none after it.")


def test_a_time_between_fire_times_that_may_have_been_others(staffed):
    hourly(staffed)
    born(staffed, 90 * DAY)
    define.change_state(staffed.engine, "job", "paused")
    answer = ask(staffed, (staffed.now() - DAY).replace(minute=17))
    assert answer.verdict == "no_fire_time"
    told(answer, "and may have had other fire times then.")


def test_a_time_within_a_missed_range_that_is_no_fire_time(staffed):
    staffed.add(periodically="10 minutes")
    first = overdue(staffed, ago=HOUR + 3 * MINUTE)
    staffed.dispatch()
    answer = ask(staffed, first + 15 * MINUTE)
    assert (answer.verdict, answer.run) == ("no_fire_time", None)
    told(answer, "is one of 6 fire times")


def test_fire_times_that_cannot_be_computed(staffed):
    staffed.add(periodically="0 5 * * *")
    staffed.execute_sql("UPDATE jobs SET cron = 'now and then'")
    answer = ask(staffed)
    assert answer.verdict == "no_fire_time"
    told(answer, "The fire times of job 'job' cannot be computed: periodically: 'now and then'")


# Asking


def test_an_unknown_job(service):
    with pytest.raises(JobNotFound):
        ask(service)


@pytest.mark.parametrize("at", ["", "yesterday-ish", "9", "infinity", "0044-03-15 BC", "99999-01-01"])
def test_a_time_that_cannot_be_read_is_named(service, at):
    service.add()
    with pytest.raises(InvalidOptions, match=r"^at: "):
        ask(service, at)


@pytest.mark.parametrize("at", ["1970-01-01", "9000-12-31T23:59:59.999999"])
@pytest.mark.parametrize("periodically", ["1 hour", "* * * * *", "0 0 29 2 *", None])
def test_the_ends_of_time_are_explained(staffed, at, periodically):
    staffed.add(periodically=periodically, when="2999-01-01")
    assert ask(staffed, at).words


def test_the_states_of_a_run_are_verdicts():
    assert set(RunState) <= set(Verdict)
    assert all(len(verdict.prose) > 10 for verdict in Verdict)


def test_a_record_is_looked_up_in_the_index(service):
    service.add(periodically="1 minute", when="2026-01-01")
    service.execute_sql(
        "INSERT INTO runs (run_id, job_no, actor, queue, scheduled_for, state)"
        " SELECT gen_random_uuid(), job_no, 'x', 'x', now() - n * interval '1 minute', 'succeeded'"
        " FROM jobs, generate_series(1, 20000) AS n"
    )
    service.execute_sql("ANALYZE runs")
    at = datetime.now(UTC)
    with service.engine.connect() as connection:
        for setting in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
            connection.exec_driver_sql(f"SET {setting} = on")
        statement = ledger.latest_record(service.job()["job_no"], at, at).compile(
            connection, compile_kwargs={"literal_binds": True}
        )
        plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, COSTS OFF) {statement}".replace("%", "%%")).scalars()
        lines = list(plan)
    assert not any("Seq Scan" in line for line in lines), lines
    read = [line for line in lines if "Index Scan" in line and "never executed" not in line]
    assert read
    assert all(re.search(r"rows=[01](\.00)? ", line) for line in read), lines


def test_a_fire_time_that_waits_for_its_jitter_is_not_told_to_be_missed(service):
    service.add(periodically="1 day", jitter="23 hours", misfire_grace_time="1 second", when="2100-01-01")
    service.execute_sql(
        "UPDATE jobs SET next_run_at = at, starts_at = at FROM ("
        " SELECT now() - n * interval '1 ms' AS at FROM generate_series(60000, 61000) AS n"
        " WHERE bayesian_jobs_delay('23 hours', 'job', now() - n * interval '1 ms') > interval '1 hour'"
        " LIMIT 1) AS late"
    )
    planned = service.job()["next_run_at"]
    assert "will be missed" not in explain(service.engine, "job", format_datetime(planned)).words
    service.dispatch()
    assert service.states() == ["queued"]


def test_what_lies_before_the_creation_of_a_pending_job_is_none_of_its_fire_times(service):
    service.execute_sql(
        "INSERT INTO jobs (job_id, handler, period, starts_at)"
        " VALUES ('job', 'Noop', '1 hour', now() - interval '90 min')"
    )
    at = format_datetime(service.job()["starts_at"])
    assert explain(service.engine, "job", at).verdict == "before_the_job"
