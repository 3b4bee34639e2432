"""`GET /flows/{flow_id}`: how far one start of a flow has come."""

import pytest
from api_steps import add_job, assert_problem
from falcon import testing
from sqlalchemy import Connection, Engine, text

from bayesian_jobs.domain.flow import Flow, Task
from bayesian_jobs.store.flows import start_flow

BODY = {"args": [], "kwargs": {}, "options": {}}
CHAIN = Flow(
    "chain",
    (
        Task(("fetch",), "fetch", "core"),
        Task(("scan",), "scan", "core", ("fetch",)),
        Task(("report",), "make_report", "reports", ("fetch", "scan")),
    ),
)


@pytest.fixture
def flow_id(client: testing.TestClient, engine: Engine) -> str:
    """One start of the chain, and another one that must not be mixed up with it."""
    add_job(client, "a", when="2100-01-01")
    with engine.begin() as connection:
        start_flow(connection, CHAIN, [BODY, BODY], "a")
    runs = client.simulate_get("/api/v1/runs").json["runs"]
    found: str = runs[0]["flow_id"]
    return found


def tasks(client: testing.TestClient, flow_id: str) -> dict[str, tuple[str, list[str]]]:
    answer = client.simulate_get(f"/api/v1/flows/{flow_id}").json
    assert answer["tasks_count"] == len(answer["tasks"])
    return {task["task"]: (task["state"], task["waits_for"]) for task in answer["tasks"]}


def test_tasks_that_wait_are_told_with_what_they_wait_for(client: testing.TestClient, flow_id: str) -> None:
    answer = client.simulate_get(f"/api/v1/flows/{flow_id}").json
    assert (answer["flow_id"], answer["job_id"]) == (flow_id, "a")
    fetch, report, scan = answer["tasks"]
    assert client.simulate_get(f"/api/v1/runs/{fetch['run_id']}").json["task"] == "fetch"
    assert (fetch["state"], fetch["waits_for"], fetch["scheduled_for"] is None) == ("queued", [], False)
    assert (scan["state"], scan["waits_for"]) == ("waiting", ["fetch"])
    assert report == {
        "task": "report", "state": "waiting", "waits_for": ["fetch", "scan"], "actor": "make_report",
        "queue": "reports", "run_id": None, "scheduled_for": None,
    }  # fmt: skip


def test_of_a_task_that_is_tried_again_the_latest_run_is_told(
    client: testing.TestClient, connection: Connection, flow_id: str
) -> None:
    fail = "UPDATE runs SET state = 'failed', claim_at = NULL, finished_at = now() WHERE flow_id = :flow_id"
    connection.execute(text(fail), {"flow_id": flow_id})
    assert tasks(client, flow_id)["fetch"] == ("failed", [])

    (fetch, *_) = client.simulate_get(f"/api/v1/flows/{flow_id}").json["tasks"]
    assert client.simulate_post(f"/api/v1/runs/{fetch['run_id']}/retry").status_code == 202
    assert tasks(client, flow_id) == {
        "fetch": ("queued", []),
        "scan": ("waiting", ["fetch"]),
        "report": ("waiting", ["fetch", "scan"]),
    }


@pytest.mark.parametrize("flow_id", ["00000000-0000-7000-8000-000000000000", "7", "a/b", "' OR 1=1 --"])
def test_an_unknown_flow_is_not_found(client: testing.TestClient, flow_id: str) -> None:
    assert_problem(client.simulate_get(f"/api/v1/flows/{flow_id}"), 404)
