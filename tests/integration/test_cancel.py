"""A run that executes is cancelled: its handler is interrupted or asks, and its end is recorded by its worker only."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import dramatiq
import pytest
from sqlalchemy import text
from waiting import wait_for

from bayesian_jobs.bootstrap import Services, handler_broker
from bayesian_jobs.broker.postgres import PostgresBroker
from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.run import MAX_RECOVERIES
from bayesian_jobs.errors import WrongState
from bayesian_jobs.handlers.base import BaseHandler
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.interrupt import Cancelled
from bayesian_jobs.lifecycle import recover, request
from bayesian_jobs.settings import load
from bayesian_jobs.store import endings, requests
from bayesian_jobs.store.closing import close_left_open
from bayesian_jobs.store.engine import make_engine

ASKED = reasons.CANCELLED_REQUESTED
WRITE = text("INSERT INTO effects VALUES (:run)")


class Waiting(BaseHandler):
    """Works until `go`, and writes in the run's own transaction meanwhile."""

    begun = threading.Event()
    go = threading.Event()

    def execute(self) -> None:
        self.run.connection.execute(WRITE, {"run": self.run.run_id})
        self.begun.set()
        while not self.go.wait(0.01):
            pass


class Retried(Waiting):
    """Would be tried again."""

    max_retries = 5
    retry_delay = timedelta(0)


class Returning(Waiting):
    """Tidies up when it is interrupted, and has done enough."""

    def execute(self) -> None:
        try:
            super().execute()
        except Cancelled:
            assert self.run.cancelled


class Asking(Waiting):
    """Is not interrupted; asks."""

    interruptible = False
    told = threading.Event()
    asked = threading.Event()

    def execute(self) -> None:
        self.begun.set()
        wait_for(lambda: self.run.cancelled)
        self.told.set()
        while not self.go.wait(0.01):
            pass
        self.asked.set()
        self.run.check_cancelled()


class Awaiting(Waiting):
    """Is a coroutine that waits."""

    tidied = threading.Event()

    async def execute(self) -> None:
        self.begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            self.tidied.set()


class Failing(Waiting):
    """Raises something else when it is interrupted."""

    def execute(self) -> None:
        try:
            super().execute()
        except BaseException as error:
            raise ValueError("while tidying up") from error


HANDLERS = (Waiting, Retried, Returning, Asking, Awaiting, Failing)


@pytest.fixture
def executing(service, database_url) -> Iterator:
    """The service with a worker process's insides; `begin` lets a run of a handler begin."""
    service.registry = Registry(HANDLERS)
    service.execute_sql("CREATE TABLE effects (run_id uuid)")
    engines = [make_engine(database_url, "worker"), make_engine(database_url, "worker", hot=True)]
    broker = handler_broker(Services(replace(load({}), database_url=database_url), *engines, service.registry))
    for event in (Waiting.begun, Waiting.go, Asking.told, Asking.asked, Awaiting.tidied):
        event.clear()

    def begin(handler: type[BaseHandler], **options) -> str:
        service.add(handler=handler.__name__, **options)
        service.dispatch()
        assert Waiting.begun.wait(10)
        return service.runs()[0]["run_id"]

    service.begin = begin
    with working(broker):
        yield service
        Waiting.go.set()
    engines[0].dispose()


@contextmanager
def working(broker: PostgresBroker) -> Iterator[dramatiq.Worker]:
    worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=50)
    worker.start()
    yield worker
    worker.stop()


@pytest.fixture
def claimed(service):
    """A run that a worker without a life of its own has started."""
    service.add(periodically="1 hour")
    service.dispatch()
    service.claimed = service.claim_one()
    return service


def cancel(service, run_id):
    return request.cancel(service.engine, run_id)


def ended(service):
    """The one run, when it has ended."""
    wait_for(lambda: service.runs()[0]["finished_at"] is not None)
    (run,) = service.runs()
    return run


def failure_entries(service):
    return service.execute_sql("SELECT FROM jobs WHERE handler = 'ErrorHandler'")


def look(service):
    with service.engine.connect() as connection:
        recover.recover(connection, service.process("scheduler"), timedelta(0))


