"""`GET /failures`: what has failed, by what went wrong."""

import json
from typing import Any

from api_steps import add_failure
from falcon import testing
from sqlalchemy import Connection, text

from bayesian_jobs.store import failures


def add(connection: Connection, job_id: str, error: str, **more: Any) -> None:
    add_failure(connection, job_id)
    kwargs = {"exc_str": error, "failed_job_handler": "Greeting", **more}
    statement = text("UPDATE jobs SET kwargs = CAST(:kwargs AS jsonb) WHERE job_id = :job_id")
    connection.execute(statement, {"kwargs": json.dumps(kwargs), "job_id": job_id})


def test_failures_are_grouped_by_handler_and_error_without_its_numbers(
    client: testing.TestClient, connection: Connection
) -> None:
    for number in range(7):
        error = f"ValueError: no release {number}\nwith details"
        add(connection, f"a{number}", error, failed_job_id=f"job {number}", run_id=f"run {number}")
    add(connection, "b", "ValueError: no release 1", failed_job_handler="Other")
    add(connection, "c", "KeyError: 'name'", failed_job_id="job 1")

    found = client.simulate_get("/api/v1/failures").json

    assert found["failures_count"] == 3
    kinds = {(each["handler"], each["error"]): each for each in found["failures"]}
    assert {kind: each["count"] for kind, each in kinds.items()} == {
        ("Greeting", "ValueError: no release #"): 7,
        ("Other", "ValueError: no release #"): 1,
        ("Greeting", "KeyError: 'name'"): 1,
    }
    releases = kinds["Greeting", "ValueError: no release #"]
    assert releases["run_ids"] == [f"run {number}" for number in reversed(range(7))]
    assert releases["job_ids"] == [f"job {number}" for number in range(5)]
    assert kinds["Greeting", "KeyError: 'name'"]["run_ids"] == []
    assert found["failures"] == sorted(found["failures"], key=lambda each: each["last_at"], reverse=True)


def test_an_entry_that_somebody_has_made_of_anything_is_a_group_too(
    client: testing.TestClient, connection: Connection
) -> None:
    add_failure(connection, "made by hand")

    [found] = client.simulate_get("/api/v1/failures").json["failures"]

    assert (found["handler"], found["error"], found["count"], found["job_ids"]) == (None, None, 1, [])


def test_of_very_many_entries_only_the_newest_are_read(connection: Connection) -> None:
    connection.execute(
        text("""
            INSERT INTO jobs (job_id, handler, state, kwargs)
            SELECT 'entry ' || lpad(n::text, 5, '0'), 'ErrorHandler', 'paused',
                   jsonb_build_object('exc_str', CASE WHEN n > 5000 THEN 'new' ELSE 'old' END)
            FROM generate_series(1, 6000) AS n
        """)
    )
    connection.execute(text("ANALYZE jobs"))
    [group] = failures.groups(connection)
    assert (group["error"], group["count"]) == ("new", failures.MOST_ENTRIES)

    explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {failures.GROUPS}").scalar_one()[0]
    assert rows_read(explained["Plan"]) == failures.MOST_ENTRIES


def rows_read(plan: dict[str, Any]) -> float:
    """Of the table, by all scans of the plan."""
    own = plan["Actual Rows"] if plan.get("Relation Name") == "jobs" else 0
    return float(own + sum(rows_read(each) for each in plan.get("Plans", [])))
