"""Whatever a handler does or raises, its run ends with a record that tells of it, and recording it never fails."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from falcon import testing
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from waiting import wait_for
from working import LONG, worker

from bayesian_jobs.api.app import create_app
from bayesian_jobs.broker.record import Result, record_singly
from bayesian_jobs.domain.run import Failed
from bayesian_jobs.handlers.base import BaseHandler
from bayesian_jobs.settings import Settings
from bayesian_jobs.store.closing import close_left_open

HUNDRED_MEGABYTES = 100_000_000


class Speechless(Exception):
    """Its str() and repr() raise what is given."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error

    __repr__ = __str__


class Numeric(Exception):
    def __str__(self) -> str:
        return 42  # type: ignore[return-value]


class Faceless(Exception):
    @property
    def __class__(self) -> NoReturn:  # type: ignore[override]
        raise SystemExit("no class")


class Rootless(Exception):
    """Every attribute that tells of its origin raises."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise GeneratorExit(name)


class NamelessType(type):
    def __getattribute__(cls, name: str) -> NoReturn:
        raise KeyboardInterrupt(name)


class Endless(Exception):
    def __str__(self) -> str:
        while True:
            threading.Event().wait(0.01)


def recursion() -> int:
    return recursion() + 1


def raised_by(cause: Callable[[], object]) -> BaseException:
    try:
        cause()
    except BaseException as error:
        return error
    raise AssertionError("it was to raise")


def cycle() -> BaseException:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    first.__context__, second.__context__ = second, first
    return first


def holding_itself() -> BaseException:
    loop: list[Any] = []
    loop.append(loop)
    return ValueError(loop)


def group() -> BaseException:
    return BaseExceptionGroup("many", [ValueError("one"), KeyboardInterrupt(), ExceptionGroup("more", [OSError("x")])])


def noted() -> BaseException:
    error = ValueError("with a note")
    error.add_note("n" * HUNDRED_MEGABYTES)
    error.__notes__.append(Speechless(SystemExit()))  # type: ignore[arg-type]
    return error


HOSTILE: dict[str, tuple[Callable[[], BaseException], str]] = {
    # what a handler raises: how its failure entry begins
    "nul": (lambda: ValueError("nul \0 and \ud800"), "ValueError: nul ␀ and �"),
    "nul in the arguments": (lambda: KeyError("a\0", "\udfff"), "KeyError: ('a\\x00', '\\udfff')"),
    "100 MB": (lambda: ValueError("x" * HUNDRED_MEGABYTES), "ValueError: xxx"),
    "100 MB of lines": (lambda: ValueError("x\n\0" * (HUNDRED_MEGABYTES // 3)), "ValueError: x ␀x ␀x"),
    "100 MB of notes": (noted, "ValueError: with a note"),
    "str() raises": (lambda: Speechless(RuntimeError("no words")), f"{__name__}.Speechless: (the message cannot"),
    "str() exits": (lambda: Speechless(SystemExit(0)), f"{__name__}.Speechless: (the message cannot"),
    "str() interrupts": (lambda: Speechless(KeyboardInterrupt()), f"{__name__}.Speechless: (the message cannot"),
    "str() is no text": (Numeric, f"{__name__}.Numeric: (the message cannot"),
    "a cause without words": (
        lambda: raised_by(lambda: exec("raise ValueError('with a cause') from it", {"it": Speechless(OSError())})),
        "ValueError: with a cause",
    ),
    "__class__ exits": (Faceless, f"{__name__}.Faceless"),
    "no attributes": (lambda: Rootless("x"), f"{__name__}.Rootless: x"),
    "a nameless type": (lambda: NamelessType("Nameless", (Exception,), {})("x"), f"{__name__}.Nameless: x"),
    "a type named with NUL": (lambda: type("A\0\ud800B", (Exception,), {})("x"), ""),
    "deep recursion": (lambda: raised_by(recursion), "RecursionError: maximum recursion depth exceeded"),
    "refers to itself": (holding_itself, "ValueError: [[...]]"),
    "a cycle of causes": (cycle, "ValueError: first"),
    "a group": (group, "BaseExceptionGroup: many (3 sub-exceptions)"),
    "SystemExit": (lambda: SystemExit(3), "SystemExit: 3"),
    "KeyboardInterrupt": (KeyboardInterrupt, "KeyboardInterrupt"),
    "GeneratorExit": (GeneratorExit, "GeneratorExit"),
    "MemoryError": (lambda: raised_by(lambda: bytearray(2**62)), "MemoryError"),
    "StopIteration": (lambda: raised_by(lambda: next(iter(()))), "StopIteration"),
}


class Raising(BaseHandler):
    """Raises what is hostile, after some work in the run's transaction."""

    def execute(self, kind: str) -> None:
        self.run.connection.execute(text("INSERT INTO effects VALUES (:run)"), {"run": self.run.run_id})
        raise HOSTILE[kind][0]()


