"""Runs are executed by their handlers, in the worker, and every outcome is recorded."""

import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import dramatiq
import pytest
from dramatiq.middleware import TimeLimitExceeded
from sqlalchemy import text
from waiting import wait_for
from working import worker

from bayesian_jobs.handlers.base import BaseHandler


class Recorder(BaseHandler):
    """Notes what it sees."""

    seen: ClassVar[list] = []

    def execute(self, number: int, pause: timedelta = timedelta(0)) -> None:
        self.seen.append((self.run.run_id, self.run.job_id, self.run.attempt, number, pause))


class Failing(BaseHandler):
    """Raises what it is told to."""

    retry_delay = timedelta(milliseconds=10)

    def execute(self, kind: str) -> None:
        self.run.connection.execute(text("INSERT INTO effects VALUES (:run)"), {"run": self.run.run_id})
        raise {
            "value": ValueError("boom"),
            "exit": SystemExit(3),
            "interrupt": KeyboardInterrupt(),
        }[kind]


class Flaky(BaseHandler):
    """Succeeds at the third attempt."""

    max_retries = 2
    retry_delay = timedelta(milliseconds=10)

    def execute(self) -> None:
        if self.run.attempt < 3:
            raise ValueError(f"attempt {self.run.attempt}")


class Writer(BaseHandler):
    """Works in the run's own transaction."""

    def execute(self) -> None:
        self.run.connection.execute(text("INSERT INTO effects VALUES (:run)"), {"run": self.run.run_id})


class InterruptedWhileLogging(BaseHandler):
    """Is interrupted at the worst moment: when it has just locked what all threads need for logging."""

    def execute(self) -> None:
        logging.lastResort.acquire()
        raise TimeLimitExceeded


class Overtaken(BaseHandler):
    """While it works, its run is taken back."""

    def execute(self) -> None:
        self.run.connection.execute(text("INSERT INTO effects VALUES (:run)"), {"run": self.run.run_id})
        with self.run.engine.begin() as connection:
            connection.execute(text("UPDATE runs SET attempt = attempt + 1"))


class Asynchronous(BaseHandler):
    """Is a coroutine."""

    done = threading.Event()

    async def execute(self) -> None:
        self.done.set()


class AsyncWriter(Writer):
    """Works in the run's own transaction, as a coroutine."""

    async def execute(self) -> None:
        super().execute()


class Logging(BaseHandler):
    """Logs what it knows of its run."""

    def execute(self) -> None:
        self.log.info("attempt %d for %s", self.run.attempt, self.run.scheduled_for.isoformat())


class Slow(BaseHandler):
    """Takes longer than it may."""

    time_limit = timedelta(milliseconds=200)
    go = threading.Event()

    def execute(self) -> None:
        while not self.go.wait(0.01):
            pass


class Endless(BaseHandler):
    """Takes longer than anybody waits, unless it is interrupted."""

    def execute(self) -> None:
        while not Slow.go.wait(0.01):
            pass


HANDLERS = (
    Recorder,
    Failing,
    Flaky,
    Writer,
    InterruptedWhileLogging,
    Overtaken,
    Asynchronous,
    AsyncWriter,
    Logging,
    Slow,
    Endless,
)


@pytest.fixture
def executing(service, database_url, tmp_path) -> Iterator:
    """The service with a worker process's insides: adds a job, runs it, returns its run."""
    flows = tmp_path / "flows.yaml"
    flows.write_text("bayesianFlow: {queue: core}\nother: {actor: start_other, queue: elsewhere}\n")
    service.execute_sql("CREATE TABLE effects (run_id uuid)")
    with worker(service, database_url, *HANDLERS, queues=["aside"], flows_file=Path(flows)):
        yield service


def effects(service):
    return [str(row.run_id) for row in service.execute_sql("SELECT run_id FROM effects")]


def failure_entries(service):
    return [row.kwargs for row in service.execute_sql("SELECT kwargs FROM jobs WHERE handler = 'ErrorHandler'")]


def test_a_handler_gets_its_kwargs_as_its_annotations_say_and_knows_its_run(executing):
    run = executing.run(Recorder, number=3, pause="1 hour")
    assert Recorder.seen == [(run["run_id"], "job", 1, 3, timedelta(hours=1))]
    assert run["state"] == "succeeded"


