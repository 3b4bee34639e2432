"""`?dry_run=true`: what a change would come to is told by the code that would make it, and nothing of it stays."""

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from api_steps import add_job, add_run, assert_problem
from falcon import testing
from sqlalchemy import Connection, Engine, text

from bayesian_jobs.store.notifications import JOBS_CHANGED, RUNS

JOB = "/api/v1/jobs/a"
DRY = {"dry_run": "true"}
WEEKLY = {"periodically": "1 week", "when": "2100-01-01"}
NEW = {"handler": "Greeting", "kwargs": {"name": "you"}, "job_id": "a", **WEEKLY}


def days(count: int, of_each: int, month: str = "2100-01") -> list[str]:
    return [f"{month}-{1 + number * of_each:02}T00:00:00Z" for number in range(count)]


@pytest.fixture
def notifications(engine: Engine) -> Iterator[Any]:
    """A session that hears what schedulers and workers hear."""
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    session = psycopg2.connect(url)
    session.autocommit = True
    for channel in (JOBS_CHANGED, RUNS):
        session.cursor().execute(f"LISTEN {channel}")
    yield session
    session.close()


def heard(session: Any) -> int:
    """How many notifications came since the last time."""
    session.cursor().execute("SELECT 1")
    session.poll()
    count = len(session.notifies)
    session.notifies.clear()
    return count


def everything(connection: Connection) -> list[Any]:
    return [
        connection.execute(text(f"SELECT * FROM {table} ORDER BY 1")).all()
        for table in ("jobs", "runs", "idempotency_keys")
    ]


REQUESTS = {
    "POST": lambda client, **query: client.simulate_post(
        "/api/v1/jobs", params=query, json=NEW | {"job_id": "b"}, headers={"Idempotency-Key": "k"}
    ),
    "POST to a handler": lambda client, **query: client.simulate_post(
        "/api/v1/jobs/greeting", params={**query, "job_id": "b"}, json={"name": "you"}
    ),
    "PUT that creates": lambda client, **query: client.simulate_put(
        "/api/v1/jobs/b", params=query, json=NEW | {"job_id": "b"}
    ),
    "PUT": lambda client, **query: client.simulate_put(JOB, params=query, json=NEW | {"periodically": "1 day"}),
    "PUT of the state": lambda client, **query: client.simulate_put(JOB, params={**query, "state": "paused"}),
    "PATCH": lambda client, **query: client.simulate_patch(JOB, params=query, json={"kwargs": {"name": "other"}}),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=list(REQUESTS))
def test_nothing_is_stored_and_nobody_notified(
    client: testing.TestClient, connection: Connection, notifications: Any, request_: Any
) -> None:
    add_job(client, **NEW)
    add_run(connection, "a", "2026-11-23T10:00:00Z", "queued", claim_at="2026-11-23T10:00:00Z")
    before = everything(connection)
    assert heard(notifications) > 0

    answer = request_(client, **DRY)
    assert answer.status_code == 200, answer.text
    assert answer.json.keys() == {"dry_run", "changes", "upcoming", "queued_runs"}
    assert answer.json["changes"]
    assert everything(connection) == before
    assert heard(notifications) == 0

    assert request_(client, dry_run="false").status_code in (200, 201)
    assert everything(connection) != before


def test_a_new_job_is_told_whole_with_its_fire_times(client: testing.TestClient) -> None:
    answer = client.simulate_post("/api/v1/jobs", params=DRY, json=NEW).json

    assert answer["changes"]["handler"] == {"before": None, "after": "Greeting"}
    assert answer["changes"]["periodically"] == {"before": None, "after": "1 week"}
    assert answer["upcoming"]["before"] == []
    assert answer["upcoming"]["after"][:4] == days(4, of_each=7)
    assert len(answer["upcoming"]["after"]) == 10


def test_of_a_change_only_what_differs_is_told_with_the_fire_times_before_and_after(client: testing.TestClient) -> None:
    add_job(client, **NEW)
    answer = client.simulate_patch(JOB, params=DRY, json={"periodically": "1 day", "misfire_grace_time": "1 hour"}).json

    assert answer["changes"] == {
        "periodically": {"before": "1 week", "after": "1 day"},
        "misfire_grace_time": {"before": None, "after": "1 hour"},
    }
    assert answer["upcoming"]["before"][:4] == days(4, of_each=7)
    assert answer["upcoming"]["after"] == days(10, of_each=1)


