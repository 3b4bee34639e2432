"""Flows under way in the database: each task starts once, when all that it waits for has succeeded."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Transaction, event, text
from sqlalchemy.exc import IntegrityError
from waiting import wait_for

from bayesian_jobs.broker.record import Result, record, record_singly, set_apart
from bayesian_jobs.domain.flow import ActorTask, Definition, Flow, Subflow, expand
from bayesian_jobs.domain.run import Failed, RetryAt, Succeeded
from bayesian_jobs.presence.bell import heard_payloads
from bayesian_jobs.store.claimed import ClaimedRun
from bayesian_jobs.store.endings import Ending, finish_runs
from bayesian_jobs.store.engine import behave_as_hot, make_engine, run_transaction
from bayesian_jobs.store.flows import start_flow
from bayesian_jobs.store.prepared import Prepared
from bayesian_jobs.store.retention import prune

BODY = {"args": [], "kwargs": {"name": "a", "job_id": "job"}, "options": {}}


def flow_of(**tasks: str) -> Flow:
    """The flow whose tasks wait for those that are named, each task's actor being called like it."""
    definition = {name: ActorTask(name, "core", tuple(after.split())) for name, after in tasks.items()}
    return expand({"flow": definition})["flow"]


DIAMOND = flow_of(fetch="", scan="fetch", count="fetch", report="scan count")


class Flows:
    """Starts flows, claims their runs and ends them."""

    def __init__(self, service: Any) -> None:
        self.service = service
        self.process_no = service.process()

    def start(self, flow: Flow, times: int = 1) -> None:
        with self.service.engine.begin() as connection:
            start_flow(connection, flow, [BODY] * times, "job")

    def claim(self) -> dict[str, ClaimedRun]:
        return {run.task: run for run in self.claim_all()}

    def claim_all(self) -> list[ClaimedRun]:
        return self.service.claim(self.process_no, limit=100, queues=("core", "reports")).started

    def end(self, *runs: ClaimedRun, outcome: Any = None) -> int:
        with self.service.engine.begin() as connection:
            return record(connection, [Result(run, outcome or Succeeded()) for run in runs])

    def waiting(self) -> dict[str, set[str]]:
        rows = self.service.execute_sql("SELECT task, waits_for FROM flow_tasks")
        return {row.task: set(row.waits_for) for row in rows}

    def queued(self) -> list[str]:
        return sorted(run["task"] for run in self.service.runs() if run["state"] == "queued")


@pytest.fixture
def flows(service) -> Flows:
    return Flows(service)


def test_a_claim_records_no_success_of_a_task_on_its_way(flows):
    flows.start(DIAMOND)
    (fetch,) = flows.claim_all()
    task, job = Result(fetch, Succeeded()), Result(fetch._replace(flow_id=None, task=None), Succeeded())
    endings, apart = set_apart([task, job])
    assert ([ending.run for ending in endings], apart) == ([job.run], [task])


def test_only_the_tasks_that_wait_for_nothing_are_queued_at_the_start(flows, service):
    flows.start(DIAMOND)
    assert flows.queued() == ["fetch"]
    assert flows.waiting() == {"scan": {"fetch"}, "count": {"fetch"}, "report": {"scan", "count"}}


def test_a_flow_of_which_no_task_waits_is_queued_at_once(flows):
    flows.start(flow_of(fetch="", scan=""), times=2)
    assert flows.queued() == ["fetch", "fetch", "scan", "scan"]
    assert flows.waiting() == {}


def test_each_task_starts_when_all_that_it_waits_for_has_succeeded(flows):
    flows.start(DIAMOND)
    flows.end(flows.claim()["fetch"])
    assert flows.queued() == ["count", "scan"]
    claimed = flows.claim()
    flows.end(claimed["scan"])
    assert flows.queued() == []
    assert flows.waiting() == {"report": {"count"}}
    flows.end(claimed["count"])
    assert flows.queued() == ["report"]
    assert flows.waiting() == {}
    flows.end(flows.claim()["report"])
    assert flows.service.states() == ["succeeded"] * 4


def test_two_that_end_in_one_batch_start_their_follower_once(flows):
    flows.start(DIAMOND)
    flows.end(flows.claim()["fetch"])
    flows.end(*flows.claim().values())
    assert flows.queued() == ["report"]
    assert flows.waiting() == {}


def test_every_task_gets_the_arguments_of_its_start_and_its_job(flows, service):
    flows.start(DIAMOND)
    flows.end(flows.claim()["fetch"])
    for run in service.runs():
        assert (run["message"], run["job_id"], run["job_no"]) == (BODY, "job", None)
    assert len({run["flow_id"] for run in service.runs()}) == 1


def test_the_starts_of_a_flow_go_on_independently(flows, service):
    flows.start(DIAMOND, times=3)
    first, second, _ = flows.claim_all()
    flows.end(first, second)
    claimed = flows.claim_all()
    flows.end(*(run for run in claimed if run.flow_id == first.flow_id))
    reports = [run for run in service.runs() if run["task"] == "report"]
    assert [run["flow_id"] for run in reports] == [first.flow_id]