def test_a_coroutine_is_run(executing):
    assert executing.run(Asynchronous)["state"] == "succeeded"
    assert Asynchronous.done.is_set()


def test_the_work_of_a_coroutine_in_its_transaction_commits_with_its_success(executing):
    run = executing.run(AsyncWriter)
    assert (run["state"], effects(executing)) == ("succeeded", [run["run_id"]])


def test_each_line_that_a_handler_logs_names_its_job_and_its_run(executing, caplog):
    caplog.set_level("INFO")
    run = executing.run(Logging)
    assert f"job=job run={run['run_id']} attempt 1 for {run['scheduled_for'].isoformat()}" in caplog.messages


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("value", "ValueError: boom"),
        ("exit", "SystemExit: 3"),
        ("interrupt", "KeyboardInterrupt"),
    ],
)
def test_whatever_a_handler_raises_fails_the_run_with_its_entry(executing, kind, error):
    run = executing.run(Failing, kind=kind)
    assert (run["state"], run["reason"]) == ("failed", error)
    (entry,) = failure_entries(executing)
    assert (entry["exc_str"], entry["failed_handler_kwargs"]) == (error, {"kind": kind})
    assert executing.job()["state"] == "finished"


def test_the_work_of_a_failed_run_in_its_transaction_is_undone(executing):
    executing.run(Failing, kind="value")
    assert effects(executing) == []


def test_the_work_of_a_run_in_its_transaction_commits_with_its_success(executing):
    run = executing.run(Writer)
    assert run["state"] == "succeeded"
    assert effects(executing) == [run["run_id"]]


def test_the_work_of_an_attempt_that_was_overtaken_is_undone(executing):
    executing.add(handler="Overtaken")
    executing.dispatch()
    wait_for(lambda: executing.execute_sql("SELECT FROM runs WHERE attempt = 2") != [])
    wait_for(lambda: executing.execute_sql("SELECT FROM processes WHERE holding = '{}' AND kind = 'worker'") != [])
    assert effects(executing) == []
    assert executing.states() == ["running"], "its new attempt is nobody's"


def test_a_failing_run_is_tried_again_as_often_as_its_handler_says(executing):
    run = executing.run(Flaky)
    assert (run["state"], run["attempt"], run["failures"]) == ("succeeded", 3, 2)
    assert failure_entries(executing) == []


def test_a_run_that_takes_longer_than_its_time_limit_fails(executing):
    run = executing.run(Slow)
    assert run["state"] == "failed"
    assert run["reason"].startswith("dramatiq.middleware.time_limit.TimeLimitExceeded")


@pytest.fixture
def _new_lock_afterwards() -> Iterator[None]:
    """This process takes it at its end, and would wait for ever if it had been left locked."""
    yield
    logging.lastResort.createLock()


@pytest.mark.usefixtures("_new_lock_afterwards")
def test_a_run_that_is_interrupted_while_it_logs_keeps_no_other_thread_from_logging(executing):
    assert executing.run(InterruptedWhileLogging)["state"] == "failed"
    assert logging.lastResort.lock.acquire(timeout=10)
    logging.lastResort.release()


@pytest.mark.usefixtures("_new_lock_afterwards")
def test_a_message_that_is_interrupted_while_it_logs_keeps_no_other_thread_from_logging(executing):
    @dramatiq.actor(broker=executing.broker)
    def interrupted() -> None:
        logging.lastResort.acquire()
        raise TimeLimitExceeded

    interrupted.send()
    wait_for(lambda: executing.states() == ["failed"])
    assert logging.lastResort.lock.acquire(timeout=10)
    logging.lastResort.release()


def test_a_job_may_say_itself_how_often_it_is_tried_again(executing):
    run = executing.run(Failing, {"max_retries": 3, "retry_delay": "0.01 seconds"}, kind="value")
    assert (run["state"], run["attempt"], run["failures"]) == ("failed", 4, 4)


def test_a_job_may_forbid_the_retries_of_its_handler(executing):
    run = executing.run(Flaky, {"max_retries": 0})
    assert (run["state"], run["attempt"]) == ("failed", 1)


