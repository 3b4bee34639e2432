"""Jobs that are made and removed within the caller's own transaction, from Python and from plain SQL."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone

import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege, InvalidParameterValue, UniqueViolation
from sqlalchemy import create_engine, make_url
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from waiting import wait_for

from bayesian_jobs.client import InvalidOptions, JobExists, schedule, unschedule
from bayesian_jobs.domain import reasons
from bayesian_jobs.lifecycle import admit
from bayesian_jobs.lifecycle.options import OPTIONS
from bayesian_jobs.store import scheduling
from bayesian_jobs.store.audit import list_entries

FUTURE = datetime(2999, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def connect(database_url):
    """Connects as an application does that knows nothing of the service but its functions."""
    opened = []

    def connect(**changes):
        url = make_url(database_url).set(drivername="postgresql", **changes)
        opened.append(psycopg2.connect(url.render_as_string(hide_password=False)))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


@pytest.fixture
def caller(connect):
    return connect()


@contextmanager
def by_driver(url):
    connection = psycopg2.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))
    yield connection
    connection.close()


@contextmanager
def by_connection(url):
    with create_engine(url, poolclass=NullPool).connect() as connection:
        yield connection


@contextmanager
def by_session(url):
    with Session(create_engine(url, poolclass=NullPool)) as session:
        yield session


WAYS = pytest.mark.parametrize("way", [by_driver, by_connection, by_session])


def admitted(service):
    with service.engine.connect() as connection:
        return admit.admit_jobs(connection, service.registry)


def entries(service):
    with service.engine.connect() as connection:
        return [(each["who"], each["action"], each["job_id"]) for each in list_entries(connection, limit=10)]


def ask(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


@WAYS
def test_a_job_exists_exactly_if_the_transaction_of_its_caller_is_committed(service, database_url, way):
    with way(database_url) as caller:
        assert schedule(caller, "Noop", {"number": 3}, job_id="job") == "job"
        assert service.job() is None
        caller.rollback()
        assert service.job() is None
        schedule(caller, "Noop", {"number": 3}, job_id="job")
        caller.commit()
    assert admitted(service).admitted == 1
    service.dispatch()
    assert service.claim_one().kwargs == {"number": 3}


@WAYS
def test_it_is_removed_exactly_if_the_transaction_is_committed(service, database_url, way):
    service.add(when="2999-01-01")
    with way(database_url) as caller:
        assert unschedule(caller, "job") is True
        caller.rollback()
        assert service.job() is not None
        assert unschedule(caller, "job") is True
        assert unschedule(caller, "job") is False
        caller.commit()
    assert service.job() is None


def test_a_job_without_a_job_id_gets_one(service, caller):
    job_id = schedule(caller, "Noop")
    caller.commit()
    assert service.job(job_id)["handler"] == "Noop"


@pytest.mark.parametrize(
    ("options", "as_text"),
    [
        ({}, {}),
        ({"when": FUTURE.astimezone(timezone(timedelta(hours=2)))}, {"when": "2999-01-02T03:04:05Z"}),
        ({"when": "Jan 2 2999, 3:04"}, {"when": "2999-01-02T03:04:00Z"}),
        (
            {"periodically": timedelta(minutes=90), "when": FUTURE, "end": FUTURE + timedelta(days=1)},
            {"periodically": "90 minutes", "when": "2999-01-02T03:04:05Z", "end": "2999-01-03T03:04:05Z"},
        ),
        ({"periodically": "1 week", "when": FUTURE}, {"periodically": "1 week", "when": "2999-01-02T03:04:05Z"}),
        (
            {"periodically": "30 2 * * mon", "timezone": "Europe/Prague", "when": FUTURE},
            {"periodically": "30 2 * * mon", "timezone": "Europe/Prague", "when": "2999-01-02T03:04:05Z"},
        ),
        (
            {
                "periodically": "1 hour",
                "when": FUTURE,
                "jitter": timedelta(seconds=30),
                "misfire_grace_time": timedelta(days=99999),
                "catch_up": "all",
                "max_concurrent_runs": 3,
                "overlap": "queue_one",
                "queue": "other",
                "priority": 0,
                "max_retries": 7,
                "retry_delay": "1.5 seconds",
                "time_limit": timedelta(minutes=1),
                "description": "Words %(that)s :mean 100 % what they say.",
                "tags": ("a", "b c"),
            },
            {
                "periodically": "1 hour",
                "when": "2999-01-02T03:04:05Z",
                "jitter": "30 seconds",
                "misfire_grace_time": "99999 days",
                "catch_up": "all",
                "max_concurrent_runs": 3,
                "overlap": "queue_one",
                "queue": "other",
                "priority": 0,
                "max_retries": 7,
                "retry_delay": "1.5 seconds",
                "time_limit": "1 minute",
                "description": "Words %(that)s :mean 100 % what they say.",
                "tags": ["a", "b c"],
            },
        ),
    ],
)
@WAYS
def test_every_option_means_what_it_means_to_the_api(service, database_url, way, options, as_text):
    with way(database_url) as caller:
        schedule(caller, "Noop", {"number": 1}, job_id="job", **options)
        caller.commit()
    admitted(service)
    service.add("twin", kwargs={"number": 1}, **as_text)
    ours, twin = dict(service.job()), dict(service.job("twin"))
    own = {"job_no", "job_id", "created_at", "updated_at", "version"}
    if "when" not in options:
        assert ours["next_run_at"] == ours["starts_at"] == ours["created_at"]
        own |= {"next_run_at", "starts_at"}
    assert {name: ours[name] for name in ours.keys() - own} == {name: twin[name] for name in twin.keys() - own}


def test_the_function_takes_every_option_but_the_state(caller):
    names = ask(
        caller,
        "SELECT proargnames FROM pg_proc WHERE oid = 'schedule_job'::regproc",
    )
    assert set(names) == set(OPTIONS) - {"state"} | {"if_exists"}
    assert set(names) == set(scheduling.TYPES)


def test_plain_sql_makes_a_job_as_well(service, caller):
    job_id = ask(caller, """SELECT schedule_job('Noop', '{"number": 2}', periodically => '90 seconds')""")
    ask(caller, """SELECT schedule_job('Noop', job_id => 'once', "when" => now() + interval '10 minutes')""")
    caller.commit()
    admitted(service)
    assert service.job(job_id)["period"] == timedelta(seconds=90)
    assert service.job("once")["next_run_at"] == service.job("once")["starts_at"] > service.now()


def test_the_schedulers_are_woken_when_it_is_committed(connect, caller):
    listener = connect()
    listener.autocommit = True
    listener.cursor().execute("LISTEN bayesian_jobs_jobs")
    schedule(caller, "Noop")
    listener.poll()
    assert listener.notifies == []
    caller.commit()

    def notified():
        listener.poll()
        return [each.payload for each in listener.notifies] == [""]

    wait_for(notified)


def test_a_job_that_exists_stays_as_it_is_and_the_transaction_goes_on(service, caller):
    schedule(caller, "Noop", {"number": 1}, job_id="job")
    with pytest.raises(JobExists, match="'job'"):
        schedule(caller, "Noop", {"number": 2}, job_id="job")
    assert schedule(caller, "Noop", {"number": 2}, job_id="job", keep=True) is None
    assert schedule(caller, "Noop", job_id="other", keep=True) == "other"
    caller.commit()
    assert service.job()["kwargs"] == {"number": 1}
    assert service.job("other") is not None
    assert entries(service) == [("SQL", "job added", "other"), ("SQL", "job added", "job")]


def test_to_plain_sql_it_is_a_violation_of_uniqueness_unless_it_is_to_be_kept(caller):
    ask(caller, "SELECT schedule_job('Noop', job_id => 'job')")
    assert ask(caller, "SELECT schedule_job('Noop', job_id => 'job', if_exists => 'keep')") is None
    caller.commit()
    with pytest.raises(UniqueViolation, match="A job with id 'job' already exists"):
        ask(caller, "SELECT schedule_job('Noop', job_id => 'job')")
    caller.rollback()
    for wrong in ("'replace'", "NULL"):
        with pytest.raises(InvalidParameterValue, match=f"if_exists: {wrong}: must be 'error' or 'keep'"):
            ask(caller, f"SELECT schedule_job('Noop', if_exists => {wrong})")
        caller.rollback()


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_made(service, caller):
    with pytest.raises(InvalidOptions) as refused:
        schedule(
            caller,
            "Noop",
            {"number": float("nan")},
            job_id="a/b",
            periodically="1 fortnight",
            when=datetime(2999, 1, 1, tzinfo=UTC),
            retry_delay=timedelta(0),
            colour="red",
        )
    wrong = [fault.option for fault in refused.value.faults]
    assert sorted(wrong) == ["colour", "job_id", "kwargs", "periodically", "retry_delay"]
    caller.commit()
    assert service.execute_sql("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"when": datetime(2999, 1, 1)}, "when"),  # noqa: DTZ001
        ({"when": "2020-01-01", "misfire_grace_time": "1 hour"}, "when"),
        ({"state": "paused"}, "state"),
        ({"handler": 7}, "handler"),
        ({"kwargs": {"at": FUTURE}}, "kwargs"),
    ],
)
def test_what_can_be_told_without_the_handlers_is_told_at_once(caller, options, option):
    with pytest.raises(InvalidOptions) as refused:
        schedule(caller, **{"handler": "Noop", **options})
    assert [fault.option for fault in refused.value.faults] == [option]


def test_what_only_the_scheduler_knows_it_tells(service, caller):
    schedule(caller, "Nope", job_id="nope")
    schedule(caller, "Noop", {"numbr": 1}, job_id="misspelt")
    schedule(caller, "Noop", job_id="good")
    caller.commit()
    assert admitted(service).set_aside == 2
    assert "'Nope': is not a known handler" in service.job("nope")["error"]
    assert "kwargs.numbr" in service.job("misspelt")["error"]
    assert service.job("good")["state"] == "running"


def test_removing_a_job_cancels_its_queued_runs(service, caller):
    service.add(max_concurrent_runs=3, periodically="1 second", misfire_grace_time="1 hour", catch_up="all")
    service.make_due(ago=timedelta(seconds=5))
    while len(service.runs()) < 3:
        service.dispatch()
    first = service.claim(limit=1).started[0]
    assert sorted(service.states()) == ["queued", "queued", "running"]
    unschedule(caller, "job")
    caller.commit()
    cancelled = [run for run in service.runs() if run["state"] == "cancelled"]
    assert [run["reason"] for run in cancelled] == [reasons.CANCELLED_DELETED] * 2
    assert service.finish(first)
    assert entries(service)[0] == ("SQL", "job removed", "job")


def test_it_waits_for_a_claim_that_is_under_way(service, caller):
    service.add()
    service.dispatch()
    (run,) = service.runs()
    with service.engine.connect() as claiming:
        claiming.exec_driver_sql(f"SELECT FROM runs WHERE run_id = '{run['run_id']}' FOR UPDATE")
        remover = threading.Thread(target=lambda: (unschedule(caller, "job"), caller.commit()))
        remover.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        wait_for(lambda: service.execute_sql(waiting) == [(1,)])
        claiming.exec_driver_sql(f"UPDATE runs SET state = 'running', claim_at = NULL WHERE run_id = '{run['run_id']}'")
        claiming.commit()
        remover.join()
    assert (service.job(), service.states()) == (None, ["running"])


def test_a_role_may_schedule_and_nothing_else(service, connect, postgres):
    role = f"app_{service.engine.url.database}"
    service.execute_sql(f"CREATE ROLE {role} LOGIN")
    try:
        app = connect()
        app.cursor().execute(f"SET SESSION AUTHORIZATION {role}")
        app.commit()
        with pytest.raises(InsufficientPrivilege):
            ask(app, "SELECT schedule_job('Noop')")
        app.rollback()
        service.execute_sql(f"GRANT EXECUTE ON FUNCTION schedule_job, unschedule_job TO {role}")
        # Its own table of that name, found first by its own path, is not the one that the function writes to.
        app.cursor().execute("CREATE TEMP TABLE jobs (job_id text)")
        assert schedule(app, "Noop", job_id="job") == "job"
        app.commit()
        assert service.job()["handler"] == "Noop"
        with pytest.raises(InsufficientPrivilege):
            ask(app, "SELECT count(*) FROM public.jobs")
        app.rollback()
        assert unschedule(app, "job")
        app.commit()
        assert service.execute_sql("SELECT DISTINCT origin FROM audit_log") == [(role,)]
        app.close()
    finally:
        service.execute_sql(f"DROP OWNED BY {role}")
        service.execute_sql(f"DROP ROLE {role}")


def test_two_who_make_the_same_job_at_once_make_one(service, connect):
    one, other = connect(), connect()
    assert schedule(one, "Noop", job_id="job", keep=True) == "job"
    made = []
    racer = threading.Thread(target=lambda: made.append(schedule(other, "Noop", job_id="job", keep=True)))
    racer.start()
    one.commit()
    racer.join()
    other.commit()
    assert made == [None]
    assert service.execute_sql("SELECT count(*) FROM jobs") == [(1,)]
