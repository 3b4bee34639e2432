"""Jobs that plain SQL makes pending are admitted, or set aside with their error, and never wedge the others."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text
from waiting import wait_for

from bayesian_jobs import scheduler as scheduler_module
from bayesian_jobs.api import codec
from bayesian_jobs.domain import reasons
from bayesian_jobs.errors import InvalidOptions
from bayesian_jobs.lifecycle import admit, define, edit
from bayesian_jobs.lifecycle.options import OPTIONS
from bayesian_jobs.scheduler import Scheduler
from bayesian_jobs.store import admission, dispatch
from bayesian_jobs.store.jobs import list_jobs

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def insert(service, name="job", **columns):
    """Plain SQL, as an operator types it: each column is given as an SQL expression."""
    columns = {"job_id": f"'{name}'", "handler": "'Noop'", **columns}
    names, values = ", ".join(columns), ", ".join(columns.values())
    with service.engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO jobs ({names}) VALUES ({values})".replace("%", "%%"))


def admitted(service, limit=admit.AT_A_TIME):
    with service.engine.connect() as connection:
        return admit.admit_jobs(connection, service.registry, limit)


@pytest.fixture
def scheduler(service):
    scheduler = Scheduler(service.engine, service.registry)
    with scheduler._membership.join(set()) as connection:
        yield lambda: scheduler.tick(connection)


def test_a_job_inserted_with_plain_sql_is_admitted_and_runs(service, scheduler):
    insert(service, kwargs="""'{"number": 3}'""", period="interval '1 hour'")
    assert service.job()["state"] == "pending"
    scheduler()
    job = service.job()
    assert (job["state"], job["queue"], job["error"]) == ("running", "default", None)
    assert job["next_run_at"] == job["starts_at"]
    scheduler()
    assert service.states() == ["queued"]
    assert service.claim_one().kwargs == {"number": 3}


def test_it_goes_to_the_queue_of_its_handler(service):
    insert(service, handler="'OtherQueue'")
    admitted(service)
    assert service.job()["queue"] == "other"


@pytest.mark.parametrize(
    ("columns", "periodically"),
    [
        ({"period": "interval '90 seconds'"}, "90 seconds"),
        ({"period": "interval '1 day 02:00'"}, "1 day, 2:00:00"),
        ({"period": "interval '99999 days'"}, "99999 days"),
        ({"period": "interval '36 hours'"}, "1 day, 12:00:00"),
        ({"period": "interval '1.5 seconds'"}, "1.5 seconds"),
        ({"cron": "'*/5 * * * *'", "timezone": "'Europe/Prague'"}, "*/5 * * * *"),
        ({"cron": "'@daily'"}, "@daily"),
        ({}, None),
    ],
)
def test_every_trigger_can_be_inserted(service, columns, periodically):
    insert(service, misfire_grace_time="interval '1 hour'", **columns)
    admitted(service)
    job = service.job()
    assert (job["state"], job["error"]) == ("running", None)
    assert codec.job(job)["periodically"] == periodically
    assert job["next_run_at"] >= job["starts_at"]


def test_a_job_that_waited_for_a_scheduler_is_judged_like_after_a_downtime(service):
    insert(service, period="interval '1 hour'", created_at="now() - interval '150 minutes'",
           starts_at="now() - interval '150 minutes'")  # fmt: skip
    admitted(service)
    service.dispatch()
    missed, run = service.runs()
    assert (missed["state"], missed["missed_count"], run["state"]) == ("missed", 2, "queued")


@pytest.mark.parametrize("created_at", ["'1970-01-01'", "'-infinity'", "'0044-03-15 BC'", "'infinity'"])
def test_a_made_up_time_of_creation_does_not_make_up_a_history(service, created_at):
    insert(service, cron="'* * * * *'", created_at=created_at)
    admitted(service)
    ((waits,),) = service.execute_sql("SELECT next_run_at > now() - interval '25 hours' FROM jobs")
    assert waits


POISON = {
    "unknown handler": ({"handler": "'Nope'"}, "handler: 'Nope'"),
    "internal handler": ({"handler": "'ErrorHandler'"}, "handler: 'ErrorHandler'"),
    "kwargs that do not fit": ({"kwargs": """'{"nope": 1}'"""}, "kwargs.nope"),
    "kwargs no object": ({"kwargs": "'[1]'"}, "kwargs: \\[1\\]"),
    "kwargs a text": ({"kwargs": "'\"x\"'"}, "kwargs: 'x'"),
    "kwargs with a huge number": ({"kwargs": """'{"number": 1e400}'"""}, "kwargs.number"),
    "kwargs that Python cannot read": ({"kwargs": """'{"number": 1e5000}'"""}, "kwargs: .*cannot be read"),
    "kwargs nested deeply": ({"kwargs": "(repeat('[', 3000) || repeat(']', 3000))::jsonb"}, "kwargs"),
    "bad zone": ({"cron": "'@daily'", "timezone": "'Mars/Olympus'"}, "timezone: 'Mars/Olympus'"),
    "zone without cron": ({"timezone": "'Europe/Prague'"}, "timezone: 'Europe/Prague'"),
    "bad cron": ({"cron": "'every now and then'"}, "periodically: 'every now and then'"),
    "empty cron": ({"cron": "''"}, "periodically"),
    "cron that never fires": ({"cron": "'0 0 30 2 *'"}, "periodically: '0 0 30 2 \\*'"),
    "a duration as cron": ({"cron": "'1 month'"}, "periodically: '1 month'"),
    "a month": ({"period": "interval '1 month'"}, "periodically: '1 month': months and years"),
    "years and months": ({"period": "interval '1 year 2 mons'"}, "months and years"),
    "signs mixed": ({"period": "interval '2 days -1 hour'"}, "periodically"),
    "grace without end": ({"misfire_grace_time": "interval '170000000 years'"}, "misfire_grace_time"),
    "jitter without end": ({"jitter": "interval '170000000 years'"}, "jitter: '170000000 years'"),
    "jitter as long as its period": (
        {"period": "interval '1 hour'", "jitter": "interval '1 hour'"},
        "jitter: '1 hour'",
    ),
    "retries without end": ({"max_retries": "2000000000"}, "max_retries: 2000000000"),
    "a time limit without end": ({"time_limit": "interval '170000000 years'"}, "time_limit"),
    "a queue that nobody consumes": ({"queue": "'nowhere'"}, "queue: 'nowhere'"),
    "tags of tags": ({"tags": "'{{a,b},{c,d}}'"}, "tags"),
    "a tag that is null": ({"tags": "'{NULL}'"}, "tags"),
    "the end of a one-off job": ({"ends_at": "'2998-01-01'"}, "end: '2998-01-01"),
    "an end before Christ": ({"period": "interval '1 hour'", "ends_at": "'0044-03-15 BC'"}, "end: '0044-03-15.*BC'"),
    "an end that has passed": ({"period": "interval '1 hour'", "ends_at": "'2020-01-01'"}, "end: '2020-01-01"),
    "starts before Christ": ({"starts_at": "'0044-03-15 BC'"}, "when: '0044-03-15.*BC'"),
    "starts in the year 20000": ({"starts_at": "'20000-01-01'"}, "when: '20000-01-01"),
    "next run before Christ": ({"next_run_at": "'0044-03-15 BC'", "cron": "'@daily'"}, "year"),
    "a line break in its id": ({"job_id": "E'a\\nb'"}, "job_id: .*control"),
    "an escape in its id": ({"job_id": "E'\\x1b[2J'"}, "job_id: .*control"),
    "a reserved id": ({"job_id": "'clean-failed'"}, "job_id: 'clean-failed'"),
    "a slash in its id": ({"job_id": "'a/b'"}, "job_id: 'a/b'"),
    "one-off past its grace": (
        {"starts_at": "now() - interval '1 hour'", "misfire_grace_time": "interval '1 minute'"},
        "when: .*never run",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "error"), POISON.values(), ids=POISON)
def test_what_cannot_be_admitted_is_set_aside_with_its_error(service, columns, error):
    insert(service, **columns)
    assert admitted(service).set_aside == 1
    ((state, told, reads),) = service.execute_sql("SELECT state, error, error ~ :error FROM jobs", error=error)
    assert (state, reads) == ("paused", True), told
    with service.engine.connect() as connection:
        (job,) = list_jobs(connection)
    assert codec.job(job)["error"] == told, "the API can show it"
    assert service.dispatch() is None


@pytest.mark.parametrize("columns", [{"starts_at": "'infinity'"}, {"period": "interval '-1 day'"}, {"job_id": "''"}])
def test_what_the_table_itself_refuses_is_told_to_who_inserts_it(service, columns):
    with pytest.raises(Exception, match="check constraint"):
        insert(service, **columns)


def test_what_is_set_aside_stays_what_it_was_as_far_as_it_can_be_read(service):
    insert(service, handler="'Nope'", kwargs="""'{"number": 3}'""", cron="'@daily'")
    before = service.job()
    admitted(service)
    after = service.job()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"state", "error", "paused_at", "version", "updated_at"}


def test_all_that_is_wrong_is_told_at_once(service):
    insert(service, handler="'Nope'", cron="'x y'", timezone="'Mars'", misfire_grace_time="interval '1 month'")
    admitted(service)
    for option in ("handler", "periodically", "timezone", "misfire_grace_time"):
        assert f"{option}: " in service.job()["error"]


def test_hostile_rows_among_good_ones_never_wedge_them(service, scheduler):
    for number, (columns, _) in enumerate(POISON.values()):
        insert(service, f"good-{number}", period="interval '1 hour'")
        insert(service, **{"job_id": f"'bad-{number}'", **columns})
    scheduler()
    scheduler()
    states = dict(service.execute_sql("SELECT state, count(*)::int FROM jobs GROUP BY state"))
    assert states == {"running": len(POISON), "paused": len(POISON)}
    assert service.states() == ["queued"] * len(POISON)


def test_what_goes_wrong_unexpectedly_is_the_error_of_that_job_alone(service, monkeypatch):
    insert(service, "bad")
    insert(service, "good")
    admit_one = admit.admit

    def fail(connection, registry, pending):
        if pending.options["job_id"] == "bad":
            connection.execute(text("UPDATE jobs SET handler = 'half done'"))
            connection.execute(text("SELECT 1 / 0"))
        admit_one(connection, registry, pending)

    monkeypatch.setattr(admit, "admit", fail)
    admitted(service)
    assert "division by zero" in service.job("bad")["error"]
    assert (service.job("bad")["handler"], service.job("good")["state"]) == ("Noop", "running")


def test_a_pending_job_that_somebody_has_locked_is_passed_by(service, scheduler):
    insert(service, "held")
    insert(service, "other")
    with service.engine.connect() as holder:
        holder.execute(text("SELECT FROM jobs WHERE job_id = 'held' FOR UPDATE"))
        scheduler()
        assert [service.job(job_id)["state"] for job_id in ("held", "other")] == ["pending", "running"]
        holder.rollback()
    admitted(service)
    assert service.job("held")["state"] == "running"


def test_two_schedulers_at_once_admit_each_job_once(service):
    for number in range(60):
        insert(service, f"job-{number}", handler="'Noop'" if number % 2 else "'Nope'")
    with ThreadPoolExecutor(4) as schedulers:
        done = list(schedulers.map(lambda _: admitted(service), range(4)))
    assert [sum(each.admitted for each in done), sum(each.set_aside for each in done)] == [30, 30]
    assert service.execute_sql("SELECT DISTINCT version FROM jobs") == [(2,)]


def test_many_are_admitted_a_few_at_a_time(service, scheduler):
    for number in range(5):
        insert(service, f"job-{number}")
    assert admitted(service, limit=2).admitted == 2
    assert service.execute_sql("SELECT count(*) FROM jobs WHERE state = 'pending'") == [(3,)]
    scheduler()
    assert service.execute_sql("SELECT count(*) FROM jobs WHERE state = 'pending'") == [(0,)]


def test_a_paused_service_admits_jobs_and_runs_none(service, scheduler):
    service.execute_sql("UPDATE service SET state = 'paused'")
    insert(service)
    scheduler()
    scheduler()
    assert (service.job()["state"], service.states()) == ("running", [])


# Again


def test_an_update_to_pending_admits_a_changed_job_that_never_fires_by_surprise(service):
    service.add(periodically="10 minutes")
    service.make_due(ago=25 * MINUTE)
    service.execute_sql("UPDATE jobs SET period = interval '1 hour', kwargs = '{\"number\": 7}', state = 'pending'")
    admitted(service)
    job = service.job()
    assert (job["state"], job["kwargs"]) == ("running", {"number": 7})
    assert service.now() < job["next_run_at"] <= service.now() + HOUR
    (skipped,) = service.runs()
    assert (skipped["state"], skipped["reason"]) == ("skipped", reasons.SKIPPED_CHANGED)
    assert service.dispatch() is None


def test_a_queued_run_of_it_goes_along_to_the_new_handler(service):
    service.add(periodically="1 hour")
    service.dispatch()
    service.execute_sql("UPDATE jobs SET handler = 'OtherQueue', state = 'pending'")
    admitted(service)
    (run,) = service.claim(queues=("other",)).started
    assert run.actor == "OtherQueue"


def test_a_one_off_job_that_has_run_does_not_run_again_for_the_same_time(service):
    service.add()
    service.dispatch()
    service.finish(service.claim_one())
    service.execute_sql("UPDATE jobs SET state = 'pending'")
    admitted(service)
    assert "has passed" in service.job()["error"]
    assert service.dispatch() is None


def test_a_one_off_job_that_is_given_a_new_time_runs_then(service):
    service.add()
    service.dispatch()
    service.finish(service.claim_one())
    service.execute_sql("UPDATE jobs SET state = 'pending', starts_at = clock_timestamp()")
    admitted(service)
    service.dispatch()
    assert service.states() == ["succeeded", "queued"]


def test_a_due_one_off_job_stays_due(service):
    service.add()
    service.execute_sql("UPDATE jobs SET state = 'pending', kwargs = '{\"number\": 7}'")
    admitted(service)
    service.dispatch()
    assert service.claim_one().kwargs == {"number": 7}


def test_a_long_past_of_a_cron_job_is_settled_in_slices(service, scheduler, monkeypatch):
    monkeypatch.setattr(admit, "SLICE", 100)
    service.add(periodically="* * * * *")
    service.execute_sql(
        "UPDATE jobs SET state = 'pending', starts_at = '2026-01-01',"
        " next_run_at = date_trunc('minute', now()) - interval '4 h'"
    )
    first, ticks = service.job()["next_run_at"], 0
    while service.job()["state"] == "pending":
        assert ticks < 10
        scheduler()
        ticks += 1
    assert ticks == 3
    now, records = service.now(), service.runs()
    assert {record["state"] for record in records} == {"skipped"}
    assert first + sum(record["missed_count"] for record in records) * MINUTE == service.job()["next_run_at"]
    assert service.job()["next_run_at"] > now - MINUTE


def test_what_was_set_aside_and_is_repaired_runs_on_and_never_fires_by_surprise(service):
    insert(service, handler="'Nope'", period="interval '1 hour'")
    admitted(service)
    edit.patch(service.engine, service.registry, "job", {"handler": "Noop"})
    assert define.change_state(service.engine, "job", "running")["state"] == "pending"
    admitted(service)
    job = service.job()
    assert (job["state"], job["error"]) == ("running", None)
    assert job["next_run_at"] > service.now()


def test_what_was_set_aside_and_is_not_repaired_is_set_aside_again(service):
    insert(service, handler="'Nope'")
    admitted(service)
    define.change_state(service.engine, "job", "running")
    admitted(service)
    assert (service.job()["state"], "'Nope'" in service.job()["error"]) == ("paused", True)


def test_a_job_whose_fire_times_cannot_be_computed_tells_its_error(service):
    service.add(periodically="* * * * *")
    service.execute_sql("UPDATE jobs SET timezone = 'Mars/Olympus', next_run_at = now()")
    service.dispatch()
    assert "Mars/Olympus" in service.job()["error"]
    define.change_state(service.engine, "job", "running")
    admitted(service)
    assert service.job()["error"].startswith("timezone: 'Mars/Olympus'")


def test_every_option_of_a_job_can_be_inserted(service):
    insert(
        service,
        kwargs="""'{"number": 3}'""", period="interval '1 hour'", starts_at="'2026-01-01'", ends_at="'2998-01-01'",
        jitter="interval '5 seconds'", misfire_grace_time="interval '20 minutes'", catch_up="'all'",
        max_concurrent_runs="2", overlap="'queue_one'", queue="'other'", priority="1", max_retries="4",
        retry_delay="interval '3 seconds'", time_limit="interval '1 hour'", description="'What it is for'",
        tags="'{red,round}'",
    )  # fmt: skip
    with service.engine.connect() as connection:
        assert {*admission.claim_pending(connection, []).options, "state"} == set(OPTIONS)
    admitted(service)
    by_request = service.add(
        "other", kwargs={"number": 3}, periodically="1 hour", when="2026-01-01", end="2998-01-01", jitter="5 seconds",
        misfire_grace_time="20 minutes", catch_up="all", max_concurrent_runs=2, overlap="queue_one", queue="other",
        priority=1, max_retries=4, retry_delay="3 seconds", time_limit="1 hour", description="What it is for",
        tags=["red", "round"],
    )  # fmt: skip
    by_sql, its_own = service.job(), ("job_no", "job_id", "created_at", "updated_at", "version")
    assert {name for name in by_request if by_request[name] != by_sql[name]} == set(its_own)


# What it costs


def test_an_idle_scheduler_asks_one_statement_for_all_that_comes(service, scheduler):
    scheduler()
    asked = []

    class Counting:
        def __init__(self, statement):
            self.statement = statement

        def run(self, connection, values):
            asked.append(self.statement._name)
            return self.statement.run(connection, values)

    for name in ("open_service_statement", "claim_due_statement", "coming_statement"):
        setattr(dispatch, name, Counting(getattr(dispatch, name)))
    try:
        claim = admission.claim_pending
        admission.claim_pending = lambda *_: pytest.fail("an idle scheduler looks for no pending job")
        with service.engine.connect() as connection:
            one = Scheduler(service.engine, service.registry)
            one._dispatch(connection)
            assert one._admitting.at > one._dispatching.at, "the next look for due jobs puts it off again"
    finally:
        admission.claim_pending = claim
        for name in ("open_service_statement", "claim_due_statement", "coming_statement"):
            setattr(dispatch, name, getattr(dispatch, name).statement)
    assert [name.removeprefix("bayesian_jobs_") for name in asked] == ["open_service", "claim_due", "coming"]


def test_full_batch_after_full_batch_does_not_keep_a_pending_job_waiting(service, monkeypatch):
    monkeypatch.setattr(scheduler_module, "ADMIT_EVERY", 0.05)
    monkeypatch.setattr(scheduler_module, "dispatch_batch", lambda _: dispatch.Settled(scheduler_module.BATCH, 0, 0, 0))
    busy = Scheduler(service.engine, service.registry)
    with busy._membership.join(set()) as connection:
        busy.tick(connection)
        insert(service)
        wait_for(lambda: (busy.tick(connection), service.job()["state"])[1] == "running")


def test_what_comes_is_looked_up_in_partial_indexes(service):
    service.execute_sql(
        "INSERT INTO jobs (job_id, handler, state, period, next_run_at)"
        " SELECT 'job-' || n, 'Noop', (ARRAY['running', 'paused', 'finished'])[n % 3 + 1], interval '1 hour',"
        " now() + interval '1 day' FROM generate_series(1, 3000) AS n"
    )
    service.execute_sql("ANALYZE jobs")
    with service.engine.connect() as connection:
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {dispatch.COMING}").scalars())
        for index in ("jobs_due", "jobs_pending", "jobs_paused_until"):
            assert index in plan, plan
        assert "Seq Scan on jobs" not in plan
        pending = str(admission.CLAIM_PENDING).replace(":seen", "'{}'")
        resumable = str(admission.CLAIM_RESUMABLE).replace(":seen", "'{}'")
        for statement, index in ((pending, "jobs_pending"), (resumable, "jobs_paused_until")):
            plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}").scalars())
            assert index in plan, plan


def test_a_pending_job_is_not_changed_by_a_request_meanwhile(service):
    insert(service)
    with pytest.raises(InvalidOptions, match="pending"):
        define.change_state(service.engine, "job", "paused")


def test_a_job_that_is_judged_anew_after_the_clock_was_set_back_goes_on_after_what_is_accounted_for(service):
    job = service.add(periodically="10 minutes")
    service.dispatch(now=job["next_run_at"] + HOUR)  # by a clock that is an hour ahead of the one that comes after
    service.execute_sql("UPDATE jobs SET period = interval '20 minutes', state = 'pending'")
    admitted(service)
    assert service.job()["next_run_at"] == job["next_run_at"] + HOUR + 20 * MINUTE
