"""What cannot be used has the answer that docs/reference/refusals.md shows, and leaves nothing behind."""

import re
from pathlib import Path

import pytest
from api_steps import assert_problem, client_on
from falcon import testing
from sqlalchemy import Connection, Engine, text

from bayesian_jobs.handlers.registry import Registry, discover

PAGE = (Path(__file__).parents[2] / "docs/reference/refusals.md").read_text("utf-8")
ROWS = re.findall(r"^\| (.+?) \| `(.+)` \| (4\d\d) `(.+)` \|$", PAGE, re.MULTILINE)
TAKEN = '{"handler": "PruneHistory", "job_id": "taken"}'


def written_out(shown: str) -> str:
    """`x{3}` is `xxx`."""
    return re.sub(r"(\S)\{(\d+)\}", lambda times: times[1] * int(times[2]), shown)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return discover([])


@pytest.fixture
def client(engine: Engine, registry: Registry) -> testing.TestClient:
    client = client_on(engine, registry)
    assert post(client, TAKEN).status_code == 201
    return client


def post(client: testing.TestClient, body: str) -> testing.Result:
    return client.simulate_post("/api/v1/jobs", body=body, headers={"Content-Type": "application/json"})


def test_every_bad_input_has_the_answer_that_the_page_shows_and_nothing_is_stored(
    client: testing.TestClient, connection: Connection
) -> None:
    assert len(ROWS) > 30
    assert len(ROWS) == len(re.findall(r"^\| .+`.+` \|$", PAGE, re.MULTILINE)), "a row that is not read"
    for what, sent, status, error in ROWS:
        problem = assert_problem(post(client, written_out(sent)), int(status))
        assert problem["error"] == written_out(error), what
    assert connection.execute(text("SELECT job_id FROM jobs")).all() == [("taken",)]