def test_the_wait_before_a_retry_is_the_jobs_own_and_doubles(executing):
    executing.add(handler="Failing", kwargs={"kind": "value"}, max_retries=1, retry_delay="2 hours")
    executing.dispatch()
    wait_for(lambda: executing.runs()[0]["failures"] == 1)
    (run,) = executing.runs()
    assert run["state"] == "queued"
    assert timedelta(hours=2) - timedelta(minutes=1) < run["claim_at"] - executing.now() <= timedelta(hours=2)


def test_a_job_may_have_a_time_limit_of_its_own(executing):
    run = executing.run(Endless, {"time_limit": "0.2 seconds"})
    assert run["reason"].startswith("dramatiq.middleware.time_limit.TimeLimitExceeded")


def test_a_job_may_run_in_another_queue_that_the_workers_consume(executing):
    executing.add("aside", handler="Recorder", kwargs={"number": 1}, queue="aside")
    executing.dispatch()
    wait_for(lambda: executing.states() == ["succeeded"])
    assert executing.runs()[0]["queue"] == "aside"


def test_a_flow_is_started_once_for_each_of_its_arguments_with_the_job_id(executing):
    handler = executing.registry.get("FlowScheduling")
    run = executing.run(handler, flow_name="bayesianFlow", flow_arguments=[{"name": "a"}, {"name": "b"}])
    messages = [run for run in executing.runs() if run["job_no"] is None]
    assert run["state"] == "succeeded"
    assert {message["actor"] for message in messages} == {"bayesianFlow"}
    assert {message["queue"] for message in messages} == {"core"}
    assert [message["message"]["kwargs"] for message in messages] == [
        {"name": "a", "job_id": "job"},
        {"name": "b", "job_id": "job"},
    ]


def test_a_flow_may_be_started_by_an_actor_of_another_name(executing):
    executing.run(executing.registry.get("FlowScheduling"), flow_name="other", flow_arguments=[{}])
    assert [run["actor"] for run in executing.runs() if run["job_no"] is None] == ["start_other"]


def test_an_unknown_flow_fails_the_run_with_a_clear_error(executing):
    run = executing.run(executing.registry.get("FlowScheduling"), flow_name="nope", flow_arguments=[{}])
    assert run["state"] == "failed"
    assert run["reason"].endswith("No flow 'nope' is configured (known flows: bayesianFlow, other)")
    assert len(executing.runs()) == 1


def test_of_a_flow_either_all_arguments_are_started_or_none(executing):
    executing.execute_sql(
        "ALTER TABLE runs ADD CONSTRAINT no_b CHECK (message IS NULL OR message #>> '{kwargs,name}' <> 'b')"
    )
    handler = executing.registry.get("FlowScheduling")
    run = executing.run(handler, flow_name="bayesianFlow", flow_arguments=[{"name": "a"}, {"name": "b"}])
    assert run["state"] == "failed"
    assert [run for run in executing.runs() if run["job_no"] is None] == []


def test_old_history_is_pruned_and_what_is_young_or_open_stays(executing):
    executing.execute_sql(
        "INSERT INTO runs (run_id, actor, queue, scheduled_for, state, finished_at)"
        " SELECT gen_random_uuid(), 'x', 'x', now() - n * interval '10 days', 'succeeded',"
        " now() - n * interval '10 days'"
        " FROM generate_series(1, 9) AS n"
    )
    executing.execute_sql(
        "INSERT INTO runs (run_id, actor, queue, scheduled_for, state, claim_at)"
        " VALUES (gen_random_uuid(), 'x', 'x', now() - interval '90 days', 'queued', now())"
    )
    executing.execute_sql(
        "INSERT INTO jobs (job_id, handler, state, updated_at) VALUES"
        " ('old', 'Noop', 'finished', now() - interval '31 days'),"
        " ('entry', 'ErrorHandler', 'paused', now() - interval '31 days'),"
        " ('paused', 'Noop', 'paused', now() - interval '99 days')"
    )
    run = executing.run(executing.registry.get("PruneHistory"))
    assert run["state"] == "succeeded"
    ages = [(executing.now() - row["scheduled_for"]).days // 10 for row in executing.runs() if row["actor"] == "x"]
    assert ages == [9, 3, 2, 1] or ages == [9, 2, 1]
    assert [row.job_id for row in executing.execute_sql("SELECT job_id FROM jobs ORDER BY 1")] == ["job", "paused"]