def test_a_job_that_would_be_paused_would_have_no_fire_times(client: testing.TestClient) -> None:
    add_job(client, **NEW)
    answer = client.simulate_put(JOB, params={**DRY, "state": "paused"}).json

    assert answer["changes"]["state"] == {"before": "running", "after": "paused"}
    assert (len(answer["upcoming"]["before"]), answer["upcoming"]["after"]) == (10, [])


def test_a_change_of_nothing_changes_nothing(client: testing.TestClient) -> None:
    add_job(client, **NEW)
    answer = client.simulate_put(JOB, params=DRY, json=NEW).json

    assert answer["changes"] == {}
    assert answer["upcoming"]["before"] == answer["upcoming"]["after"]


def test_what_was_told_is_what_a_real_change_then_does(client: testing.TestClient) -> None:
    """The tag of the answer makes sure that it is still the same job that changes."""
    add_job(client, **NEW)
    change = {"periodically": "0 5 * * mon", "timezone": "Europe/Prague", "kwargs": {"name": "other", "times": 3}}
    told = client.simulate_patch(JOB, params=DRY, json=change)
    changed = client.simulate_patch(JOB, json=change, headers={"If-Match": told.headers["etag"]}).json["job"]

    assert {name: each["after"] for name, each in told.json["changes"].items()} == {
        name: changed[name] for name in ("periodically", "timezone", "kwargs", "next_run_at")
    }
    assert client.simulate_get(f"{JOB}/upcoming").json["upcoming"] == told.json["upcoming"]["after"]


@pytest.mark.parametrize(
    ("change", "becomes"),
    [
        (lambda client, **query: client.simulate_put(JOB, params={**query, "state": "paused"}), "cancelled"),
        (lambda client, **query: client.simulate_patch(JOB, params=query, json={"kwargs": {"name": "x"}}), "changed"),
        (lambda client, **query: client.simulate_patch(JOB, params=query, json={"periodically": "1 day"}), "changed"),
        (lambda client, **query: client.simulate_patch(JOB, params=query, json={"periodically": "1 week"}), None),
    ],
    ids=["pause", "kwargs", "trigger", "nothing"],
)
def test_the_queued_runs_that_would_be_affected_are_told(
    client: testing.TestClient, connection: Connection, change: Any, becomes: str | None
) -> None:
    """And what is told is what then becomes of them; a run that executes goes on."""
    add_job(client, **NEW, max_concurrent_runs=2)
    executing, queued = (client.simulate_post(f"{JOB}/run").json["run"] for _ in range(2))
    claimed = "UPDATE runs SET state = 'running', claim_at = NULL, attempt = 1 WHERE run_id = :run_id"
    connection.execute(text(claimed), {"run_id": executing["run_id"]})

    told = change(client, **DRY).json["queued_runs"]
    affected = {"run_id": queued["run_id"], "scheduled_for": queued["scheduled_for"], "becomes": becomes}
    assert told == ([affected] if becomes else [])

    assert change(client).status_code == 200
    after = client.simulate_get(f"/api/v1/runs/{queued['run_id']}").json
    moved = after["job_version"] != queued["job_version"]
    assert (after["state"] == "cancelled", moved) == (becomes == "cancelled", becomes == "changed")


def test_of_a_new_job_no_queued_runs_are_told(client: testing.TestClient) -> None:
    assert client.simulate_post("/api/v1/jobs", params=DRY, json=NEW).json["queued_runs"] == []


def test_what_would_be_refused_is_refused(client: testing.TestClient) -> None:
    add_job(client, **NEW)

    assert_problem(client.simulate_post("/api/v1/jobs", params=DRY, json=NEW), 409)
    assert_problem(client.simulate_patch("/api/v1/jobs/none", params=DRY, json={}), 404)
    assert_problem(client.simulate_patch(JOB, params=DRY, json={}, headers={"If-Match": '"7-7"'}), 412)
    problem = assert_problem(client.simulate_patch(JOB, params=DRY, json={"periodically": "90", "x": 1}), 400)
    assert {error["option"] for error in problem["errors"]} == {"periodically", "x"}


@pytest.mark.parametrize("value", ["yes", "", "1", "True"])
def test_dry_run_is_true_or_false(offline: testing.TestClient, value: str) -> None:
    problem = assert_problem(offline.simulate_patch(JOB, params={"dry_run": value}, json={}), 400)

    assert problem["errors"] == [{"option": "dry_run", "value": value, "reason": "must be true or false"}]