class Returning(BaseHandler):
    """Returns what nobody can keep."""

    def execute(self) -> Any:
        return {object(): lambda: None, "nul": "\0", "itself": self}


class Hanging(BaseHandler):
    """Raises an exception that never ends to say what it is."""

    time_limit = timedelta(milliseconds=300)

    def execute(self) -> None:
        raise Endless


class Anything(BaseHandler):
    """Takes anything, and fails."""

    def execute(self, **kwargs: Any) -> None:
        raise ValueError("boom")


class Picky(BaseHandler):
    """Fails for negative numbers."""

    def execute(self, number: int) -> None:
        if number < 0:
            raise ValueError(f"{number} is too small")


class Swallowing(BaseHandler):
    """Goes on although the run's transaction has been aborted."""

    def execute(self) -> None:
        self.run.connection.execute(text("INSERT INTO effects VALUES (:run)"), {"run": self.run.run_id})
        with suppress(DBAPIError):
            self.run.connection.execute(text("SELECT 1 / 0"))


class Meddling(BaseHandler):
    """Ends the run's transaction itself."""

    def execute(self, how: str) -> None:
        self.run.connection.execute(text("INSERT INTO effects VALUES (:run)"), {"run": self.run.run_id})
        getattr(self.run.connection, how)()


class Cut(BaseHandler):
    """Its database session is ended, and then it fails."""

    max_retries = 1
    retry_delay = timedelta(milliseconds=10)

    def execute(self) -> None:
        pid = self.run.connection.execute(text("SELECT pg_backend_pid()")).scalar()
        with self.run.engine.begin() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        raise ValueError("after the cut")


class Idle(BaseHandler):
    """Leaves the run's transaction idle while it works elsewhere."""

    at_work, go = threading.Event(), threading.Event()

    def execute(self, fail: bool) -> None:
        self.run.connection.execute(text("INSERT INTO effects VALUES (:run)"), {"run": self.run.run_id})
        self.at_work.set()
        assert self.go.wait(20)
        if fail:
            raise ValueError("boom")


HANDLERS = (Raising, Returning, Hanging, Anything, Picky, Swallowing, Meddling, Cut, Idle)


@pytest.fixture
def failing(service, database_url) -> Iterator:
    """The service with a worker, and with a handler for each hostility."""
    service.execute_sql("CREATE TABLE effects (run_id uuid)")
    with worker(service, database_url, *HANDLERS):
        yield service


def entries(service) -> list[Any]:
    return service.execute_sql("SELECT job_id, state, kwargs FROM jobs WHERE handler = 'ErrorHandler' ORDER BY job_id")


def effects(service) -> list[str]:
    return [str(row.run_id) for row in service.execute_sql("SELECT run_id FROM effects")]


@pytest.mark.parametrize("kind", HOSTILE)
def test_recording_a_failure_never_fails(failing, kind):
    run = failing.run(Raising, kind=kind)
    (entry,) = entries(failing)
    assert run["state"] == "failed"
    assert entry.state == "paused"
    assert entry.kwargs == {
        "exc_str": run["reason"],
        "exc_traceback": run["traceback"],
        "failed_job_id": "job",
        "failed_job_handler": "Raising",
        "failed_handler_kwargs": {"kind": kind},
        "run_id": run["run_id"],
    }
    assert run["reason"].startswith(HOSTILE[kind][1])
    assert len(run["reason"]) <= 16_384
    assert len(run["traceback"]) <= 65_536
    assert effects(failing) == []
    assert failing.job()["state"] == "finished"


def test_an_exception_that_never_ends_to_say_what_it_is_fails_at_the_time_limit(failing):
    run = failing.run(Hanging)
    assert run["state"] == "failed"
    assert run["reason"].startswith(f"{__name__}.Endless: (the message cannot be shown")
    assert len(entries(failing)) == 1


def test_what_a_handler_returns_may_be_anything(failing):
    assert failing.run(Returning)["state"] == "succeeded"


