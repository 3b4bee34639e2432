"""No answer grows with what a request, or a job, holds."""

from typing import Any

import pytest
from api_steps import add_job, add_run, assert_problem, client_on
from falcon import testing
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.pool import NullPool

from bayesian_jobs.api import pages
from bayesian_jobs.handlers.registry import Registry

MEGABYTE = 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        {"handler": "Greeting", "kwargs": {"name": "x", **{f"unknown {number}": 1 for number in range(1000)}}},
        {"handler": "Greeting", "kwargs": {"name": "x"}, **{f"unknown {number}": 1 for number in range(1000)}},
        {"handler": "Greeting", "kwargs": {"name": "x", "tags": [0] * 1000}},
    ],
)
def test_of_very_many_faults_the_first_are_told_and_the_others_counted(
    client: testing.TestClient, body: dict[str, Any]
) -> None:
    problem = assert_problem(client.simulate_post("/api/v1/jobs", json=body), 400)

    assert len(problem["errors"]) == 21
    assert problem["errors"][-1]["reason"] == "and 980 more"
    assert problem["error"].endswith("; and 980 more")
    assert len(problem["error"]) < 10_000


def test_faults_of_options_and_of_arguments_are_counted_together(client: testing.TestClient) -> None:
    kwargs = {f"unknown {number}": 1 for number in range(100)}
    body = {"handler": "Greeting", "kwargs": kwargs, "when": "never", "interval": 1}
    problem = assert_problem(client.simulate_post("/api/v1/jobs", json=body), 400)

    assert {"when", "interval"} < {error["option"] for error in problem["errors"]}
    assert problem["errors"][-1]["reason"] == "and 83 more"


def test_twenty_faults_are_all_told(client: testing.TestClient) -> None:
    body = {"handler": "Greeting", "kwargs": {"name": "x"}, **{f"unknown {number}": 1 for number in range(20)}}
    problem = assert_problem(client.simulate_post("/api/v1/jobs", json=body), 400)

    assert [error["option"] for error in problem["errors"]] == [f"unknown {number}" for number in range(20)]


@pytest.mark.parametrize("place", ["option", "kwargs"])
def test_the_name_of_an_option_is_told_shortened(client: testing.TestClient, place: str) -> None:
    unknown = {"x" * 100_000: 1}
    body = {"handler": "Greeting", "kwargs": {"name": "x"}}
    body = {**body, **unknown} if place == "option" else {**body, "kwargs": {"name": "x", **unknown}}
    problem = assert_problem(client.simulate_post("/api/v1/jobs", json=body), 400)

    assert len(problem["errors"][0]["option"]) < 300
    assert len(problem["error"]) < 1000


def test_parameters_that_are_unknown_are_told_within_bounds(offline: testing.TestClient) -> None:
    query = "&".join(f"{'x' * 50}{number}=1" for number in range(40))
    problem = assert_problem(offline.simulate_get("/api/v1/jobs", query_string=query), 400)

    assert len(problem["errors"]) == 21
    assert problem["errors"][-1]["reason"] == "and 20 more"


def test_a_page_of_large_jobs_ends_early_and_the_next_goes_on(client: testing.TestClient) -> None:
    for number in range(40):
        add_job(client, f"job {number:02}", kwargs={"name": "x" * 250_000})
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        answer = client.simulate_get("/api/v1/jobs", params={"limit": "1000", **after})
        assert len(answer.content) < pages.MAX_PAGE_BYTES + 1000
        assert answer.json["jobs_count"] == len(answer.json["jobs"])
        seen += [job["job_id"] for job in answer.json["jobs"]]
        if answer.json["next"] is None:
            break
        assert len(answer.content) > pages.MAX_PAGE_BYTES - 300_000
        after = {"after": answer.json["next"]}

    assert seen == [f"job {number:02}" for number in range(40)]


def test_a_page_of_runs_ends_early_too(client: testing.TestClient, connection: Connection) -> None:
    add_job(client, "a")
    for minute in range(10):
        add_run(connection, "a", f"2026-11-23T10:{minute:02}:00Z", "failed", traceback="x" * MEGABYTE)
    answer = client.simulate_get("/api/v1/jobs/a/runs")

    assert answer.json["runs_count"] == 3
    assert answer.json["next"] is not None


def test_an_entry_that_is_larger_than_a_page_is_a_page(client: testing.TestClient, connection: Connection) -> None:
    add_job(client, "a")
    for minute in range(2):
        add_run(connection, "a", f"2026-11-23T10:{minute:02}:00Z", "failed", traceback="x" * 5 * MEGABYTE)
    first = client.simulate_get("/api/v1/runs").json
    second = client.simulate_get("/api/v1/runs", params={"after": first["next"]}).json

    assert (first["runs_count"], second["runs_count"], second["next"]) == (1, 1, None)


