"""A handler tells how far it has come: kept by the claimer, with what it does anyway."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import dramatiq
import pytest
from sqlalchemy import text
from waiting import wait_for

from bayesian_jobs.bootstrap import Services, handler_broker
from bayesian_jobs.broker import claimer as claimer_module
from bayesian_jobs.domain.progress import Progress
from bayesian_jobs.handlers.base import BaseHandler
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.presence import membership
from bayesian_jobs.settings import load
from bayesian_jobs.store.engine import make_engine
from bayesian_jobs.store.progress import keep_progress

KEPT = {"done": 1, "total": 4, "text": "one"}
LAST = {"done": 4, "total": 4, "text": None}


class Telling(BaseHandler):
    """Tells of its progress, and ends when it may: by itself, in its own transaction, or by an error."""

    go = threading.Event()
    max_retries = 0

    def execute(self, end: str = "return", reports: int = 1) -> None:
        if end == "commit":
            self.run.connection.execute(text("SELECT 1"))
        for _ in range(reports):
            self.run.report_progress(1, 4, "one")
        assert self.go.wait(20)
        self.run.report_progress(4, 4)
        if end == "raise":
            raise ValueError("boom")


class Mistaken(BaseHandler):
    """Tells nonsense."""

    def execute(self) -> None:
        self.run.report_progress(1)
        self.run.report_progress("half", object())


class Stopping(BaseHandler):
    """Fails before it tells anything, the second time."""

    max_retries = 1
    retry_delay = timedelta(0)
    go = Telling.go

    def execute(self) -> None:
        if self.run.attempt == 1:
            self.run.report_progress(1, 4, "one")
            raise ValueError("once more")
        assert self.go.wait(20)


@pytest.fixture
def working(service, database_url) -> Iterator:
    """The service with a worker process's insides; `begin` begins a run, `kept` waits for what is kept of it."""
    service.registry = Registry([Telling, Mistaken, Stopping])
    Telling.go.clear()
    engines = [make_engine(database_url, "worker"), make_engine(database_url, "worker", hot=True)]
    service.hot_engine = engines[1]
    broker = handler_broker(Services(replace(load({}), database_url=database_url), *engines, service.registry))
    service.worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=50)
    service.worker.start()

    def begin(handler: type[BaseHandler] = Telling, **kwargs) -> None:
        service.add(handler=handler.__name__, kwargs=kwargs)
        service.dispatch()

    service.begin = begin
    service.progress = lambda: service.runs()[0]["progress"]
    service.state = lambda: service.runs()[0]["state"]
    yield service
    Telling.go.set()
    service.worker.stop()
    engines[0].dispose()


@pytest.mark.parametrize(("end", "state"), [("return", "succeeded"), ("commit", "succeeded"), ("raise", "failed")])
def test_progress_is_seen_while_the_run_executes_and_its_last_word_is_kept(working, end, state):
    working.begin(end=end)
    wait_for(lambda: working.progress() == KEPT)
    assert working.state() == "running"
    Telling.go.set()
    wait_for(lambda: (working.state(), working.progress()) == (state, LAST))


def renew_once(monkeypatch):
    for rhythm in ("HOLDING", "AT_REST"):
        monkeypatch.setattr(membership, rhythm, replace(getattr(membership, rhythm), renew_every=3600.0))
    monkeypatch.setattr(claimer_module, "HOLDING", membership.HOLDING)


def test_the_last_word_is_kept_with_the_end_and_not_only_when_the_lease_is_renewed(working, monkeypatch):
    renew_once(monkeypatch)
    working.begin()
    wait_for(lambda: working.state() == "running")
    wait_for(lambda: working.worker.broker.claimer._renew_at - claimer_module.time.monotonic() > 1000)
    Telling.go.set()
    wait_for(lambda: working.state() == "succeeded")
    assert working.progress() == LAST


def test_the_last_word_is_kept_when_the_worker_stops_before_another_round(service, database_url, monkeypatch):
    """Of a run whose end is recorded already, in its own transaction."""
    renew_once(monkeypatch)
    service.add()
    service.dispatch()
    claimer = claimer_module.Claimer(make_engine(database_url, "worker", hot=True), 1)
    claimer.start()
    claimer.handover.consume("default")
    run = claimer.handover.next_run("default", 10)
    assert run is not None
    wait_for(lambda: claimer._renew_at > claimer_module.time.monotonic() + 1000)
    with monkeypatch.context() as deaf:
        deaf.setattr(claimer._bell, "ring", lambda: None)
        claimer.handover.note_progress(run, Progress(4, 4, None))
        claimer.handover.release(run)
    claimer.close()
    assert service.runs()[0]["progress"] == LAST


def test_ten_thousand_reports_are_a_few_writes(working, monkeypatch):
    writes = []

    def counted(connection, progress):
        writes.append(progress)
        keep_progress(connection, progress)

    monkeypatch.setattr(claimer_module, "keep_progress", counted)
    working.begin(reports=10_000)
    wait_for(lambda: working.progress() == KEPT)
    Telling.go.set()
    wait_for(lambda: working.progress() == LAST)
    assert len(writes) <= 3


def test_what_is_no_progress_is_warned_of_and_fails_nothing(working, caplog):
    working.begin(Mistaken)
    wait_for(lambda: working.state() == "succeeded")
    wait_for(lambda: working.progress() == {"done": 1, "total": None, "text": None})
    assert "done: 'half' is no number" in caplog.text


def test_an_attempt_begins_without_the_progress_of_the_one_before(working):
    working.begin(Stopping)
    wait_for(lambda: working.runs()[0]["attempt"] == 2 and working.state() == "running")
    assert working.progress() is None


def test_progress_that_the_database_refuses_fails_no_run(working, caplog):
    working.execute_sql("ALTER TABLE runs ADD CONSTRAINT none CHECK (progress IS NULL)")
    working.begin()
    wait_for(lambda: "could not be kept" in caplog.text)
    Telling.go.set()
    wait_for(lambda: working.state() == "succeeded")


def test_the_progress_of_an_older_attempt_changes_nothing(service):
    service.add("job", periodically="1 hour")
    service.dispatch()
    run = service.claim_one()
    service.requeue(run)
    again = service.claim_one()
    with service.engine.begin() as connection:
        keep_progress(connection, {run.key: Progress(1, None, None)})
    assert service.runs()[0]["progress"] is None
    with service.engine.begin() as connection:
        keep_progress(connection, {again.key: Progress(2, None, None)})
    assert service.runs()[0]["progress"]["done"] == 2


def test_progress_that_waits_for_others_is_kept_later(working):
    """Whoever holds the run's row keeps neither the lease from being renewed nor the progress from being kept."""
    working.begin()
    wait_for(lambda: working.state() == "running")
    with working.engine.connect() as holder:
        holder.execute(text("SELECT FROM runs FOR UPDATE"))
        wait_for(lambda: waiting_for_a_lock(working))
        wait_for(lambda: not waiting_for_a_lock(working))
        assert working.progress() is None
        holder.rollback()
    wait_for(lambda: working.progress() == KEPT)


def waiting_for_a_lock(service):
    waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return service.execute_sql(waits) != []