@pytest.mark.parametrize("handler", [Waiting, Retried, Asking, Awaiting, Failing])
def test_an_executing_run_that_is_cancelled_ends_as_cancelled_without_a_failure_entry(executing, handler):
    answer = cancel(executing, executing.begin(handler))
    assert (answer["state"], answer["finished_at"]) == ("running", None)
    assert answer["cancel_requested_at"] is not None
    Waiting.go.set() if handler is Asking else None
    run = ended(executing)
    assert (run["state"], run["reason"], run["attempt"], run["failures"]) == ("cancelled", ASKED, 1, 0)
    assert failure_entries(executing) == []
    assert executing.execute_sql("SELECT FROM effects") == []


def test_the_job_of_a_cancelled_run_that_was_its_last_is_finished(executing):
    cancel(executing, executing.begin(Waiting))
    ended(executing)
    assert executing.job()["state"] == "finished"


def test_a_handler_that_is_not_interruptible_goes_on_until_it_asks(executing):
    cancel(executing, executing.begin(Asking))
    assert Asking.told.wait(10)
    Waiting.go.set()
    assert Asking.asked.wait(10)
    assert ended(executing)["state"] == "cancelled"


def test_a_coroutine_tidies_up_when_it_is_cancelled(executing):
    cancel(executing, executing.begin(Awaiting))
    assert Awaiting.tidied.wait(10)


def test_a_run_whose_handler_returns_although_it_was_cancelled_has_succeeded_with_its_work(executing):
    run_id = executing.begin(Returning)
    cancel(executing, run_id)
    run = ended(executing)
    assert (run["state"], run["reason"]) == ("succeeded", None)
    assert run["cancel_requested_at"] is not None
    assert [str(row.run_id) for row in executing.execute_sql("SELECT run_id FROM effects")] == [run_id]


def test_a_worker_that_hears_no_notification_cancels_when_it_renews_its_lease(executing, monkeypatch):
    monkeypatch.setattr(requests, "notify_cancel_requested", lambda *_: None)
    cancel(executing, executing.begin(Waiting))
    assert ended(executing)["state"] == "cancelled"


def test_a_notification_cancels_at_once(executing, monkeypatch):
    run_id = executing.begin(Waiting)
    asked = cancel(executing, run_id)["cancel_requested_at"]
    assert ended(executing)["finished_at"] - asked < timedelta(seconds=1)


def test_a_run_counts_as_executing_until_its_worker_has_told_how_it_ended(executing):
    run_id = executing.begin(Asking, periodically="1 hour")
    cancel(executing, run_id)
    with pytest.raises(WrongState, match=run_id):
        request.run_now(executing.engine, "job")
    Waiting.go.set()
    assert ended(executing)["state"] == "cancelled"
    assert request.run_now(executing.engine, "job")["state"] == "queued"


def test_other_runs_of_the_worker_are_not_interrupted(executing):
    first = executing.begin(Waiting)
    executing.add("other", handler="Waiting")
    executing.dispatch()
    wait_for(lambda: executing.states() == ["running", "running"])
    cancel(executing, first)
    wait_for(lambda: "cancelled" in executing.states())
    Waiting.go.set()
    wait_for(lambda: sorted(executing.states()) == ["cancelled", "succeeded"])


def test_cancelling_again_changes_nothing(claimed):
    first = cancel(claimed, claimed.claimed.run_id)
    assert cancel(claimed, claimed.claimed.run_id) == first


@pytest.mark.parametrize("retries", [0, 5])
def test_the_message_of_an_actor_is_cancelled_while_it_executes_and_not_tried_again(service, database_url, retries):
    begun, engine = threading.Event(), make_engine(database_url, "broker", hot=True)
    broker = PostgresBroker(engine)

    @dramatiq.actor(broker=broker, max_retries=retries, min_backoff=1, max_backoff=1)
    def work() -> None:
        begun.set()
        while True:
            time.sleep(0.01)

    work.send()
    with working(broker):
        assert begun.wait(10)
        cancel(service, service.runs()[0]["run_id"])
        run = ended(service)
    assert (run["state"], run["reason"], run["attempt"]) == ("cancelled", ASKED, 1)
    assert failure_entries(service) == []