def test_a_task_of_a_subflow_starts_on_its_own_queue_with_its_own_actor(flows, service):
    inner: Definition = {"scan": ActorTask("scan_deeply", "reports")}
    outer: Definition = {"fetch": ActorTask("fetch", "core"), "deep": Subflow("inner", ("fetch",))}
    flows.start(expand({"outer": outer, "inner": inner})["outer"])
    flows.end(flows.claim()["fetch"])
    (run,) = [run for run in service.runs() if run["state"] == "queued"]
    assert (run["task"], run["actor"], run["queue"]) == ("deep.scan", "scan_deeply", "reports")


def test_the_workers_of_a_follower_are_woken(flows, service):
    flows.start(flow_of(fetch="", scan="fetch"))
    run = flows.claim()["fetch"]
    with service.engine.connect() as listener:
        session = listener.connection.driver_connection
        listener.execute(text("LISTEN bayesian_jobs_runs"))
        listener.commit()
        flows.end(run)
        listener.execute(text("SELECT 1"))
        assert heard_payloads(session) == {"core"}


def test_a_failed_task_leaves_those_after_it_waiting_until_it_succeeds_after_all(flows, service):
    flows.start(flow_of(fetch="", scan="fetch"))
    flows.end(flows.claim()["fetch"], outcome=Failed("ValueError: boom", "traceback"))
    assert service.states() == ["failed"]
    assert flows.waiting() == {"scan": {"fetch"}}
    service.execute_sql("UPDATE runs SET state = 'queued', claim_at = now()")
    flows.end(flows.claim()["fetch"])
    assert flows.queued() == ["scan"]


def test_a_success_in_the_transaction_of_a_handler_lets_the_flow_go_on_with_it(flows, database_url):
    flows.start(flow_of(fetch="", scan="fetch"))
    ending = Ending(flows.claim()["fetch"], "succeeded")
    engine = make_engine(database_url, "handler")
    with run_transaction(engine) as connection:
        behave_as_hot(connection)
        finish_runs(connection, [ending])
        assert flows.queued() == []
        connection.commit()
    engine.dispose()
    assert flows.queued() == ["scan"]


def test_a_retry_of_a_task_is_still_that_task(flows):
    flows.start(flow_of(fetch="", scan="fetch"))
    flows.end(flows.claim()["fetch"], outcome=RetryAt(timedelta(0), "ValueError: boom", "traceback"))
    assert flows.waiting() == {"scan": {"fetch"}}
    flows.end(flows.claim()["fetch"])
    assert flows.queued() == ["scan"]


def test_a_late_success_of_an_older_attempt_starts_nothing(flows, service):
    flows.start(flow_of(fetch="", scan="fetch"))
    old = flows.claim()["fetch"]
    assert service.requeue(old, lost=True)
    new = flows.claim()["fetch"]
    assert flows.end(old) == 1
    assert flows.waiting() == {"scan": {"fetch"}}
    flows.end(new)
    assert flows.queued() == ["scan"]


def test_a_task_that_succeeds_twice_starts_its_followers_once(flows, service):
    flows.start(flow_of(fetch="", scan="fetch"))
    flows.end(flows.claim()["fetch"])
    flows.end(flows.claim()["scan"])
    service.execute_sql("UPDATE runs SET state = 'queued', claim_at = now() WHERE task = 'fetch'")
    flows.end(flows.claim()["fetch"])
    assert len(service.runs()) == 2


def test_what_is_rolled_back_leaves_neither_the_success_nor_a_follower(flows, service):
    flows.start(DIAMOND)
    run = flows.claim()["fetch"]
    with service.engine.connect() as connection, connection.begin() as transaction:
        record(connection, [Result(run, Succeeded())])
        transaction.rollback()
    assert service.states() == ["running"]
    assert flows.waiting() == {"scan": {"fetch"}, "count": {"fetch"}, "report": {"scan", "count"}}
    flows.end(run)
    assert flows.queued() == ["count", "scan"]


def test_a_follower_that_cannot_be_queued_is_not_lost(flows, service):
    """The success of the task before it is refused, and so it fails; the follower waits."""
    flows.start(flow_of(fetch="", scan="fetch"))
    service.execute_sql("ALTER TABLE runs ADD CONSTRAINT no_scan CHECK (task <> 'scan')")
    with service.engine.connect() as connection:
        record_singly(connection, [Result(flows.claim()["fetch"], Succeeded())])
    assert service.states() == ["failed"]
    assert flows.waiting() == {"scan": {"fetch"}}


def test_of_all_starts_of_a_flow_nothing_is_kept_when_one_cannot_be(flows, service):
    service.execute_sql("ALTER TABLE flow_tasks ADD CONSTRAINT no_report CHECK (task <> 'report')")
    with pytest.raises(IntegrityError):
        flows.start(DIAMOND, times=2)
    assert service.runs() == []
    assert flows.waiting() == {}


def test_prerequisites_that_end_at_once_in_two_workers_start_their_follower_once(flows, service):
    """One waits for the other's transaction, and then sees what that has done."""
    end_both_at_once(flows, service, then=Transaction.commit)
    assert flows.queued() == ["report"]
    assert flows.waiting() == {}


