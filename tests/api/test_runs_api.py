"""The history over HTTP."""

import base64
import json
from typing import Any

import pytest
from api_steps import add_job, add_run, assert_problem
from falcon import testing
from sqlalchemy import Connection


@pytest.fixture
def history(client: testing.TestClient, connection: Connection) -> list[str]:
    """Five runs, the newest first, of which job `a` has the odd ones."""
    add_job(client, "a")
    add_job(client, "b")
    runs = [
        add_run(
            connection,
            "b" if hour % 2 else "a",
            f"2026-11-23T1{hour}:00:00Z",
            "failed" if hour == 4 else "succeeded",
        )
        for hour in range(5)
    ]
    return runs[::-1]


def run_ids(answer: testing.Result) -> list[str]:
    assert answer.status_code == 200, answer.text
    assert answer.json["runs_count"] == len(answer.json["runs"])
    return [run["run_id"] for run in answer.json["runs"]]


def test_runs_are_listed_newest_first(client: testing.TestClient, history: list[str]) -> None:
    assert run_ids(client.simulate_get("/api/v1/runs")) == history
    assert run_ids(client.simulate_get("/api/v1/jobs/a/runs")) == history[::2]
    assert run_ids(client.simulate_get("/api/v1/jobs/b/runs?state=failed")) == []
    assert run_ids(client.simulate_get("/api/v1/runs?state=failed")) == history[:1]


def test_paging_visits_every_run_once(client: testing.TestClient, history: list[str]) -> None:
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        answer = client.simulate_get("/api/v1/runs", params={"limit": "2", **after})
        seen += run_ids(answer)
        if answer.json["next"] is None:
            break
        after = {"after": answer.json["next"]}

    assert seen == history


def test_one_run_is_told_in_full(client: testing.TestClient, connection: Connection) -> None:
    add_job(client, "a")
    run_id = add_run(
        connection,
        "a",
        "2026-11-23T10:00:00Z",
        "failed",
        attempt=2,
        failures=2,
        reason="ValueError: no",
        traceback="…",
    )
    run = client.simulate_get(f"/api/v1/runs/{run_id}").json

    assert run["queued_at"].endswith("Z")
    del run["queued_at"]
    assert run == {
        "run_id": run_id,
        "job_id": "a",
        "job_version": 1,
        "actor": "Greeting",
        "queue": "default",
        "priority": 5,
        "scheduled_for": "2026-11-23T10:00:00Z",
        "state": "failed",
        "attempt": 2,
        "failures": 2,
        "recoveries": 0,
        "worker": None,
        "started_at": None,
        "finished_at": None,
        "reason": "ValueError: no",
        "error": "ValueError: no",
        "traceback": "…",
        "missed": None,
        "flow_id": None,
        "task": None,
        "requested": False,
        "retry_of": None,
        "cancel_requested_at": None,
        "progress": None,
        "kwargs": None,
    }


def test_a_missed_record_tells_its_range_and_has_no_error(client: testing.TestClient, connection: Connection) -> None:
    add_job(client, "a")
    run_id = add_run(
        connection, "a", "2026-11-23T10:00:00Z", "missed",
        missed_until="2026-11-23T12:00:00Z", missed_count=3, reason="late",
    )  # fmt: skip
    run = client.simulate_get(f"/api/v1/runs/{run_id}").json

    assert run["missed"] == {"until": "2026-11-23T12:00:00Z", "count": 3}
    assert (run["reason"], run["error"]) == ("late", None)


@pytest.mark.parametrize(
    "run_id",
    [
        "nope",
        "0",
        "{6d1a2f0e-0000-4000-8000-000000000000}",
        "6d1a2f0e-0000-4000-8000-000000000000",
        "%F0%9F%92%A9",
    ],
)
def test_an_unknown_run_is_not_found(client: testing.TestClient, run_id: str) -> None:
    assert_problem(client.simulate_get(f"/api/v1/runs/{run_id}"), 404)


def test_runs_of_an_unknown_job_are_not_found(client: testing.TestClient) -> None:
    assert_problem(client.simulate_get("/api/v1/jobs/nope/runs"), 404)