@pytest.mark.parametrize(
    "kwargs",
    [
        pytest.param('{"n": 1e400}', id="a number beyond floats"),
        pytest.param('{"n": -1e400, "m": {"o": [1e999]}}', id="numbers beyond floats, inside"),
        pytest.param('{"n": ' + "9" * 5000 + "}", id="a number of 5000 digits"),
        pytest.param('{"n": ' + "[" * 3000 + "]" * 3000 + "}", id="3000 levels"),
        pytest.param('{"n": "' + "x" * 10_000_000 + '"}', id="10 MB"),
    ],
)
def test_kwargs_that_plain_sql_has_stored_fail_their_run_and_nothing_else(failing, kwargs):
    failing.execute_sql(
        "INSERT INTO jobs (job_id, handler, kwargs, state, next_run_at)"
        " VALUES ('hostile', 'Anything', CAST(:kwargs AS jsonb), 'running', now())",
        kwargs=kwargs,
    )
    failing.add("other", "Returning", kwargs={})
    failing.dispatch()
    failing.broker.join("default", timeout=LONG)
    assert {run["job_id"]: run["state"] for run in failing.runs()} == {"hostile": "failed", "other": "succeeded"}
    ((kept,),) = failing.execute_sql(
        "SELECT kwargs -> 'failed_handler_kwargs' = CAST(:kwargs AS jsonb) FROM jobs"
        " WHERE handler = 'ErrorHandler' AND kwargs ->> 'failed_job_id' = 'hostile'",
        kwargs=kwargs,
    )
    assert kept


def test_a_run_whose_transaction_was_aborted_has_failed_though_its_handler_has_not_noticed(failing):
    run = failing.run(Swallowing)
    assert run["state"] == "failed"
    assert "aborted" in run["reason"]
    assert effects(failing) == []


@pytest.mark.parametrize(
    ("how", "state", "kept"),
    [("commit", "succeeded", True), ("rollback", "succeeded", False), ("close", "failed", False)],
)
def test_a_handler_that_ends_the_transaction_itself_has_its_way_and_its_run_is_recorded(failing, how, state, kept):
    run = failing.run(Meddling, how=how)
    assert run["state"] == state
    assert effects(failing) == ([run["run_id"]] if kept else [])
    assert len(entries(failing)) == (state == "failed")


def test_a_handler_that_fails_after_its_session_was_ended_is_tried_again_and_fails_with_its_own_words(failing):
    run = failing.run(Cut)
    assert (run["state"], run["attempt"], run["failures"]) == ("failed", 2, 2)
    assert run["reason"] == "ValueError: after the cut"


@pytest.mark.parametrize("fail", [True, False])
def test_an_idle_transaction_is_the_handlers_for_as_long_as_it_works_and_not_longer(failing, fail):
    Idle.at_work.clear(), Idle.go.clear()
    idle = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    ended = threading.Thread(target=lambda: failing.run(Idle, fail=fail))
    ended.start()
    assert Idle.at_work.wait(20)
    wait_for(lambda: len(failing.execute_sql(idle)) == 1, "the handler's transaction is idle")
    Idle.go.set()
    ended.join(20)
    assert failing.execute_sql(idle) == []
    assert failing.states() == ["failed" if fail else "succeeded"]
    assert len(effects(failing)) == (not fail)


def test_an_outcome_that_the_database_will_not_have_keeps_no_other_run_from_being_claimed_and_recorded(failing, caplog):
    failing.execute_sql("ALTER TABLE jobs ADD CONSTRAINT refuse CHECK (kwargs ->> 'failed_job_id' <> 'refused')")
    failing.add("refused", "Anything", kwargs={})
    failing.dispatch()
    wait_for(lambda: "cannot be recorded" in caplog.text)
    for number in range(3):
        failing.add(f"other-{number}", "Anything", kwargs={})
    failing.dispatch()
    wait_for(lambda: failing.states() == ["running", "failed", "failed", "failed"])
    assert len(entries(failing)) == 3, "an end and its failure entry are one transaction: neither of the refused run"
    failing.execute_sql("ALTER TABLE jobs DROP CONSTRAINT refuse")
    wait_for(lambda: failing.states() == ["failed"] * 4)
    assert {entry.kwargs["failed_job_id"] for entry in entries(failing)} == {"refused", "other-0", "other-1", "other-2"}


def test_results_behind_one_that_the_database_will_not_have_are_recorded(service):
    service.add("refused")
    service.add("other")
    service.dispatch()
    runs = {run.job_id: run for run in service.claim().started}
    results = [Result(runs["refused"], Failed("a", "a")), Result(runs["other"], Failed("b", "b"))]
    service.execute_sql("ALTER TABLE jobs ADD CHECK (kwargs ->> 'failed_job_id' <> 'refused')")
    with service.engine.connect() as connection:
        assert record_singly(connection, results) == results[:1]
    assert {run["job_id"]: run["state"] for run in service.runs()} == {"refused": "running", "other": "failed"}
    assert [entry.kwargs["failed_job_id"] for entry in entries(service)] == ["other"]


@pytest.fixture
def client(failing) -> testing.TestClient:
    services = SimpleNamespace(engine=failing.engine, registry=failing.registry, settings=Settings())
    return testing.TestClient(create_app(services), headers={"Host": "localhost"})


