"""Changing some or all of what a job is: nothing fires by surprise, the same request again changes nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from bayesian_jobs.errors import InvalidOptions, JobNotFound
from bayesian_jobs.lifecycle import define, edit
from bayesian_jobs.lifecycle.upcoming import upcoming

HOUR = timedelta(hours=1)


def put(service, path="job", **options):
    return edit.put(service.engine, service.registry, path, {"handler": "Noop", **options})


def patch(service, job_id="job", **changes):
    return edit.patch(service.engine, service.registry, job_id, changes)


def sql(service, statement):
    with service.engine.begin() as connection:
        connection.execute(text(statement))


def test_put_creates_the_job_that_does_not_exist(service):
    job, created = put(service, periodically="1 hour")
    assert created
    assert (job["job_id"], job["period"], job["state"]) == ("job", HOUR, "running")


def test_the_same_put_again_changes_nothing(service):
    first, _ = put(service, periodically="1 hour", kwargs={})
    second, created = put(service, periodically="1 hour", kwargs={})
    assert not created
    assert {**second} == {**first}


def test_of_many_puts_at_once_one_creates_the_job(service):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: put(service, periodically="1 hour"), range(8)))
    assert sorted(created for _, created in answers) == [False] * 7 + [True]


def test_put_replaces_the_definition_and_keeps_phase_and_state(service):
    before, _ = put(service, periodically="1 hour", when="2026-01-01T00:30", misfire_grace_time="5 minutes")
    define.change_state(service.engine, "job", "paused")
    after, created = put(service, periodically="2 hours")
    assert not created
    assert (after["starts_at"], after["period"]) == (before["starts_at"], 2 * HOUR)
    assert (after["misfire_grace_time"], after["state"]) == (None, "paused")
    assert after["version"] > before["version"]


def test_put_with_a_state_changes_that_as_well(service):
    put(service, periodically="1 hour")
    assert put(service, periodically="1 hour", state="paused")[0]["state"] == "paused"
    assert put(service, periodically="1 hour", state="running")[0]["state"] == "running"


def test_a_put_of_a_finished_job_begins_it_again_only_with_another_trigger(service):
    put(service, state="running")
    service.dispatch()
    sql(service, "UPDATE runs SET state = 'succeeded', claim_at = NULL")
    sql(service, "UPDATE jobs SET state = 'finished'")
    assert put(service, state="running")[0]["state"] == "finished"
    job, _ = put(service, periodically="1 hour")
    assert job["state"] == "running"
    assert job["next_run_at"] > service.now()


def test_a_finished_job_cannot_be_paused_whether_by_put_or_by_patch(service):
    put(service, state="running")
    before = service.execute_sql("UPDATE jobs SET state = 'finished', next_run_at = NULL RETURNING *")
    for change in (lambda: put(service, state="paused"), lambda: patch(service, state="paused")):
        with pytest.raises(InvalidOptions, match="state: 'paused': job 'job' has no fire time left"):
            change()
        assert service.execute_sql("SELECT * FROM jobs") == before
    assert put(service, state="paused", periodically="1 hour")[0]["state"] == "paused"


def test_patch_changes_what_it_names_and_nothing_else(service):
    before = service.add(periodically="1 hour", misfire_grace_time="5 minutes")
    after = patch(service, misfire_grace_time="10 minutes")
    assert after["misfire_grace_time"] == timedelta(minutes=10)
    for same in ("job_no", "handler", "kwargs", "period", "starts_at", "state", "next_run_at"):
        assert after[same] == before[same]


def test_null_stands_for_the_default(service):
    service.add(periodically="1 hour", misfire_grace_time="5 minutes")
    assert patch(service, misfire_grace_time=None)["misfire_grace_time"] is None


def test_a_patch_of_what_is_already_so_changes_nothing(service):
    before = service.add(periodically="1 hour", state="paused")
    assert {**patch(service, periodically="1 hour", state="paused")} == {**before}


def test_a_cron_job_that_becomes_periodic_loses_its_time_zone(service):
    service.add(periodically="0 5 * * *", timezone="Europe/Prague")
    job = patch(service, periodically="1 day")
    assert (job["cron"], job["period"], job["timezone"]) == (None, timedelta(days=1), "UTC")


def test_a_changed_time_zone_is_that_of_the_stored_expression(service):
    service.add(periodically="0 5 * * *")
    job = patch(service, timezone="Asia/Tokyo")
    assert (job["cron"], job["timezone"], job["next_run_at"].hour) == ("0 5 * * *", "Asia/Tokyo", 20)


def test_a_change_of_the_trigger_never_fires_by_surprise(service):
    service.add(periodically="1 hour", when="2026-01-01")
    sql(service, "UPDATE jobs SET next_run_at = next_run_at - interval '3 hours'")
    assert patch(service, periodically="30 minutes")["next_run_at"] > service.now()
    service.dispatch()
    assert [run["state"] for run in service.runs()] == ["skipped"]


def test_a_patch_that_is_wrong_changes_nothing_at_all(service):
    before = service.add(periodically="1 hour")
    with pytest.raises(InvalidOptions, match="state"):
        patch(service, misfire_grace_time="1 hour", state="asleep")
    with pytest.raises(InvalidOptions, match="'1 month'"):
        patch(service, periodically="1 month", state="paused")
    assert {**service.job()} == {**before}


def test_a_job_id_cannot_be_changed(service):
    service.add()
    with pytest.raises(InvalidOptions, match="job_id: 'other'"):
        edit.patch(service.engine, service.registry, "job", {"job_id": "other"})
    with pytest.raises(InvalidOptions, match="job_id: 'other'"):
        edit.put(service.engine, service.registry, "job", {"handler": "Noop", "job_id": "other"})


def test_patching_needs_a_job(service):
    with pytest.raises(JobNotFound):
        patch(service, state="paused")


def test_a_pending_job_is_not_changed_before_it_is_taken_up(service):
    service.add(periodically="1 hour")
    sql(service, "UPDATE jobs SET state = 'pending', next_run_at = NULL")
    with pytest.raises(InvalidOptions, match="pending"):
        patch(service, misfire_grace_time="1 hour")
    with pytest.raises(InvalidOptions, match="pending"):
        put(service, periodically="2 hours")


def test_upcoming_are_the_next_fire_times(service):
    job = service.add(periodically="1 hour", when="2026-01-01T00:30")
    first = job["next_run_at"]
    assert upcoming(service.engine, "job", 3) == [first, first + HOUR, first + 2 * HOUR]


def test_fire_times_that_have_passed_are_not_upcoming(service):
    service.add(periodically="1 hour")
    sql(service, "UPDATE jobs SET next_run_at = next_run_at - interval '3 hours'")
    assert upcoming(service.engine, "job", 1)[0] >= service.now() - HOUR / 60


def test_a_one_off_job_has_one_upcoming_fire_time(service):
    job = service.add(when="2999-01-01")
    assert upcoming(service.engine, "job", 5) == [job["starts_at"]]


def test_a_paused_job_has_nothing_upcoming(service):
    service.add(periodically="1 hour", state="paused")
    assert upcoming(service.engine, "job", 5) == []


def test_the_upcoming_fire_times_of_an_unreadable_trigger_are_an_error_that_names_it(service):
    service.add(periodically="0 5 * * *")
    sql(service, "UPDATE jobs SET cron = 'every now and then'")
    with pytest.raises(InvalidOptions, match="every now and then"):
        upcoming(service.engine, "job", 5)


@pytest.mark.parametrize("changes", [{"periodically": None}, {"periodically": None, "when": "2020-01-01"}])
def test_a_job_that_is_to_run_once_does_not_run_for_a_time_that_has_passed(service, changes):
    before = service.add(periodically="1 hour", when="2026-01-01T00:30")
    with pytest.raises(InvalidOptions, match="has passed"):
        patch(service, **changes)
    with pytest.raises(InvalidOptions, match="has passed"):
        put(service)
    assert {**service.job()} == {**before}


@pytest.mark.parametrize("when", [None, "2020-01-01"])
def test_a_one_off_job_is_not_moved_into_the_past(service, when):
    service.add(when="2999-01-01")
    with pytest.raises(InvalidOptions, match="has passed"):
        patch(service, when=when)
    service.dispatch()
    assert service.runs() == []


def test_a_due_one_off_job_that_gets_another_time_is_recorded_as_skipped(service):
    job = service.add()
    assert patch(service, when="2999-01-01")["next_run_at"].year == 2999
    (skipped,) = service.runs()
    assert (skipped["state"], skipped["scheduled_for"]) == ("skipped", job["starts_at"])


def finished_beyond_its_grace(service, **options):
    job, _ = put(service, when="2999-01-01", misfire_grace_time="1 minute", **options)
    sql(service, "UPDATE jobs SET starts_at = '2020-01-01', next_run_at = NULL, state = 'finished'")
    return job


def test_the_same_put_of_a_one_off_job_that_is_over_changes_nothing_however_late_it_is(service):
    finished_beyond_its_grace(service)
    before = service.job()
    after, created = put(service, when="2020-01-01", misfire_grace_time="1 minute")
    assert not created
    assert {**after} == {**before}


def test_what_a_patch_does_not_name_is_not_judged(service):
    finished_beyond_its_grace(service)
    assert patch(service, kwargs={"number": 1})["kwargs"] == {"number": 1}
    sql(service, """UPDATE jobs SET kwargs = '{"no_longer_taken": 1}'""")
    assert patch(service, misfire_grace_time="2 minutes")["misfire_grace_time"] == timedelta(minutes=2)


def test_a_paused_one_off_job_beyond_its_grace_can_be_set_running_and_is_then_recorded_as_missed(service):
    service.add(when="2999-01-01", misfire_grace_time="1 minute", state="paused")
    sql(service, "UPDATE jobs SET starts_at = '2020-01-01', next_run_at = '2020-01-01'")
    assert patch(service, state="running")["state"] == "running"
    service.dispatch()
    assert service.states() == ["missed"]
    assert service.job()["state"] == "finished"


@pytest.mark.parametrize("change", [{"cron": "every now and then"}, {"timezone": "Middle-earth/Shire"}])
def test_a_job_whose_trigger_cannot_be_read_is_repaired_by_another_one(service, change):
    service.add(periodically="0 5 * * *")
    (column, value), due = next(iter(change.items())), "clock_timestamp() - interval '1 hour'"
    sql(service, f"UPDATE jobs SET {column} = '{value}', next_run_at = {due}")
    before = service.job()["next_run_at"]
    job = patch(service, periodically="30 5 * * *", timezone="UTC")
    assert job["next_run_at"] > service.now()
    (skipped,) = service.runs()
    assert (skipped["state"], skipped["scheduled_for"], skipped["missed_count"]) == ("skipped", before, 1)


def test_a_when_without_a_year_stays_the_day_that_it_once_named(service):
    job, _ = put(service, when="Feb 20, 14:56", kwargs={})
    long_ago = job["starts_at"].replace(year=job["starts_at"].year - 4)
    sql(service, f"UPDATE jobs SET starts_at = '{long_ago}', next_run_at = NULL, state = 'finished'")
    after, _ = put(service, when="Feb 20, 14:56", kwargs={})
    assert (after["starts_at"], after["state"], after["version"]) == (long_ago, "finished", job["version"])


@pytest.mark.parametrize("number", [1e16, -1e19, -0.0, 1.0, 1e-7, 12345678901234567])
def test_numbers_that_the_database_writes_differently_are_no_change(service, number):
    kwargs = {"flow_name": "f", "flow_arguments": [{"number": number}]}
    first, _ = put(service, handler="FlowScheduling", periodically="1 hour", kwargs=kwargs)
    again, _ = put(service, handler="FlowScheduling", periodically="1 hour", kwargs=kwargs)
    assert again["version"] == first["version"]


def test_what_an_answer_says_of_a_job_without_cron_can_be_put(service):
    first, _ = put(service, periodically="1 hour")
    again, _ = put(service, periodically="1 hour", timezone="UTC", job_id=None)
    assert again["version"] == first["version"]


def test_a_state_cannot_be_null(service):
    service.add()
    with pytest.raises(InvalidOptions, match="state: None"):
        patch(service, state=None)


def test_a_failure_entry_is_not_changed(service):
    sql(service, "INSERT INTO jobs (job_id, handler, state) VALUES ('job', 'ErrorHandler', 'paused')")
    before = service.job()
    for change in (lambda: patch(service, state="paused"), lambda: patch(service), lambda: put(service)):
        with pytest.raises(InvalidOptions, match="failure entry"):
            change()
    assert {**service.job()} == {**before}


def test_a_job_id_that_no_job_can_have_is_refused_before_anything_else(service):
    with pytest.raises(InvalidOptions, match="control characters"):
        put(service, "\x1b")


def test_a_job_that_names_no_queue_follows_its_handler(service):
    service.add()
    assert service.job()["queue"] == "default"
    edit.patch(service.engine, service.registry, "job", {"handler": "OtherQueue"})
    assert service.job()["queue"] == "other"
    edit.patch(service.engine, service.registry, "job", {"queue": "default"})
    edit.patch(service.engine, service.registry, "job", {"kwargs": {"number": 2}})
    assert service.job()["queue"] == "default"
    edit.patch(service.engine, service.registry, "job", {"queue": None})
    assert service.job()["queue"] == "other"


def test_what_an_edit_does_not_name_stays(service):
    options = {
        "periodically": "1 day", "end": "2100-01-01T00:00:00Z", "jitter": "1 hour", "misfire_grace_time": "2 hours",
        "catch_up": "all", "max_concurrent_runs": 3, "overlap": "queue_one", "priority": 2, "max_retries": 0,
        "retry_delay": "1 minute", "time_limit": "1 hour", "description": "What it is for.", "tags": ["a", "b"],
    }  # fmt: skip
    service.add(**options)
    before = service.job()
    edit.patch(service.engine, service.registry, "job", {"kwargs": {"number": 2}})
    after = service.job()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"kwargs", "version", "updated_at"}
    edit.put(service.engine, service.registry, "job", {"handler": "Noop", "kwargs": {"number": 2}, **options})
    assert service.job() == after, "the same definition again changes nothing"
    nulls = dict.fromkeys(set(options) - {"periodically"})
    edit.patch(service.engine, service.registry, "job", nulls)
    service.add("plain", periodically="1 day", kwargs={"number": 2}, when="2100-01-01")
    plain, reset = service.job("plain"), service.job()
    differing = {name for name in plain if plain[name] != reset[name]}
    assert differing <= {"job_no", "job_id", "starts_at", "next_run_at", "version", "created_at", "updated_at"}


@pytest.mark.parametrize(
    ("options", "option", "reason"),
    [
        ({"end": "2100-01-01"}, "end", "is for a periodic job"),
        ({"periodically": "1 day", "when": "2100-01-02", "end": "2100-01-01T00:00:00Z"}, "end", "leaves no fire time"),
        ({"periodically": "1 day", "end": "soon"}, "end", ""),
        ({"periodically": "1 hour", "jitter": "1 hour"}, "jitter", "must be shorter than the period"),
        ({"jitter": "0 seconds"}, "jitter", "a duration must be longer than zero"),
        ({"jitter": "24:00:01"}, "jitter", "a jitter is at most 1 day"),
        ({"periodically": "0.999999 seconds"}, "periodically", "a period is at least 1 second"),
        ({"catch_up": "all"}, "catch_up", "needs misfire_grace_time, which says how far back"),
        ({"catch_up": "some"}, "catch_up", "must be one of latest, all, none"),
        ({"overlap": "replace"}, "overlap", "must be one of skip, queue_one, allow"),
        ({"max_concurrent_runs": 0}, "max_concurrent_runs", "must be a whole number from 1 to 100"),
        ({"max_concurrent_runs": True}, "max_concurrent_runs", "must be a whole number from 1 to 100"),
        ({"priority": "10"}, "priority", "must be a whole number from 0 to 9"),
        ({"priority": 1.5}, "priority", "must be a whole number from 0 to 9"),
        ({"max_retries": -1}, "max_retries", "must be a whole number from 0 to 1000"),
        ({"retry_delay": "1 month"}, "retry_delay", ""),
        ({"time_limit": 90}, "time_limit", "must be text"),
        ({"queue": "nowhere"}, "queue", "no worker consumes this queue"),
        ({"description": "a\0b"}, "description", "contains a NUL character"),
        ({"description": "x" * 2001}, "description", "a description has at most 2000 characters"),
        ({"tags": ["a", "a"]}, "tags", "a tag is given twice"),
        ({"tags": ["a,b"]}, "tags", "a tag is a text that is not empty and has no comma"),
        ({"tags": "a,,b"}, "tags", "a tag is a text that is not empty and has no comma"),
        ({"tags": [1]}, "tags", "a tag is a text"),
        ({"tags": {"a": 1}}, "tags", "must be a list of texts"),
        ({"tags": ["\x1b[2J"]}, "tags", "a tag has at most 50 characters, none of them a control character"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_with_its_name_and_value(service, options, option, reason):
    with pytest.raises(InvalidOptions) as refused:
        service.add(**options)
    (fault,) = refused.value.faults
    assert fault.option == option
    assert fault.value == options[option]
    assert fault.reason.startswith(reason)
    assert service.job() is None


def test_the_same_put_again_changes_nothing_once_its_end_has_passed(service):
    end = (service.now() + HOUR).replace(second=0, microsecond=0)
    written = {"periodically": "1 minute", "end": f"{end:%b %d, %H:%M}"}
    put(service, **written)
    service.execute_sql(
        "UPDATE jobs SET starts_at = starts_at - interval '2 hours', ends_at = ends_at - interval '2 hours',"
        " next_run_at = NULL, state = 'finished'"
    )
    end -= 2 * HOUR
    before = service.job()
    for again in (f"{end:%b %d, %H:%M}", f"{end:%Y-%m-%d %H:%M}"):
        put(service, periodically="1 minute", end=again)
        assert service.job() == before


def test_a_trigger_whose_end_has_passed_is_refused_for_a_change(service):
    put(service, periodically="1 hour")
    with pytest.raises(InvalidOptions, match="leaves no fire time"):
        patch(service, end="2020-01-01")


def test_a_change_after_the_clock_was_set_back_does_not_have_a_fire_time_again_that_is_accounted_for(service):
    job = service.add(periodically="10 minutes")
    service.dispatch(now=job["next_run_at"] + HOUR)  # by a clock that is an hour ahead of the one that comes after
    changed = patch(service, periodically="20 minutes")
    assert changed["next_run_at"] == job["next_run_at"] + HOUR + timedelta(minutes=20)
    service.dispatch(now=changed["next_run_at"] + 2 * HOUR)
    recorded = [(run["scheduled_for"] - job["starts_at"], run["missed_count"] or 1) for run in service.runs()]
    minutes = [round(begin / timedelta(minutes=1)) for begin, _ in sorted(recorded)]
    assert (minutes, sorted(count for _, count in recorded)) == ([0, 60, 80], [1, 6, 7])
