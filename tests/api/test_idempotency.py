"""`Idempotency-Key`: a request that is sent again has one effect, and the same answer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from api_steps import add_job, add_run, assert_problem
from falcon import testing
from sqlalchemy import Connection, Engine, text
from waiting import wait_for

from bayesian_jobs.api import idempotency
from bayesian_jobs.store.retention import prune

REPLAYED = "idempotent-replayed"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
ROUTES = ["/jobs", "/jobs/greeting", "/jobs/a/run", "/runs/{run_id}/retry", "/runs/{open_id}/cancel"]


@pytest.fixture
def paths(client: testing.TestClient, connection: Connection) -> dict[str, tuple[str, Any]]:
    """The requests that take a key, by route: path and body."""
    add_job(client, "a", periodically="1 week", when="2100-01-01")
    run_id = add_run(connection, "a", "2026-11-23T10:00:00Z", "failed")
    open_id = add_run(connection, "a", "2026-11-23T11:00:00Z", "queued")
    return {
        "/jobs": ("/api/v1/jobs", {"handler": "Greeting", "kwargs": {"name": "you"}}),
        "/jobs/greeting": ("/api/v1/jobs/greeting?periodically=1+week", {"name": "you"}),
        "/jobs/a/run": ("/api/v1/jobs/a/run", None),
        "/runs/{run_id}/retry": (f"/api/v1/runs/{run_id}/retry", {"kwargs": {"name": "other"}}),
        "/runs/{open_id}/cancel": (f"/api/v1/runs/{open_id}/cancel", None),
    }


def post(client: testing.TestClient, path: str, body: Any, key: str | None = "k-1") -> testing.Result:
    path, _, query = path.partition("?")
    headers = {} if key is None else {"Idempotency-Key": key}
    given = {} if body is None else {"json": body}
    return client.simulate_post(path, query_string=query, headers=headers, **given)


def counted(connection: Connection) -> tuple[int, int, int]:
    """How many jobs, runs and keys there are."""
    tables = ("jobs", "runs", "idempotency_keys")
    return tuple(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in tables)  # type: ignore[return-value]


@pytest.mark.parametrize("route", ROUTES)
def test_the_same_request_again_has_the_same_answer_and_no_second_effect(
    client: testing.TestClient, connection: Connection, paths: dict[str, Any], route: str
) -> None:
    first = post(client, *paths[route])
    after_one = counted(connection)
    again = post(client, *paths[route])

    assert first.status_code in (201, 202), first.text
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["content-type"] == first.headers["content-type"]
    for name in ("etag", "location"):
        assert again.headers.get(name) == first.headers.get(name)
    assert (first.headers.get(REPLAYED), again.headers.get(REPLAYED)) == (None, "true")
    assert counted(connection) == after_one


def test_the_answer_of_then_is_given_although_the_job_was_changed_since(client: testing.TestClient) -> None:
    body = {"handler": "Greeting", "kwargs": {"name": "you"}, "job_id": "b"}
    first = post(client, "/api/v1/jobs", body)
    client.simulate_delete("/api/v1/jobs/b")

    assert post(client, "/api/v1/jobs", body).content == first.content
    assert client.simulate_get("/api/v1/jobs/b").status_code == 404


def test_the_order_of_names_in_the_body_makes_no_other_request(client: testing.TestClient) -> None:
    post(client, "/api/v1/jobs", {"handler": "Greeting", "kwargs": {"name": "you", "times": 2}})
    again = post(client, "/api/v1/jobs", {"kwargs": {"times": 2, "name": "you"}, "handler": "Greeting"})

    assert again.headers[REPLAYED] == "true"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/jobs", {"handler": "Greeting", "kwargs": {"name": "she"}}),
        ("/api/v1/jobs", {"handler": "Greeting", "kwargs": {"name": "you", "times": True}}),
        ("/api/v1/jobs/greeting", {"name": "you"}),
        ("/api/v1/jobs/greeting?state=paused", {"name": "you"}),
        ("/api/v1/jobs/a/run", None),
    ],
)
def test_a_key_of_another_request_is_refused(
    client: testing.TestClient, connection: Connection, paths: dict[str, Any], path: str, body: Any
) -> None:
    post(client, *paths["/jobs"])
    before = counted(connection)

    problem = assert_problem(post(client, path, body), 422)
    assert problem["error"] == "Idempotency-Key 'k-1' was sent with another request before; choose a new one"
    assert counted(connection) == before


def test_a_request_that_was_refused_is_judged_anew(client: testing.TestClient, connection: Connection) -> None:
    body = {"handler": "Greeting", "kwargs": {"name": "you"}, "job_id": "a"}
    add_job(client, "a")

    assert_problem(post(client, "/api/v1/jobs", body | {"when": "nonsense"}), 400)
    assert_problem(post(client, "/api/v1/jobs", body), 409)
    assert counted(connection)[2] == 0
    client.simulate_delete("/api/v1/jobs/a")
    assert post(client, "/api/v1/jobs", body).status_code == 201


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", "a\x7fb", "ě"])
@pytest.mark.parametrize("route", ROUTES)
def test_a_key_that_cannot_be_one_is_named(offline: testing.TestClient, route: str, key: str) -> None:
    path = f"/api/v1{route}".replace("{run_id}", "7").replace("{open_id}", "7")
    body = {"handler": "Greeting", "kwargs": {"name": "you"}} if route == "/jobs" else {}
    problem = assert_problem(post(offline, path, None if path.endswith(("/run", "/cancel")) else body, key), 400)

    assert [error["option"] for error in problem["errors"]] == ["Idempotency-Key"]


def test_the_longest_key_is_taken(client: testing.TestClient, paths: dict[str, Any]) -> None:
    assert post(client, *paths["/jobs"], key="~" * 255).status_code == 201


def test_nothing_stays_of_a_request_whose_answer_could_not_be_kept(
    client: testing.TestClient, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(idempotency.store, "keep", fail)

    assert_problem(post(client, "/api/v1/jobs", {"handler": "Greeting", "kwargs": {"name": "you"}}), 500)
    assert counted(connection) == (0, 0, 0)


@pytest.fixture
def held(engine: Engine, connection: Connection) -> Iterator[Connection]:
    """While this is open no job can be added, and a request that has taken its key waits."""
    with engine.begin() as other:
        other.execute(text("LOCK TABLE jobs IN EXCLUSIVE MODE"))
        yield other


def test_of_two_requests_at_once_one_has_the_effect_and_the_other_its_answer(
    client: testing.TestClient, connection: Connection, held: Connection
) -> None:
    body = {"handler": "Greeting", "kwargs": {"name": "you"}}
    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(post, client, "/api/v1/jobs", body) for _ in range(2)]
        wait_for(lambda: connection.execute(text(WAITING)).scalar_one() == 2, "two requests that wait")
        held.rollback()
        first, second = sorted((answer.result() for answer in answers), key=lambda each: REPLAYED in each.headers)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert (REPLAYED in first.headers, REPLAYED in second.headers) == (False, True)
    assert counted(connection) == (1, 0, 1)


def test_of_two_requests_at_once_the_second_is_carried_out_if_the_first_came_to_nothing(
    client: testing.TestClient, connection: Connection, held: Connection
) -> None:
    """The first one's session ends while it waits: nothing of it stays, its key neither."""
    body = {"handler": "Greeting", "kwargs": {"name": "you"}}
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(post, client, "/api/v1/jobs", body)
        wait_for(lambda: connection.execute(text(WAITING)).scalar_one() == 1, "the first request that waits")
        victim = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        pid = connection.execute(text(victim)).scalar_one()
        second = threads.submit(post, client, "/api/v1/jobs", body)
        wait_for(lambda: connection.execute(text(WAITING)).scalar_one() == 2, "two requests that wait")
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        assert first.result().status_code == 503
        held.rollback()
        assert second.result().status_code == 201

    assert REPLAYED not in second.result().headers
    assert counted(connection) == (1, 0, 1)


def test_keys_are_forgotten_after_a_day(
    client: testing.TestClient, connection: Connection, engine: Engine, paths: dict[str, Any]
) -> None:
    post(client, *paths["/jobs"], key="old")
    post(client, *paths["/jobs"], key="new")
    for key, hours in (("old", 25), ("new", 23)):
        connection.execute(
            text("UPDATE idempotency_keys SET created_at = now() - CAST(:age AS interval) WHERE key = :key"),
            {"key": key, "age": timedelta(hours=hours)},
        )

    assert prune(engine, timedelta(days=30), 10_000).keys == 1
    assert post(client, *paths["/jobs"], key="old").headers.get(REPLAYED) is None
    assert post(client, *paths["/jobs"], key="new").headers[REPLAYED] == "true"