def listed(client, job_type: str) -> set[str]:
    return {job["job_id"] for job in client.simulate_get(f"/api/v1/jobs?job_type={job_type}").json["jobs"]}


def test_a_failed_run_is_listed_tried_again_with_edited_kwargs_and_cleaned_up(failing, client):
    failed = failing.run(Picky, number=-1)
    (entry,) = client.simulate_get("/api/v1/jobs?job_type=failed").json["jobs"]
    assert (entry["handler"], entry["state"], entry["next_run_at"]) == ("ErrorHandler", "paused", None)
    assert entry["kwargs"]["exc_str"] == "ValueError: -1 is too small"
    assert entry["kwargs"]["exc_traceback"].endswith("ValueError: -1 is too small\n")
    assert entry["kwargs"]["failed_handler_kwargs"] == {"number": -1}
    told = client.simulate_get(f"/api/v1/runs/{entry['kwargs']['run_id']}").json
    assert (told["state"], told["error"], told["job_id"]) == ("failed", "ValueError: -1 is too small", "job")

    answer = client.simulate_post(f"/api/v1/runs/{failed['run_id']}/retry", json={"kwargs": {"number": 1}})
    assert answer.status_code == 202
    failing.broker.join("default", timeout=LONG)
    again = client.simulate_get(f"/api/v1/runs/{answer.json['run']['run_id']}").json
    assert (again["state"], again["retry_of"], again["kwargs"]) == ("succeeded", failed["run_id"], {"number": 1})

    assert listed(client, "failed") == {entry["job_id"]}
    assert listed(client, "user") == {"job"}
    assert listed(client, "all") == {"job", entry["job_id"]}
    assert client.simulate_delete("/api/v1/jobs/clean-failed").json == {"removed": [entry["job_id"]]}
    assert listed(client, "all") == {"job"}


def test_running_a_failure_entry_does_nothing(failing, client):
    failing.run(Picky, number=-1)
    (entry,) = listed(client, "failed")
    run = client.simulate_post(f"/api/v1/jobs/{entry}/run").json["run"]
    failing.broker.join("default", timeout=LONG)
    assert client.simulate_get(f"/api/v1/runs/{run['run_id']}").json["state"] == "succeeded"
    assert listed(client, "all") == {"job", entry}
    with failing.engine.begin() as connection:
        close_left_open(connection)
    assert client.simulate_get(f"/api/v1/jobs/{entry}").json["state"] == "paused"


def test_retention_bounds_the_number_of_failure_entries_and_keeps_the_newest(failing):
    failing.execute_sql(
        "INSERT INTO jobs (job_id, handler, state) SELECT bayesian_jobs_uuid7()::text, 'ErrorHandler', 'paused'"
        " FROM generate_series(1, 2500)"
    )
    newest = [entry.job_id for entry in entries(failing)][-7:]
    failing.execute_sql("INSERT INTO jobs (job_id, handler, state) VALUES ('mine', 'Picky', 'paused')")
    assert failing.run(failing.registry.get("PruneHistory"), keep_failures=7)["state"] == "succeeded"
    assert [entry.job_id for entry in entries(failing)] == newest
    assert {row.job_id for row in failing.execute_sql("SELECT job_id FROM jobs")} == {"job", "mine", *newest}


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 3000 + "]" * 3000], ids=["5000 digits", "3000 levels"])
def test_kwargs_that_nobody_can_read_are_told_as_such_and_hide_no_other_job(failing, client, value):
    kwargs = f'{{"n": {value}}}'
    failing.execute_sql(
        "INSERT INTO jobs (job_id, handler, kwargs, state, next_run_at)"
        " VALUES ('hostile', 'Anything', CAST(:kwargs AS jsonb), 'running', now())",
        kwargs=kwargs,
    )
    failing.add("other", "Returning", kwargs={})
    failing.dispatch()
    failing.broker.join("default", timeout=LONG)
    assert listed(client, "user") == {"hostile", "other"}
    (entry,) = client.simulate_get("/api/v1/jobs?job_type=failed").json["jobs"]
    assert entry["kwargs"]["…"].startswith("cannot be read: ")
    answer = client.simulate_patch("/api/v1/jobs/hostile", json={"misfire_grace_time": "1 hour"})
    assert answer.status_code == 400
    assert "kwargs" in answer.json["error"]
    ((kept,),) = failing.execute_sql(
        "SELECT kwargs = CAST(:kwargs AS jsonb) FROM jobs WHERE job_id = 'hostile'", kwargs=kwargs
    )
    assert kept
    changes = {"misfire_grace_time": "1 hour", "kwargs": {}}
    assert client.simulate_patch("/api/v1/jobs/hostile", json=changes).status_code == 200
