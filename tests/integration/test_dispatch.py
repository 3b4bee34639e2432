"""Due jobs become runs: each fire time once, and every one of them is accounted for."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.misfire import MISSED_COALESCED, MISSED_LATE, CatchUp, account, judge
from bayesian_jobs.domain.trigger import Cron, Interval
from bayesian_jobs.lifecycle import service as service_state

SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=s) for s in (1, 60, 3600, 86400))


def test_a_due_job_becomes_a_queued_run_for_its_fire_time(service):
    job = service.add(periodically="1 hour")
    settled = service.dispatch()
    (run,) = service.runs()
    assert (settled.jobs, settled.queued, settled.missed, settled.skipped) == (1, 1, 0, 0)
    assert (run["state"], run["scheduled_for"]) == ("queued", job["starts_at"])
    assert run["claim_at"] is not None
    assert service.job()["next_run_at"] == job["starts_at"] + HOUR
    assert service.job()["last_run_id"] == run["run_id"]


def test_a_job_that_is_not_due_is_left_alone(service):
    service.add(periodically="1 hour", when="2100-01-01")
    assert service.dispatch() is None
    assert service.runs() == []


def test_a_job_is_dispatched_once_for_each_fire_time(service):
    service.add(periodically="1 hour")
    service.dispatch()
    assert service.dispatch() is None
    assert len(service.runs()) == 1


def test_a_fire_time_that_has_its_run_already_leaves_the_last_run_what_it_is(service):
    service.add(periodically="1 hour")
    service.dispatch()
    service.finish(service.claim_one())
    (run,) = service.runs()
    service.execute_sql("UPDATE jobs SET next_run_at = last_scheduled_for")
    service.dispatch()
    assert [each["run_id"] for each in service.runs()] == [run["run_id"]]
    assert service.job()["last_run_id"] == run["run_id"]


def test_a_one_off_job_has_no_further_fire_time(service):
    service.add()
    service.dispatch()
    assert service.job()["next_run_at"] is None
    assert service.job()["state"] == "running", "until its run has ended"


def test_fire_times_keep_the_phase_of_when_however_late_the_dispatch(service):
    job = service.add(periodically="10 minutes")
    service.make_due(ago=HOUR + 3 * MINUTE)
    first = service.job()["next_run_at"]
    service.dispatch()
    assert service.job()["next_run_at"] == first + 7 * 10 * MINUTE
    assert job["period"] == 10 * MINUTE


def test_several_missed_fire_times_collapse_into_one_run_for_the_latest(service):
    service.add(periodically="10 minutes")
    service.make_due(ago=HOUR + 3 * MINUTE)
    first = service.job()["next_run_at"]
    service.dispatch()
    missed, run = service.runs()
    assert (run["state"], run["scheduled_for"]) == ("queued", first + HOUR)
    assert (missed["state"], missed["reason"]) == ("missed", MISSED_COALESCED)
    assert (missed["scheduled_for"], missed["missed_until"], missed["missed_count"]) == (first, first + 50 * MINUTE, 6)


def test_fire_times_beyond_the_grace_are_all_missed(service):
    service.add(periodically="10 minutes", misfire_grace_time="1 minute")
    service.make_due(ago=HOUR + 3 * MINUTE)
    first = service.job()["next_run_at"]
    service.dispatch()
    (missed,) = service.runs()
    assert (missed["state"], missed["reason"], missed["missed_count"]) == ("missed", MISSED_LATE, 7)
    assert missed["missed_until"] == first + HOUR
    assert service.job()["next_run_at"] == first + 70 * MINUTE


def test_a_one_off_job_past_its_grace_ends_as_finished_with_a_missed_record(service):
    service.add(misfire_grace_time="1 minute")
    service.make_due(ago=HOUR)
    service.dispatch()
    assert service.states() == ["missed"]
    assert service.job()["state"] == "finished"


def test_a_run_is_skipped_while_an_earlier_one_is_queued_or_executing(service):
    service.add(periodically="10 minutes")
    service.dispatch()
    now = service.now()
    service.dispatch(now + 10 * MINUTE)
    run = service.claim_one()
    service.dispatch(now + 20 * MINUTE)
    assert service.states() == ["running", "skipped", "skipped"]
    assert service.runs()[1]["reason"] == reasons.SKIPPED_OVERLAP
    service.finish(run)
    service.dispatch(now + 30 * MINUTE)
    assert service.states() == ["succeeded", "skipped", "skipped", "queued"]


def test_a_paused_job_is_not_dispatched(service):
    service.add(periodically="1 hour", state="paused")
    assert service.dispatch() is None


def test_a_paused_service_dispatches_nothing_and_a_resumed_one_judges_what_passed_like_a_downtime(service):
    service.add(periodically="10 minutes")
    service_state.change_state(service.engine, "paused")
    service.make_due(ago=25 * MINUTE)
    assert service.dispatch() is None
    service_state.change_state(service.engine, "running")
    service.dispatch()
    assert service.states() == ["missed", "queued"]


def test_cron_jobs_that_share_an_expression_are_all_dispatched(service):
    for number in range(3):
        service.add(f"cron-{number}", periodically="0 0 1 1 *")
    due = service.job("cron-0")["next_run_at"]
    service.dispatch(due + SECOND)
    assert [run["scheduled_for"] for run in service.runs()] == [due] * 3
    assert service.job("cron-2")["next_run_at"] == due.replace(year=due.year + 1)


def test_a_long_downtime_of_a_cron_job_is_settled_in_slices_that_lose_nothing(service):
    service.add(periodically="* * * * *")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    service.execute_sql("UPDATE jobs SET next_run_at = :start", start=start)
    now = start + 2500 * MINUTE + 30 * SECOND
    while service.dispatch(now):
        pass
    *missed, run = service.runs()
    assert run["scheduled_for"] == start + 2500 * MINUTE
    assert run["state"] == "queued"
    assert sum(record["missed_count"] for record in missed) == 2500
    assert missed[0]["missed_until"] + MINUTE == missed[1]["scheduled_for"]


def test_a_slice_whose_next_fire_time_is_due_at_this_very_moment_runs_nothing(service):
    service.add(periodically="* * * * *")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    service.execute_sql("UPDATE jobs SET next_run_at = :start", start=start)
    now = start + 1000 * MINUTE
    service.dispatch(now)
    assert [(run["state"], run["missed_count"]) for run in service.runs()] == [("missed", 1000)]
    service.dispatch(now)
    assert [(run["state"], run["scheduled_for"]) for run in service.runs()][1:] == [("queued", now)]


def test_the_database_itself_refuses_a_second_run_of_a_fire_time(service):
    service.add(periodically="1 hour")
    service.dispatch()
    again = "INSERT INTO runs (run_id, job_no, actor, queue, scheduled_for, state)"
    again += " SELECT gen_random_uuid(), job_no, actor, queue, scheduled_for, state FROM runs"
    with pytest.raises(IntegrityError, match=r"unique constraint .*job_no_scheduled_for"):
        service.execute_sql(again)


def test_five_schedulers_create_each_of_a_thousand_runs_exactly_once(service):
    start = service.now()
    service.execute_sql(
        "INSERT INTO jobs (job_id, handler, state, period, starts_at, next_run_at)"
        " SELECT 'job-' || n, 'Noop', 'running', interval '1 hour', :start, :start FROM generate_series(1, 1000) AS n",
        start=start,
    )

    def schedule(_: int) -> int:
        queued = 0
        while settled := service.dispatch(limit=20):
            queued += settled.queued
        return queued

    with ThreadPoolExecutor(5) as schedulers:
        queued = list(schedulers.map(schedule, range(5)))
    runs = service.runs()
    assert sum(queued) == 1000
    assert len({run["job_id"] for run in runs}) == len(runs) == 1000
    assert {run["scheduled_for"] for run in runs} == {start}


def test_a_scheduler_that_dies_between_its_statements_leaves_nothing_half_done(service):
    service.add(periodically="1 hour")
    with service.engine.connect() as connection:
        from bayesian_jobs.lifecycle.dispatch import cron_accounts
        from bayesian_jobs.store.dispatch import claim_due, open_service, settle

        _, now = open_service(connection)
        jobs = claim_due(connection, now, 10)
        settle(connection, now, jobs, cron_accounts(jobs, now)[0])
        assert service.dispatch() is None, "the job is locked by the scheduler that is about to die"
        pid = connection.connection.driver_connection.info.backend_pid
        service.execute_sql("SELECT pg_terminate_backend(:pid)", pid=pid)
        connection.invalidate()
    assert service.runs() == []
    service.dispatch()
    assert service.states() == ["queued"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    period=st.timedeltas(min_value=SECOND, max_value=400 * DAY),
    downtime=st.timedeltas(min_value=timedelta(0), max_value=3000 * DAY),
    grace=st.none() | st.timedeltas(min_value=timedelta(microseconds=1), max_value=3000 * DAY),
    lasts=st.none() | st.timedeltas(min_value=timedelta(0), max_value=4000 * DAY),
    catch_up=st.sampled_from(CatchUp),
)
def test_sql_and_domain_judge_intervals_alike(service, period, downtime, grace, lasts, catch_up):
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    first = now - downtime
    trigger = Interval(start=first, period=period, end=None if lasts is None else first + lasts)
    check_alike(service, trigger, now, grace, catch_up)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cron=st.sampled_from(["* * * * *", "*/5 * * * *", "30 2 * * *", "0 0 1 * *", "15 */2 * * 1-5", "0 0 29 2 *"]),
    timezone=st.sampled_from(["UTC", "Europe/Paris", "Australia/Lord_Howe", "America/New_York"]),
    downtime=st.timedeltas(min_value=timedelta(0), max_value=300 * DAY),
    grace=st.none() | st.timedeltas(min_value=timedelta(microseconds=1), max_value=2 * DAY),
    lasts=st.none() | st.timedeltas(min_value=timedelta(0), max_value=400 * DAY),
    catch_up=st.sampled_from(CatchUp),
)
def test_sql_and_domain_judge_crons_alike(service, cron, timezone, downtime, grace, lasts, catch_up):
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    first = now - downtime
    end = None if lasts is None else first + lasts
    check_alike(service, Cron(expression=cron, timezone=timezone, start=first, end=end), now, grace, catch_up)


def check_alike(service, trigger, now, grace, catch_up):
    if catch_up == CatchUp.ALL:
        grace = grace or DAY
    since = now - grace if catch_up == CatchUp.ALL else None
    judgement = judge(account(trigger, trigger.start, now, since=since), now, grace, catch_up)
    service.execute_sql("TRUNCATE runs, jobs")
    service.execute_sql(
        "INSERT INTO jobs (job_id, handler, state, period, cron, timezone, starts_at, ends_at, next_run_at,"
        " misfire_grace_time, catch_up)"
        " VALUES ('job', 'Noop', 'running', :period, :cron, :timezone, :start, :end, :start, :grace, :catch_up)",
        period=getattr(trigger, "period", None),
        cron=getattr(trigger, "expression", None),
        timezone=getattr(trigger, "timezone", "UTC"),
        start=trigger.start,
        end=trigger.end,
        grace=grace,
        catch_up=catch_up,
    )
    service.dispatch(now)
    runs = {run["state"]: run for run in service.runs()}
    queued, missed = runs.get("queued"), runs.get("missed")
    assert (queued and queued["scheduled_for"]) == judgement.run
    assert (missed and (missed["scheduled_for"], missed["missed_until"], missed["missed_count"])) == judgement.missed
    assert (missed and missed["reason"]) == judgement.missed_reason
    assert service.job()["next_run_at"] == judgement.next


@pytest.mark.parametrize("table", ["jobs", "runs"])
def test_dispatch_reads_no_table_from_end_to_end(service, table):
    """The plans at a size where they matter: index scans only, whatever the number of jobs and of ended runs."""
    service.execute_sql(
        "INSERT INTO jobs (job_id, handler, state, period, starts_at, next_run_at)"
        " SELECT 'job-' || n, 'Noop', 'running', interval '1 hour', now() + interval '1 day', now() + interval '1 day'"
        " FROM generate_series(1, 5000) AS n"
    )
    service.execute_sql(
        "INSERT INTO runs (run_id, actor, queue, scheduled_for, state)"
        " SELECT gen_random_uuid(), 'Noop', 'default', now() - n * interval '1 second', 'succeeded'"
        " FROM generate_series(1, 5000) AS n"
    )
    service.add(periodically="1 hour")
    service.execute_sql("ANALYZE jobs, runs")
    before = sequential_reads(service, table)
    service.dispatch()
    run = service.claim_one()
    service.finish(run)
    assert sequential_reads(service, table) == before


def sequential_reads(service, table):
    """Rows that sequential scans have read from the table and its partitions."""
    service.execute_sql("SELECT pg_stat_force_next_flush()")
    ((rows,),) = service.execute_sql(
        "SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables WHERE relname LIKE :table || '%'", table=table
    )
    return rows
