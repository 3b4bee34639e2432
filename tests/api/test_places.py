"""`Location`: an answer that something was made or accepted says where it is found."""

import pytest
from api_steps import add_job, add_run
from falcon import testing
from sqlalchemy import Connection

BODY = {"name": "you"}


@pytest.mark.parametrize("job_id", ["a", "ě š", "a?b#c", "100%", "a\\b"])
def test_a_job_that_was_made_is_found_where_its_answer_says(client: testing.TestClient, job_id: str) -> None:
    made = client.simulate_post("/api/v1/jobs", json={"handler": "Greeting", "kwargs": BODY, "job_id": job_id})
    assert made.status_code == 201
    assert client.simulate_get(made.headers["location"]).json == made.json["job"]

    client.simulate_delete(made.headers["location"])
    definition = {"handler": "Greeting", "kwargs": BODY}
    created, again = (client.simulate_put(made.headers["location"], json=definition) for _ in range(2))
    assert (created.status_code, created.headers["location"]) == (201, made.headers["location"])
    assert (again.status_code, again.headers.get("location")) == (200, None)


def test_a_job_of_which_only_the_handler_was_named_is_found(client: testing.TestClient) -> None:
    made = client.simulate_post("/api/v1/jobs/greeting", json=BODY)
    assert client.simulate_get(made.headers["location"]).json["job_id"] == made.json["job"]["job_id"]


def test_a_run_that_was_accepted_is_found_where_its_answer_says(
    client: testing.TestClient, connection: Connection
) -> None:
    add_job(client, "a", when="2100-01-01")
    failed = add_run(connection, "a", "2026-11-23T10:00:00Z", "failed")
    run_id = accepted(client, "/api/v1/jobs/a/run")
    assert accepted(client, f"/api/v1/runs/{run_id}/cancel") == run_id
    assert accepted(client, f"/api/v1/runs/{failed}/retry") not in (run_id, failed)


def accepted(client: testing.TestClient, path: str) -> str:
    """The run_id of the answer, which is that of what is found there."""
    answer = client.simulate_post(path)
    assert answer.status_code == 202, answer.text
    run_id: str = answer.json["run"]["run_id"]
    assert client.simulate_get(answer.headers["location"]).json["run_id"] == run_id
    return run_id


def test_what_is_only_told_is_nowhere(client: testing.TestClient) -> None:
    told = client.simulate_post("/api/v1/jobs/greeting?dry_run=true", json=BODY)
    assert (told.status_code, told.headers.get("location")) == (200, None)
