"""Handlers, the state of the service, and the probes."""

import pytest
from api_steps import assert_problem, client_on
from falcon import testing
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from bayesian_jobs.handlers.registry import Registry


def add_process(connection: Connection, kind: str, lease: str = "1 hour") -> None:
    connection.execute(
        text(
            "INSERT INTO processes (kind, hostname, pid, version, lease_until) "
            "VALUES (:kind, 'h', 1, '0', clock_timestamp() + CAST(:lease AS interval))"
        ),
        {"kind": kind, "lease": lease},
    )


def test_the_service_is_paused_and_resumed(client: testing.TestClient) -> None:
    assert client.simulate_get("/api/v1/service/state").json == {"state": "running"}
    assert client.simulate_put("/api/v1/service/state?state=paused").json == {"state": "paused"}
    assert client.simulate_get("/api/v1/service/state").json == {"state": "paused"}
    assert client.simulate_put("/api/v1/service/state?state=running").json == {"state": "running"}


@pytest.mark.parametrize("query", ["", "?state=stopped", "?state=0", "?status=paused"])
def test_a_state_that_the_service_does_not_have_is_refused(client: testing.TestClient, query: str) -> None:
    assert_problem(client.simulate_put(f"/api/v1/service/state{query}"), 400)
    assert client.simulate_get("/api/v1/service/state").json == {"state": "running"}


def test_ready_means_database_schema_scheduler_and_worker(client: testing.TestClient, connection: Connection) -> None:
    problem = assert_problem(client.simulate_get("/api/v1/readiness"), 503)
    assert problem["error"] == "no scheduler is alive; no worker is alive"
    assert problem["checks"] == {"database": True, "schema": True, "schedulers": 0, "workers": 0}

    add_process(connection, "scheduler")
    add_process(connection, "worker", lease="-1 second")
    assert assert_problem(client.simulate_get("/api/v1/readiness"), 503)["error"] == "no worker is alive"

    add_process(connection, "worker")
    answer = client.simulate_get("/api/v1/readiness")
    assert answer.status_code == 200
    assert answer.json == {
        "ready": True,
        "checks": {"database": True, "schema": True, "schedulers": 1, "workers": 1},
    }


def test_the_probes_write_nothing(database_url: str, registry: Registry, connection: Connection) -> None:
    add_process(connection, "scheduler")
    add_process(connection, "worker")
    connection.commit()
    unable = {"options": "-c default_transaction_read_only=on"}
    client = client_on(create_engine(database_url, poolclass=NullPool, connect_args=unable), registry)
    for probe in ("readiness", "liveness"):
        assert client.simulate_get(f"/api/v1/{probe}").status_code == 200


def test_a_database_without_schema_is_not_ready(empty_database_url: str, registry: Registry) -> None:
    problem = assert_problem(
        client_on(create_engine(empty_database_url), registry).simulate_get("/api/v1/readiness"), 503
    )

    assert problem["error"] == "the schema of the database is not current"


def test_without_a_database_the_process_lives_but_is_not_ready(offline: testing.TestClient) -> None:
    assert offline.simulate_get("/api/v1/liveness").json == {"alive": True}
    assert assert_problem(offline.simulate_get("/api/v1/readiness"), 503)["error"] == "the database does not answer"
    answer = offline.simulate_get("/api/v1/jobs")
    assert_problem(answer, 503)
    assert answer.headers["retry-after"] == "5"


def test_handlers_are_listed_with_schema_and_example(offline: testing.TestClient) -> None:
    answer = offline.simulate_get("/api/v1/handlers").json

    assert answer["handlers_count"] == 1
    greeting = answer["handlers"][0]
    assert (greeting["name"], greeting["endpoint"]) == ("Greeting", "/jobs/greeting")
    assert greeting["summary"] == "Greet somebody."
    assert greeting["example"] == {"name": "world"}
    assert greeting["arguments"]["properties"]["name"] == {"type": "string", "description": "whom"}
    assert (greeting["queue"], greeting["time_limit"], greeting["max_retries"]) == (
        "default",
        "10 minutes",
        0,
    )


def test_a_pause_of_the_service_says_why_and_until_when(client: testing.TestClient) -> None:
    query = {"state": "paused", "reason": "new disks", "until": "2999-01-01T06:00"}
    paused = {"state": "paused", "reason": "new disks", "until": "2999-01-01T06:00:00Z"}
    assert client.simulate_put("/api/v1/service/state", params=query).json == paused
    assert client.simulate_get("/api/v1/service/state").json == paused
    assert client.simulate_put("/api/v1/service/state?state=paused").json == {"state": "paused"}
    assert client.simulate_put("/api/v1/service/state?state=running").json == {"state": "running"}


def test_the_end_of_a_pause_of_the_service_lies_ahead(client: testing.TestClient) -> None:
    problem = assert_problem(client.simulate_put("/api/v1/service/state?state=paused&until=2020-01-01"), 400)
    assert problem["errors"][0]["option"] == "until"
    assert client.simulate_get("/api/v1/service/state").json == {"state": "running"}
