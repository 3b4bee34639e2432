"""The handlers that start flows, and real workers that take them through."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import dramatiq
import pytest
from waiting import wait_for

from bayesian_jobs.bootstrap import Services, handler_broker
from bayesian_jobs.broker.postgres import PostgresBroker
from bayesian_jobs.settings import load
from bayesian_jobs.store.engine import make_engine

LONG = 20_000
FLOWS = """
analysis:
  queue: core
  tasks:
    fetch: {}
    scan: {after: [fetch]}
    deep: {flow: other, after: [fetch]}
    report: {after: [scan, deep], queue: reports, actor: make_report}
other:
  queue: core
  tasks:
    unpack: {}
    scan: {after: [unpack]}
single: {queue: core, actor: fetch}
"""
ORDER = {
    "scan": {"fetch"},
    "deep.unpack": {"fetch"},
    "deep.scan": {"deep.unpack"},
    "report": {"scan", "deep.scan"},
}


@pytest.fixture
def scheduling(service, database_url, tmp_path) -> Iterator[Callable[..., Any]]:
    """A worker process for the handlers: runs a job of one of them, returns its run."""
    (file := tmp_path / "flows.yaml").write_text(FLOWS)
    settings = replace(load({}), database_url=database_url, flows_file=file)
    engines = [make_engine(database_url, "worker"), make_engine(database_url, "worker", hot=True)]
    broker = handler_broker(Services(settings, *engines, service.registry))
    broker.emit_after("process_boot")
    worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=50)
    worker.start()

    def run(handler: str, **kwargs: Any) -> Any:
        service.add(handler=handler, kwargs=kwargs)
        service.dispatch()
        broker.join("default", timeout=LONG)
        (row,) = [row for row in service.runs() if row["job_no"] is not None]
        return row

    yield run
    worker.stop()
    engines[0].dispose()


@pytest.fixture
def core(database_url) -> Iterator[PostgresBroker]:
    """A core worker's broker, whose actors are plain Dramatiq's."""
    broker = PostgresBroker(make_engine(database_url, "core", hot=True))
    yield broker
    broker.close()


def messages(service) -> list[Any]:
    return [run for run in service.runs() if run["job_no"] is None]


def started_with(service) -> tuple[set[str], set[str]]:
    """The tasks that were queued at once, and those that wait."""
    waiting = {row.task for row in service.execute_sql("SELECT task FROM flow_tasks")}
    return {run["task"] for run in messages(service)}, waiting


def test_a_flow_of_several_tasks_is_started_whole_once_for_each_of_its_arguments(scheduling, service):
    run = scheduling("FlowScheduling", flow_name="analysis", flow_arguments=[{"name": "a"}, {"name": "b"}])
    assert run["state"] == "succeeded"
    assert [(each["task"], each["message"]["kwargs"]) for each in messages(service)] == [
        ("fetch", {"name": "a", "job_id": "job"}),
        ("fetch", {"name": "b", "job_id": "job"}),
    ]
    waiting = service.execute_sql("SELECT task, waits_for, message, job_id FROM flow_tasks")
    assert sorted((row.task, set(row.waits_for)) for row in waiting) == sorted([*ORDER.items()] * 2)
    assert {(row.message["kwargs"]["name"], row.job_id) for row in waiting} == {("a", "job"), ("b", "job")}


def test_a_flow_without_arguments_to_start_it_with_starts_nothing(scheduling, service):
    assert scheduling("FlowScheduling", flow_name="analysis", flow_arguments=[])["state"] == "succeeded"
    assert started_with(service) == (set(), set())


def test_a_flow_of_one_task_is_a_plain_message(scheduling, service):
    scheduling("FlowScheduling", flow_name="single", flow_arguments=[{}])
    (message,) = messages(service)
    assert (message["actor"], message["flow_id"], message["task"]) == ("fetch", None, None)


def test_when_the_run_fails_no_flow_has_started(scheduling, service):
    service.execute_sql(
        "ALTER TABLE flow_tasks ADD CONSTRAINT no_b CHECK (task <> 'report' OR message #>> '{kwargs,name}' <> 'b')"
    )
    run = scheduling("FlowScheduling", flow_name="analysis", flow_arguments=[{"name": "a"}, {"name": "b"}])
    assert run["state"] == "failed"
    assert started_with(service) == (set(), set())


@pytest.mark.parametrize(
    ("options", "queued", "waiting"),
    [
        ({"task_names": ["scan"]}, {"fetch"}, {"scan", "deep.unpack", "deep.scan"}),
        ({"task_names": ["scan"], "follow_subflows": False}, {"fetch"}, {"scan"}),
        ({"task_names": ["deep.unpack"]}, {"fetch"}, {"deep.unpack"}),
        ({"task_names": ["deep.unpack"], "run_subsequent": True}, {"fetch"}, set(ORDER)),
        ({"task_names": ["deep"], "follow_subflows": False}, {"fetch"}, {"deep.unpack", "deep.scan"}),
        ({"task_names": ["fetch"]}, {None}, set()),
    ],
)
def test_only_the_named_tasks_are_started_and_what_they_need(scheduling, service, options, queued, waiting):
    run = scheduling("SelectiveFlowScheduling", flow_name="analysis", flow_arguments=[{}], **options)
    assert run["state"] == "succeeded"
    assert started_with(service) == (queued, waiting)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"task_names": ["scan", "nope"]}, "Flow 'analysis' has no task 'nope' (known tasks: fetch, scan, deep"),
        (
            {"task_names": ["unpack"], "follow_subflows": False},
            "Flow 'analysis' has no task 'unpack' (known tasks: fetch, scan, deep, report)",
        ),
        ({"task_names": ["x"], "flow_name": "nope"}, "No flow 'nope' is configured (known flows: analysis, other, s"),
    ],
)
def test_an_unknown_task_or_flow_fails_the_run_with_a_clear_error(scheduling, service, options, error):
    run = scheduling("SelectiveFlowScheduling", **{"flow_name": "analysis", "flow_arguments": [{}]} | options)
    assert run["state"] == "failed"
    assert error in run["reason"]
    assert started_with(service) == (set(), set())


def test_workers_take_every_flow_through_in_its_order(scheduling, core, service):
    done, lock = [], threading.Lock()

    def declare(name: str, queue: str) -> None:
        def work(*, name: str, job_id: str) -> None:
            task = dramatiq.middleware.CurrentMessage.get_current_message()
            with lock:
                done.append((name, task.message_id, job_id))

        dramatiq.actor(work, broker=core, actor_name=name, queue_name=queue)

    core.add_middleware(dramatiq.middleware.CurrentMessage())
    for name in ("fetch", "scan", "unpack"):
        declare(name, "core")
    declare("make_report", "reports")
    scheduling("FlowScheduling", flow_name="analysis", flow_arguments=[{"name": name} for name in "abc"])
    worker = dramatiq.Worker(core, worker_threads=4, worker_timeout=50)
    worker.start()
    try:
        wait_for(lambda: len(done) == 15)
        core.join("core", timeout=LONG)
        core.join("reports", timeout=LONG)
    finally:
        worker.stop()

    assert {run["state"] for run in messages(service)} == {"succeeded"}
    task_of = {run["run_id"]: run["task"] for run in messages(service)}
    for name in "abc":
        order = [task_of[run_id] for each, run_id, job_id in done if (each, job_id) == (name, "job")]
        assert sorted(order) == sorted(["fetch", *ORDER])
        for task, needs in ORDER.items():
            assert needs <= set(order[: order.index(task)])
    assert service.execute_sql("SELECT FROM flow_tasks") == []


def test_a_follower_of_a_task_that_fails_is_never_started(scheduling, core, service, caplog):
    @dramatiq.actor(broker=core, queue_name="core", max_retries=0)
    def fetch(*, job_id: str) -> None:
        raise ValueError("boom")

    scheduling("SelectiveFlowScheduling", flow_name="analysis", task_names=["deep.unpack"], flow_arguments=[{}])
    worker = dramatiq.Worker(core, worker_threads=1, worker_timeout=50)
    worker.start()
    try:
        core.join("core", timeout=LONG)
    finally:
        worker.stop()
    assert [(run["task"], run["state"]) for run in messages(service)] == [("fetch", "failed")]
    assert started_with(service) == ({"fetch"}, {"deep.unpack"})
