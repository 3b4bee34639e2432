"""End, jitter, catching up, concurrent runs and overlap: what each does to the fire times of a job."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from waiting import wait_for

from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.datetimes import format_datetime
from bayesian_jobs.domain.misfire import MISSED_COALESCED, MISSED_LATE, MISSED_PASSED
from bayesian_jobs.errors import InvalidOptions
from bayesian_jobs.lifecycle import define, edit, request
from bayesian_jobs.scheduler import Scheduler
from bayesian_jobs.store.closing import close_left_open
from bayesian_jobs.store.endings import Ending, Return, finish_runs, requeue_runs

SECOND, MINUTE, HOUR = (timedelta(seconds=s) for s in (1, 60, 3600))


def ledger(service):
    return [(run["state"], run["scheduled_for"], run["missed_count"]) for run in service.runs()]


def end_all(service):
    """Let the queued runs, which are of a time that the clock may not have reached, have succeeded."""
    ended = service.execute_sql(
        "UPDATE runs SET state = 'succeeded', claim_at = NULL, finished_at = now() WHERE state = 'queued'"
        " RETURNING scheduled_for"
    )
    close(service)
    return [at for (at,) in ended]


def close(service):
    with service.engine.begin() as connection:
        return close_left_open(connection)


def begun_an_hour_ago(service, **options):
    """A job every ten minutes, none of whose fire times is dispatched yet. Returns the first of them."""
    service.add(periodically="10 minutes", **options)
    service.make_due(ago=HOUR)
    return service.job()["next_run_at"]


# End


def test_a_job_fires_at_its_end_and_never_after(service):
    start = service.now().replace(microsecond=0) + MINUTE
    service.add(periodically="10 minutes", when=format_datetime(start), end=format_datetime(start + 20 * MINUTE))
    for number in range(4):
        service.dispatch(start + number * 10 * MINUTE)
        end_all(service)
    assert [run["scheduled_for"] for run in service.runs()] == [start + n * 10 * MINUTE for n in range(3)]
    assert (service.job()["next_run_at"], service.job()["state"]) == (None, "finished")


def test_a_downtime_beyond_the_end_accounts_for_the_fire_times_up_to_it(service):
    service.add(periodically="10 minutes")
    service.make_due(ago=65 * MINUTE)
    first = service.job()["next_run_at"]
    service.execute_sql("UPDATE jobs SET ends_at = next_run_at + interval '25 minutes'")
    service.dispatch()
    assert ledger(service) == [("missed", first, 2), ("queued", first + 20 * MINUTE, None)]
    assert service.job()["next_run_at"] is None


def test_a_cron_job_ends_too(service):
    service.add(periodically="0 0 * * *", when="2100-01-01", end="2100-01-03T12:00Z")
    now = datetime(2100, 6, 1, tzinfo=UTC)
    service.dispatch(now)
    days = [datetime(2100, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    assert ledger(service) == [("missed", days[0], 2), ("queued", days[2], None)]
    assert service.job()["next_run_at"] is None


def test_a_job_that_ends_while_its_runs_are_open_is_finished_with_the_last_of_them(service):
    now = begun_an_hour_ago(service, max_concurrent_runs=2)
    service.execute_sql("UPDATE jobs SET ends_at = next_run_at + interval '10 minutes'")
    service.dispatch(now)
    service.dispatch(now + 10 * MINUTE)
    first, second = service.claim().started
    service.finish(second)
    assert service.job()["state"] == "running", "another run of it is open"
    close(service)
    assert service.job()["state"] == "running"
    service.finish(first)
    assert service.job()["state"] == "finished"


def test_two_ends_at_once_that_each_saw_the_other_run_as_open_leave_no_job_running(service):
    service.add(periodically="10 minutes", max_concurrent_runs=2)
    now = service.now()
    service.execute_sql("UPDATE jobs SET ends_at = next_run_at + interval '10 minutes'")
    service.dispatch(now)
    service.dispatch(now + 10 * MINUTE)
    service.execute_sql("UPDATE runs SET state = 'succeeded', claim_at = NULL")
    close(service)
    assert service.job()["state"] == "finished"


def test_a_job_whose_last_fire_time_is_missed_is_finished_only_when_its_open_run_has_ended(service):
    service.add(periodically="10 minutes", misfire_grace_time="1 minute")
    service.execute_sql("UPDATE jobs SET ends_at = next_run_at + interval '10 minutes'")
    now = service.now()
    service.dispatch(now)
    run = service.claim_one()
    service.dispatch(now + HOUR)
    assert (service.states(), service.job()["state"]) == (["running", "missed"], "running")
    service.finish(run)
    assert service.job()["state"] == "finished"


def test_a_run_that_is_missed_in_its_queue_does_not_finish_a_job_with_another_open_run(service):
    now = begun_an_hour_ago(service, max_concurrent_runs=2)
    service.execute_sql("UPDATE jobs SET ends_at = next_run_at + interval '10 minutes'")
    service.dispatch(now)
    run = service.claim_one()
    service.dispatch(now + 10 * MINUTE)
    service.execute_sql("UPDATE jobs SET misfire_grace_time = interval '1 minute'")
    service.reject(service.claim())
    assert (service.states(), service.job()["state"]) == (["running", "missed"], "running")
    service.finish(run)
    assert service.job()["state"] == "finished"


# Jitter


def delay_by_hand(jitter, job_id, fire_time):
    microseconds = (fire_time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    share = Fraction(int(hashlib.md5(f"{job_id} {microseconds}".encode()).hexdigest()[:8], 16), 2**32)
    return timedelta(microseconds=int(jitter // timedelta(microseconds=1) * share))


def test_jitter_is_a_share_of_itself_that_is_the_same_for_a_fire_time_wherever_it_is_computed(service):
    jitter = 50 * SECOND
    delays = []
    for number in range(50):
        job_id = f"job-{number}"
        service.add(job_id, periodically="1 hour", jitter="50 seconds")
        service.dispatch()
        run = service.runs()[-1]
        delays.append(run["claim_at"] - run["scheduled_for"])
        expected = delay_by_hand(jitter, job_id, run["scheduled_for"])
        assert delays[-1] == max(expected, run["queued_at"] - run["scheduled_for"])
    assert min(delays) < 10 * SECOND < 40 * SECOND < max(delays) < jitter


def delayed(jitter, job_id, before, by):
    """A fire time at or shortly before `before` that the jitter delays by more than `by`."""
    times = (before - number * timedelta(milliseconds=1) for number in range(1000))
    return next(at for at in times if delay_by_hand(jitter, job_id, at) > by)


def test_a_run_within_its_jitter_is_not_late(service):
    service.add(periodically="1 hour", jitter="30 minutes", misfire_grace_time="1 second")
    first = delayed(30 * MINUTE, "job", service.now(), 5 * MINUTE)
    service.execute_sql("UPDATE jobs SET next_run_at = :first", first=first)
    service.dispatch(first + 4 * MINUTE)
    assert service.states() == ["queued"]
    service.execute_sql("TRUNCATE runs")
    service.execute_sql("UPDATE jobs SET next_run_at = :first, last_run_id = NULL", first=first)
    service.dispatch(first + delay_by_hand(30 * MINUTE, "job", first) + 2 * SECOND)
    assert service.states() == ["missed"], "its grace counts from the end of its delay"


def test_the_worker_judges_the_grace_from_the_end_of_the_jitter(service):
    service.add(periodically="1 hour", jitter="59 minutes", misfire_grace_time="1 second")
    service.dispatch()
    fire_time = delayed(59 * MINUTE, "job", service.now() - MINUTE, 5 * MINUTE)
    service.execute_sql("UPDATE runs SET claim_at = now(), queued_at = now(), scheduled_for = :at", at=fire_time)
    assert len(service.claim().started) == 1


# Catching up


def test_catch_up_latest_is_the_default(service):
    service.add(periodically="10 minutes")
    service.make_due(ago=25 * MINUTE)
    first = service.job()["next_run_at"]
    service.dispatch()
    assert ledger(service) == [("missed", first, 2), ("queued", first + 20 * MINUTE, None)]


@pytest.mark.parametrize("trigger", [{"periodically": "10 minutes"}, {"periodically": "*/10 * * * *"}])
def test_catch_up_all_runs_one_after_the_other_whatever_is_within_the_grace(service, trigger):
    now = datetime(2026, 11, 23, 12, 5, tzinfo=UTC)
    first = now - 65 * MINUTE  # 11:00
    service.add(when="2100-01-01", catch_up="all", misfire_grace_time="40 minutes", **trigger)
    service.execute_sql("UPDATE jobs SET next_run_at = :first, starts_at = :first", first=first)
    done = []
    while service.dispatch(now):
        done += end_all(service)
    assert done == [first + n * 10 * MINUTE for n in (3, 4, 5, 6)], "11:30 to 12:00, within 40 minutes of 12:05"
    assert ledger(service)[0] == ("missed", first, 3)
    assert service.runs()[0]["reason"] == MISSED_LATE
    assert service.job()["next_run_at"] == first + 70 * MINUTE


def test_catch_up_all_waits_for_the_run_before_and_skips_nothing(service):
    service.add(periodically="10 minutes", catch_up="all", misfire_grace_time="1 day")
    service.make_due(ago=25 * MINUTE)
    service.dispatch()
    run = service.claim_one()
    assert service.dispatch().waiting == 1
    assert service.dispatch() is None, "it is not looked at again before the run has ended"
    assert service.states() == ["running"]
    service.finish(run)
    assert service.dispatch().queued == 1
    assert service.states() == ["succeeded", "queued"]


def test_catch_up_all_of_a_cron_that_was_down_for_long_loses_nothing(service):
    service.add(periodically="* * * * *", catch_up="all", misfire_grace_time="10 minutes")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    service.execute_sql("UPDATE jobs SET next_run_at = :start, starts_at = :start", start=start)
    now = start + 2500 * MINUTE + 30 * SECOND
    done = 0
    while service.dispatch(now):
        done += len(end_all(service))
    missed = [run for run in service.runs() if run["state"] == "missed"]
    assert done == 10
    assert sum(record["missed_count"] for record in missed) == 2501 - 10
    assert {record["reason"] for record in missed} == {MISSED_LATE}


def test_catch_up_none_runs_what_is_punctual_and_nothing_that_passed_during_a_downtime(service):
    service.add(periodically="10 minutes", catch_up="none")
    service.make_due(ago=25 * MINUTE)
    first = service.job()["next_run_at"]
    service.dispatch()
    (missed,) = service.runs()
    assert (missed["state"], missed["missed_count"], missed["reason"]) == ("missed", 3, MISSED_PASSED)
    service.dispatch(first + 30 * MINUTE + 59 * SECOND)
    assert service.states() == ["missed", "queued"]


def test_a_one_off_job_that_does_not_catch_up_is_finished_when_it_has_passed(service):
    service.add(catch_up="none")
    service.make_due(ago=HOUR)
    service.dispatch()
    assert (service.states(), service.job()["state"]) == (["missed"], "finished")


# Concurrent runs and overlap


def test_as_many_runs_are_open_as_max_concurrent_runs_allows(service):
    now = begun_an_hour_ago(service, max_concurrent_runs=3)
    for number in range(5):
        service.dispatch(now + number * 10 * MINUTE)
    assert service.states() == ["queued"] * 3 + ["skipped"] * 2
    assert service.runs()[3]["reason"] == reasons.SKIPPED_OVERLAP
    first, second, third = service.claim().started
    service.finish(second)
    service.dispatch(now + 50 * MINUTE)
    service.dispatch(now + 60 * MINUTE)
    assert service.states()[5:] == ["queued", "skipped"], "the end of any of them makes room for one"
    for run in (first, third):
        service.finish(run)
    assert len(service.job()["open_runs"]) == 3, "no more than were open when the last one was made"


@pytest.mark.parametrize("number", [None, 3])
def test_overlap_allow_stands_for_as_many_concurrent_runs_as_there_may_be(service, number):
    asked, most = {"max_concurrent_runs": number}, number or 100
    service.add("new", periodically="10 minutes", overlap="allow", **asked)
    service.add("newer", periodically="10 minutes", overlap="allow", **({} if number is None else asked))
    service.add("changed", periodically="10 minutes", overlap="queue_one")
    edit.patch(service.engine, service.registry, "changed", {"overlap": "allow", **asked})
    for job_id in ("new", "newer", "changed"):
        job = service.job(job_id)
        assert (job["overlap"], job["max_concurrent_runs"]) == ("skip", most)


def test_runs_of_a_job_that_allows_overlap_do_overlap(service):
    now = begun_an_hour_ago(service, overlap="allow")
    for number in range(5):
        service.dispatch(now + number * 10 * MINUTE)
    assert service.states() == ["queued"] * 5


def test_a_job_that_may_have_fewer_runs_than_are_open_makes_none_until_they_have_ended(service):
    now = begun_an_hour_ago(service, max_concurrent_runs=3)
    for number in range(3):
        service.dispatch(now + number * 10 * MINUTE)
    first, second, third = service.claim().started
    edit.patch(service.engine, service.registry, "job", {"max_concurrent_runs": 1})
    service.finish(third)
    service.finish(first)
    service.dispatch(now + 30 * MINUTE)
    assert service.states()[3] == "skipped", "the second is open still"
    service.finish(second)
    service.dispatch(now + 40 * MINUTE)
    assert service.states()[4] == "queued"
    assert service.job()["open_runs"] is None


def test_a_job_that_may_have_more_runs_knows_of_the_one_that_is_open(service):
    service.add(periodically="10 minutes")
    now = service.now()
    service.dispatch(now)
    edit.patch(service.engine, service.registry, "job", {"max_concurrent_runs": 2})
    service.dispatch(now + 10 * MINUTE)
    service.dispatch(now + 20 * MINUTE)
    assert service.states() == ["queued", "queued", "skipped"]


def test_pausing_cancels_all_queued_runs_of_a_job_that_may_have_several(service):
    service.add(periodically="10 minutes", max_concurrent_runs=3)
    now = service.now()
    for number in range(3):
        service.dispatch(now + number * 10 * MINUTE)
    define.change_state(service.engine, "job", "paused")
    assert service.states() == ["cancelled"] * 3


def test_a_job_may_be_run_now_as_often_as_it_may_have_runs(service):
    service.add(periodically="10 minutes", when="2100-01-01", max_concurrent_runs=2)
    request.run_now(service.engine, "job")
    request.run_now(service.engine, "job")
    with pytest.raises(request.WrongState):
        request.run_now(service.engine, "job")
    service.finish(service.claim().started[0])
    request.run_now(service.engine, "job")
    service.dispatch(datetime(2100, 1, 1, tzinfo=UTC))
    assert service.states() == ["succeeded", "running", "queued", "skipped"]


def test_queue_one_runs_once_after_the_open_run_has_ended(service):
    service.add(periodically="10 minutes", overlap="queue_one")
    now = service.now()
    first = service.job()["next_run_at"]
    service.dispatch(now)
    run = service.claim_one()
    assert service.dispatch(now + 10 * MINUTE).waiting == 1
    assert service.dispatch(now + 30 * MINUTE) is None
    assert service.states() == ["running"]
    service.finish(run)
    service.dispatch(now + 30 * MINUTE)
    assert ledger(service)[1:] == [("missed", first + 10 * MINUTE, 2), ("queued", first + 30 * MINUTE, None)]
    assert service.runs()[1]["reason"] == MISSED_COALESCED


def test_a_fire_time_that_has_waited_beyond_its_grace_is_missed(service):
    service.add(periodically="10 minutes", overlap="queue_one", misfire_grace_time="1 minute")
    now = service.now()
    service.dispatch(now)
    run = service.claim_one()
    service.dispatch(now + 10 * MINUTE)
    service.finish(run)
    service.dispatch(now + 15 * MINUTE)
    assert service.states() == ["succeeded", "missed"]


def test_a_run_that_ends_while_others_hold_its_job_does_not_leave_the_next_one_waiting_for_ever(service):
    service.add(periodically="10 minutes", overlap="queue_one")
    service.dispatch()
    run = service.claim_one()
    service.dispatch(service.now() + 10 * MINUTE)
    with service.engine.begin() as connection:
        define.locked(connection, "job")
        service.finish(run)
    assert service.job()["waiting"]
    close(service)
    assert not service.job()["waiting"]


def test_a_job_that_waits_is_paused_edited_and_resumed_like_any_other(service):
    service.add(periodically="10 minutes", overlap="queue_one")
    service.dispatch()
    service.claim_one()
    service.dispatch(service.now() + 10 * MINUTE)
    define.change_state(service.engine, "job", "paused")
    assert not service.job()["waiting"]
    define.change_state(service.engine, "job", "running")
    assert service.dispatch(service.now() + 20 * MINUTE).waiting == 1
    edit.patch(service.engine, service.registry, "job", {"overlap": "skip"})
    service.dispatch(service.now() + 20 * MINUTE)
    assert "skipped" in service.states()


def test_the_scheduler_goes_on_with_a_waiting_job_as_soon_as_its_run_has_ended(service):
    from threading import Thread

    service.add(periodically="1 hour", overlap="queue_one", catch_up="all", misfire_grace_time="1 day")
    service.make_due(ago=2 * HOUR + MINUTE)
    scheduler = Scheduler(service.engine, service.registry)
    thread = Thread(target=scheduler.run_forever)
    thread.start()
    try:
        for number in range(3):
            wait_for(lambda number=number: len(service.runs()) == number + 1)
            service.finish(service.claim_one())
    finally:
        scheduler.stop()
        thread.join()
    assert service.states() == ["succeeded"] * 3


def test_what_is_left_open_is_found_by_an_index(service):
    service.execute_sql(
        "INSERT INTO jobs (job_id, handler, state, period, starts_at, next_run_at)"
        " SELECT 'job-' || n, 'Noop', 'running', interval '1 hour', now() + interval '1 day', now() + interval '1 day'"
        " FROM generate_series(1, 5000) AS n"
    )
    service.execute_sql("ANALYZE jobs")
    from bayesian_jobs.store.closing import LOCK_OVER

    plan = "\n".join(line for (line,) in service.execute_sql(f"EXPLAIN {LOCK_OVER}"))
    assert "Seq Scan on jobs" not in plan, plan


# What races


def two_open_and_the_last_one_waiting(service):
    """A job of two runs at a time, both executing, whose third and last fire time waits. Returns its first fire time,
    and the runs."""
    first = begun_an_hour_ago(service, max_concurrent_runs=2, overlap="queue_one")
    service.execute_sql("UPDATE jobs SET ends_at = next_run_at + interval '20 minutes' WHERE job_id = 'job'")
    service.dispatch(first)
    service.dispatch(first + 10 * MINUTE)
    runs = [run for run in service.claim().started if run.job_id == "job"]
    assert service.dispatch(first + 20 * MINUTE).waiting == 1
    return first, *runs


def test_the_end_of_a_run_that_has_not_seen_the_last_one_yet_does_not_finish_its_job(service):
    service.add("other", max_concurrent_runs=2)
    service.dispatch()
    (other,) = service.claim().started
    first, one, two = two_open_and_the_last_one_waiting(service)

    def finish_both():
        with service.engine.begin() as connection:
            return finish_runs(connection, [Ending(other, "succeeded"), Ending(one, "succeeded")])

    with ThreadPoolExecutor(1) as ending, service.engine.begin() as holding:
        holding.execute(text("SELECT FROM runs WHERE run_id = :run_id FOR UPDATE").bindparams(run_id=one.run_id))
        ended = ending.submit(finish_both)  # has its snapshot, and waits
        wait_for(
            lambda: service.execute_sql(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
        service.finish(two)
        assert service.dispatch(first + 20 * MINUTE).queued == 1
        holding.rollback()
        assert len(ended.result()) == 2
    assert service.job()["state"] == "running"
    (last,) = service.claim().started
    service.finish(last)
    assert service.job()["state"] == "finished"


# What the review of them found


def test_a_job_that_is_finished_because_it_is_late_stays_readable_until_retention(service):
    service.add(misfire_grace_time="1 minute")
    service.execute_sql("UPDATE jobs SET updated_at = now() - interval '1 year'")
    service.make_due(ago=HOUR)
    service.dispatch()
    assert service.job()["state"] == "finished"
    assert service.now() - service.job()["updated_at"] < MINUTE


def test_a_run_that_has_waited_out_its_jitter_is_not_late_because_the_jitter_is_changed(service):
    service.add(periodically="1 day", jitter="23 hours", misfire_grace_time="1 minute")
    service.dispatch()
    service.execute_sql(
        "UPDATE runs SET scheduled_for = scheduled_for - interval '2 hours', claim_at = clock_timestamp(),"
        " queued_at = queued_at - interval '2 hours'"
    )
    edit.patch(service.engine, service.registry, "job", {"jitter": None})
    assert len(service.claim().started) == 1


@pytest.mark.parametrize(
    "change",
    [
        "ends_at = '294000-01-01'",
        "period = '1 month'",
        "starts_at = '0044-03-15 BC'",
        "misfire_grace_time = '10000 years'",
        "jitter = '290000 years'",
        "time_limit = '290000 years'",
        "retry_delay = '290000 years'",
    ],
)
def test_plain_sql_cannot_make_a_running_job_unreadable(service, change):
    service.add(periodically="10 minutes")
    with pytest.raises(IntegrityError, match=r"jobs_(limits|fixed_period)_check"):
        service.execute_sql(f"UPDATE jobs SET {change}")


def test_the_run_that_a_job_waits_for_lets_it_go_on_when_it_is_cancelled(service):
    service.add(periodically="10 minutes", overlap="queue_one")
    now = service.now()
    service.dispatch(now)
    service.dispatch(now + 10 * MINUTE)
    request.cancel(service.engine, service.runs()[0]["run_id"])
    assert not service.job()["waiting"]


def test_the_run_that_a_job_waits_for_lets_it_go_on_when_it_is_cancelled_on_its_way_back_to_the_queue(service):
    service.add(periodically="10 minutes", overlap="queue_one")
    now = service.now()
    service.dispatch(now)
    service.dispatch(now + 10 * MINUTE)
    run = service.claim_one()
    request.cancel(service.engine, run.run_id)
    assert service.job()["waiting"]
    with service.engine.begin() as connection:
        requeue_runs(connection, [Return(run.run_id, run.scheduled_for, run.attempt, "shut down")])
    assert service.states() == ["cancelled"]
    assert not service.job()["waiting"]


def test_a_job_that_runs_once_and_does_not_catch_up_must_not_have_passed(service):
    with pytest.raises(InvalidOptions, match="does not catch up"):
        service.add(when=format_datetime(service.now() - HOUR), catch_up="none")
    with pytest.raises(InvalidOptions, match="which catch_up 'none' forbids"):
        service.add(periodically="1 hour", catch_up="none", overlap="queue_one")