@pytest.mark.parametrize("count", [pages.CHUNK_ROWS - 1, pages.CHUNK_ROWS, pages.CHUNK_ROWS + 1, 120])
@pytest.mark.parametrize("limit", [pages.CHUNK_ROWS - 1, pages.CHUNK_ROWS, 119, 120, 1000])
def test_a_page_is_put_together_from_chunks(
    client: testing.TestClient, connection: Connection, count: int, limit: int
) -> None:
    connection.execute(
        text(
            "INSERT INTO jobs (job_id, handler, state) "
            "SELECT to_char(number, 'FM000'), 'Greeting', 'paused' FROM generate_series(1, :count) AS number"
        ),
        {"count": count},
    )
    answer = client.simulate_get("/api/v1/jobs", params={"limit": str(limit)}).json

    expected = [f"{number:03}" for number in range(1, count + 1)]
    assert [job["job_id"] for job in answer["jobs"]] == expected[:limit]
    assert (answer["next"] is None) == (count <= limit)


def test_no_connection_is_held_while_a_page_is_encoded(
    engine: Engine, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_on(engine, registry)
    add_job(client, "a")
    encode = pages.media.encode
    held: list[int] = []

    def watched(document: Any) -> bytes:
        held.append(engine.pool.checkedout())  # type: ignore[attr-defined]
        return encode(document)

    monkeypatch.setattr(pages.media, "encode", watched)
    for path in ("/jobs", "/runs", "/jobs/a/runs"):
        assert client.simulate_get(f"/api/v1{path}").status_code == 200

    assert held
    assert set(held) == {0}


def test_few_rows_are_read_at_once(engine: Engine, registry: Registry) -> None:
    asked: list[Any] = []
    event.listen(engine, "before_cursor_execute", lambda *args: asked.append(args[3]))
    client_on(engine, registry).simulate_get("/api/v1/jobs?limit=1000")

    limits = [value for parameters in asked for value in parameters.values()]
    assert limits == [pages.CHUNK_ROWS]


@pytest.mark.parametrize("path", ["/jobs", "/jobs/a", "/runs", "/service/state"])
def test_a_database_without_schema_is_unavailable_and_says_why(
    empty_database_url: str, registry: Registry, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    answer = client_on(create_engine(empty_database_url), registry).simulate_get(f"/api/v1{path}")

    error = "the schema of the database is not current: run `bayesian-jobs migrate`"
    assert assert_problem(answer, 503)["error"] == error
    assert answer.headers["retry-after"] == "5"
    (record,) = caplog.records
    assert error in record.getMessage()
    assert record.exc_info is None
    assert "\n" not in record.getMessage()


def test_a_column_that_is_absent_is_a_schema_that_is_not_current(
    client: testing.TestClient, connection: Connection
) -> None:
    connection.execute(text("ALTER TABLE jobs RENAME COLUMN misfire_grace_time TO other"))

    assert "bayesian-jobs migrate" in assert_problem(client.simulate_get("/api/v1/jobs"), 503)["error"]


def test_a_database_that_is_read_only_is_unavailable_for_changes(database_url: str, registry: Registry) -> None:
    read_only = create_engine(
        database_url, poolclass=NullPool, connect_args={"options": "-c default_transaction_read_only=on"}
    )
    client = client_on(read_only, registry)

    assert client.simulate_get("/api/v1/jobs").status_code == 200
    answer = client.simulate_put("/api/v1/jobs/a?state=paused")
    assert "read-only" in assert_problem(answer, 503)["error"]
    assert answer.headers["retry-after"] == "5"


@pytest.mark.parametrize("number", ["1e308", "-1e308", "5e-324", "1e100"])
def test_numbers_that_are_kept_small_and_come_back_long_count_as_what_comes_back(
    client: testing.TestClient, number: str
) -> None:
    """PostgreSQL writes 309 digits for 1e308: 250 kB of it came back as 13 MB, and a page of such jobs as 700."""
    numbers = ",".join([number] * 5000)
    body = f'{{"handler": "Greeting", "kwargs": {{"name": "x", "numbers": [{numbers}]}}}}'
    answer = client.simulate_post("/api/v1/jobs", body=body, headers={"Content-Type": "application/json"})

    assert "larger than 262144 bytes when its numbers are written out" in assert_problem(answer, 413)["error"]