def test_the_run_of_a_dead_worker_is_cancelled_instead_of_queued_again(claimed):
    cancel(claimed, claimed.claimed.run_id)
    assert claimed.states() == ["running"]
    look(claimed)
    (run,) = claimed.runs()
    assert (run["state"], run["reason"], run["claim_at"]) == ("cancelled", ASKED, None)
    assert run["finished_at"] is not None


def test_a_run_that_was_lost_too_often_is_cancelled_without_a_failure_entry(claimed):
    claimed.execute_sql("UPDATE runs SET recoveries = :most", most=MAX_RECOVERIES)
    cancel(claimed, claimed.claimed.run_id)
    look(claimed)
    (run,) = claimed.runs()
    assert (run["state"], run["reason"]) == ("cancelled", ASKED)
    assert failure_entries(claimed) == []


@pytest.mark.parametrize("how", [{"failed": True}, {"begun": False}, {"delay": timedelta(hours=1)}])
def test_a_run_that_goes_back_to_its_queue_is_cancelled_instead(claimed, how):
    cancel(claimed, claimed.claimed.run_id)
    assert claimed.requeue(claimed.claimed, **how)
    assert claimed.states() == ["cancelled"]
    assert claimed.claim().started == []


def test_a_one_off_job_whose_cancelled_run_came_back_from_a_dead_worker_is_finished(service):
    service.add()
    service.dispatch()
    cancel(service, service.claim_one().run_id)
    look(service)
    with service.engine.begin() as connection:
        close_left_open(connection)
    assert (service.states(), service.job()["state"]) == (["cancelled"], "finished")


@pytest.mark.parametrize("end", ["failed", "queued"])
def test_a_request_that_is_committed_while_the_end_of_the_attempt_waits_for_it_is_obeyed(claimed, end):
    run = claimed.claimed
    with ThreadPoolExecutor(1) as worker, claimed.engine.connect() as asking:
        requests.cancel(asking, claimed.runs()[0], ASKED)
        report = (
            worker.submit(claimed.finish, run, end, "boom") if end == "failed" else worker.submit(claimed.requeue, run)
        )
        wait_until_someone_waits(claimed)
        asking.commit()
        assert report.result(10)
    assert (claimed.states(), claimed.runs()[0]["reason"]) == (["cancelled"], ASKED)
    assert failure_entries(claimed) == []


@pytest.mark.parametrize("end", ["succeeded", "queued"])
def test_a_request_that_waits_while_the_end_of_the_attempt_is_recorded_sees_it(claimed, end):
    run, row = claimed.claimed, claimed.runs()[0]
    with ThreadPoolExecutor(1) as asker, claimed.engine.connect() as reporting:
        if end == "queued":
            endings.requeue_runs(reporting, [endings.Return(run.run_id, run.scheduled_for, run.attempt, "again")])
        else:
            endings.finish_runs(reporting, [endings.Ending(run, end)])
        asked = asker.submit(cancel, claimed, row["run_id"])
        wait_until_someone_waits(claimed)
        reporting.commit()
        if end == "queued":
            assert asked.result(10)["state"] == "cancelled"
        else:
            with pytest.raises(WrongState, match="succeeded"):
                asked.result(10)
    assert claimed.states() == ["cancelled" if end == "queued" else "succeeded"]


def test_cancelling_a_run_keeps_its_row_in_its_place(claimed):
    """No index has to know of it: what is executing is rewritten in the same page (HOT)."""
    before = hot_updates(claimed)
    cancel(claimed, claimed.claimed.run_id)
    wait_for(lambda: hot_updates(claimed) == before + 1)


def hot_updates(service):
    ((number,),) = service.execute_sql("SELECT sum(n_tup_hot_upd) FROM pg_stat_user_tables WHERE relname LIKE 'runs%'")
    return number


def wait_until_someone_waits(service):
    waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    wait_for(lambda: service.execute_sql(waits) != [])