def test_when_one_of_two_that_end_at_once_is_rolled_back_the_follower_waits_for_it(flows, service):
    scan = end_both_at_once(flows, service, then=Transaction.rollback)
    assert flows.waiting() == {"report": {"scan"}}
    flows.end(scan)
    assert flows.queued() == ["report"]


def end_both_at_once(flows, service, then: Callable[[Transaction], None]) -> ClaimedRun:
    """Record the successes of `scan` and `count`, of which the second one waits for what comes of the first, which is
    `then`. Returns the run of `scan`."""
    flows.start(DIAMOND)
    flows.end(flows.claim()["fetch"])
    claimed = flows.claim()
    with service.engine.connect() as first, first.begin() as transaction:
        record(first, [Result(claimed["scan"], Succeeded())])
        other = threading.Thread(target=flows.end, args=(claimed["count"],))
        other.start()
        wait_for_a_lock(service, 1)
        then(transaction)
    other.join(10)
    return claimed["scan"]


def test_workers_that_record_tasks_of_the_same_flows_in_opposite_order_do_not_deadlock(flows, service):
    """A gate holds the flow that both must lock first: then neither holds the other one meanwhile."""
    flows.start(DIAMOND, times=2)
    flows.end(*flows.claim_all())
    claimed = flows.claim_all()
    low, high = sorted({run.flow_id for run in claimed})
    of = {(run.flow_id, run.task): run for run in claimed}
    batches = [[of[low, "scan"], of[high, "scan"]], [of[high, "count"], of[low, "count"]]]
    with service.engine.connect() as gate:
        gate.execute(text("SELECT FROM flow_tasks WHERE flow_id = :low FOR UPDATE"), {"low": low})
        workers = [threading.Thread(target=flows.end, args=batch) for batch in batches]
        for worker in workers:
            worker.start()
        wait_for_a_lock(service, 2)
        gate.execute(text("SELECT FROM flow_tasks WHERE flow_id = :high FOR UPDATE NOWAIT"), {"high": high})
        gate.commit()
    for worker in workers:
        worker.join(10)
    assert flows.queued() == ["report", "report"]


def test_many_workers_take_wide_flows_through_to_their_end(flows, service):
    middle = [f"m{number}" for number in range(8)]
    wide = flow_of(first="", **dict.fromkeys(middle, "first"), last=" ".join(middle))
    flows.start(wide, times=10)
    workers = [threading.Thread(target=work_until_done, args=(flows, 100), daemon=True) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert service.states() == ["succeeded"] * 100
    assert flows.waiting() == {}
    assert len({(run["flow_id"], run["task"]) for run in service.runs()}) == 100


def test_runs_that_are_no_tasks_of_a_flow_end_without_a_word_about_flows(service, statements):
    service.add()
    service.dispatch()
    service.finish(service.claim_one())
    assert service.states() == ["succeeded"]
    assert any("bayesian_jobs_finish" in statement for statement in statements)
    assert not any("flow_tasks" in statement or "go_on" in statement for statement in statements)


def test_tasks_that_wait_for_runs_that_are_gone_are_pruned_and_all_others_stay(flows, service):
    flows.start(flow_of(fetch="", scan="fetch"), times=3)
    gone, failed, _ = flows.claim_all()
    flows.end(gone, failed, outcome=Failed("ValueError: boom", "traceback"))
    service.execute_sql("UPDATE flow_tasks SET created_at = now() - interval '40 days'")
    service.execute_sql("DELETE FROM runs WHERE run_id = CAST(:run_id AS uuid)", run_id=gone.run_id)
    assert prune(service.engine, timedelta(days=30), 10_000).tasks == 1
    left = {str(row.flow_id) for row in service.execute_sql("SELECT flow_id FROM flow_tasks")}
    assert left == {run["flow_id"] for run in service.runs()}


def test_young_tasks_are_not_pruned_whatever_has_gone(flows, service):
    flows.start(flow_of(fetch="", scan="fetch"))
    service.execute_sql("DELETE FROM runs")
    assert prune(service.engine, timedelta(days=30), 10_000).tasks == 0


@pytest.fixture
def statements(service, monkeypatch) -> list[str]:
    """What the test sends to the database: statements of SQLAlchemy, and those that are prepared."""
    sent: list[str] = []
    event.listen(service.engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    run = Prepared._run
    monkeypatch.setattr(Prepared, "_run", lambda self, *how: sent.append(self._execute) or run(self, *how))
    return sent


def work_until_done(flows: Flows, runs: int) -> None:
    """One worker: claims a few, ends them, until all that there will be has ended."""
    process_no, service = flows.service.process(), flows.service
    for _ in range(2000):
        if service.execute_sql("SELECT count(*) FROM runs WHERE state = 'succeeded'")[0][0] == runs:
            return
        flows.end(*service.claim(process_no, limit=3, queues=("core",)).started)


def wait_for_a_lock(service, sessions: int) -> None:
    """Until so many sessions of this database wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    wait_for(lambda: service.execute_sql(waiting)[0][0] == sessions, f"that {sessions} sessions wait")
