"""What the service keeps of a job itself, nobody sets from outside."""

from typing import Any

import pytest
from api_steps import add_job, assert_problem
from falcon import testing

from bayesian_jobs.lifecycle.options import OPTIONS
from bayesian_jobs.store import tables

BASE = "/api/v1"
KEPT = sorted({str(column.name) for column in tables.jobs.c} - set(OPTIONS) - {"handler", "kwargs"})
SHOWN = ["next_run_at", "last_run", "paused", "error", "created_at", "updated_at", "version"]


@pytest.fixture
def before(client: testing.TestClient) -> dict[str, Any]:
    return add_job(client, "a", when="2999-01-01")


def test_a_field_that_is_no_option_is_refused_and_changes_nothing(
    client: testing.TestClient, before: dict[str, Any]
) -> None:
    for field in {*KEPT, *SHOWN, "__class__", "failed_job_id", "runs"}:
        value = before.get(field) or 1
        body = {"handler": "Greeting", "kwargs": {"name": "you"}, field: value}
        for answer in (
            client.simulate_post(f"{BASE}/jobs", json=body),
            client.simulate_post(f"{BASE}/jobs/greeting", params={field: "1"}, json={"name": "you"}),
            client.simulate_put(f"{BASE}/jobs/a", json=body),
            client.simulate_patch(f"{BASE}/jobs/a", json={field: value}),
        ):
            assert field in assert_problem(answer, 400)["error"]
    assert client.simulate_get(f"{BASE}/jobs/a").json == before
    assert client.simulate_get(f"{BASE}/jobs").json["jobs_count"] == 1