@pytest.mark.parametrize(
    ("query", "option"),
    [
        ("state=done", "state"),
        ("job_id=a", "job_id"),
        ("after=WyJqb2IiLCAiYSJd", "after"),
        ("after=WyJydW4iLCAiMjAyNi0xMS0yM1QxMDowMDowMCIsICJiIl0", "after"),
        ("limit=many", "limit"),
    ],
)
def test_a_query_that_cannot_be_used_is_named(client: testing.TestClient, query: str, option: str) -> None:
    problem = assert_problem(client.simulate_get("/api/v1/runs", query_string=query), 400)

    assert [error["option"] for error in problem["errors"]] == [option]


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "1969-12-31T23:59:59+00:00",
        "9001-01-01T00:00:00+00:00",
        "2026-11-23T10:00:00",
    ],
)
def test_a_cursor_of_a_time_that_no_run_can_have_is_refused(client: testing.TestClient, moment: str) -> None:
    document = json.dumps(["run", moment, "6d1a2f0e-0000-4000-8000-000000000000"])
    cursor = base64.urlsafe_b64encode(document.encode()).decode()

    problem = assert_problem(client.simulate_get("/api/v1/runs", params={"after": cursor}), 400)
    assert [error["option"] for error in problem["errors"]] == ["after"]


def test_a_cursor_with_an_odd_offset_is_taken(client: testing.TestClient) -> None:
    document = json.dumps(["run", "2026-11-23T10:00:00+00:00:00.000001", "6d1a2f0e-0000-4000-8000-000000000000"])
    cursor = base64.urlsafe_b64encode(document.encode()).decode()

    assert client.simulate_get("/api/v1/runs", params={"after": cursor}).status_code == 200


@pytest.fixture
def job(client: testing.TestClient) -> str:
    """A job whose only fire time is far away."""
    client.simulate_post("/api/v1/jobs/greeting?job_id=a&when=2999-01-01", json={"name": "world"})
    return "/api/v1/jobs/a"


def test_a_job_runs_now_and_its_run_is_cancelled_and_retried_with_edited_kwargs(
    client: testing.TestClient, job: str
) -> None:
    accepted = client.simulate_post(f"{job}/run")
    assert accepted.status_code == 202
    run = accepted.json["run"]
    assert (run["job_id"], run["state"], run["requested"]) == ("a", "queued", True)
    assert client.simulate_get(f"/api/v1/runs/{run['run_id']}").json == run
    assert_problem(client.simulate_post(f"{job}/run"), 409)
    cancelled = client.simulate_post(f"/api/v1/runs/{run['run_id']}/cancel")
    assert (cancelled.status_code, cancelled.json["run"]["state"]) == (202, "cancelled")
    assert_problem(client.simulate_post(f"/api/v1/runs/{run['run_id']}/cancel"), 409)
    retried = client.simulate_post(f"/api/v1/runs/{run['run_id']}/retry", json={"kwargs": {"name": "moon"}})
    assert (retried.status_code, retried.json["run"]["retry_of"]) == (202, run["run_id"])
    assert retried.json["run"]["kwargs"] == {"name": "moon"}


@pytest.mark.parametrize(
    ("body", "option"),
    [({"kwargs": {"nme": "x"}}, "kwargs.nme"), ({"kwargs": []}, "kwargs"), ({"kwarg": {}}, "kwarg")],
)
def test_a_retry_that_cannot_be_meant_is_refused(
    client: testing.TestClient, job: str, body: dict[str, Any], option: str
) -> None:
    run_id = client.simulate_post(f"{job}/run").json["run"]["run_id"]
    client.simulate_post(f"/api/v1/runs/{run_id}/cancel")
    problem = assert_problem(client.simulate_post(f"/api/v1/runs/{run_id}/retry", json=body), 400)
    assert option in [fault["option"] for fault in problem["errors"]]


def test_cancelling_a_run_that_executes_is_accepted_and_told_until_its_worker_has_ended_it(
    client: testing.TestClient, connection: Connection
) -> None:
    add_job(client, "a")
    run_id = add_run(connection, "a", "2026-11-23T10:00:00Z", "running")
    answer = client.simulate_post(f"/api/v1/runs/{run_id}/cancel")
    assert (answer.status_code, answer.json["run"]["state"]) == (202, "running")
    assert answer.json["run"]["cancel_requested_at"].endswith("Z")
    assert client.simulate_get(f"/api/v1/runs/{run_id}").json == answer.json["run"]
    assert client.simulate_post(f"/api/v1/runs/{run_id}/cancel").json == answer.json


@pytest.mark.parametrize("path", ["/jobs/nobody/run", "/runs/nobody/retry", "/runs/nobody/cancel"])
def test_what_is_asked_of_nobody_is_not_found(client: testing.TestClient, path: str) -> None:
    assert_problem(client.simulate_post(f"/api/v1{path}"), 404)
