"""Rows that plain SQL has written with what Python cannot read: nothing that tells of jobs fails, none is hidden."""

from collections.abc import Iterator

import pytest
from falcon import testing
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.api.app import create_app
from bayesian_jobs.bootstrap import assemble
from bayesian_jobs.settings import load

BC, FAR, LONG = "'0044-03-15 BC'", "'20000-01-01'", "interval '170000000 years'"
ROWS = {
    **{
        f"{column} BC": {column: BC} for column in ("starts_at", "next_run_at", "created_at", "updated_at", "paused_at")
    },
    "starts in the year 20000": {"starts_at": FAR},
    "created at no time": {"created_at": "'infinity'"},
    "created before all times": {"created_at": "'-infinity'", "version": "2"},
    "changed after all times": {"updated_at": "'infinity'", "version": "2"},
    "ends BC": {"period": "interval '1 hour'", "ends_at": BC},
    "paused until BC": {"paused_until": BC, "paused_reason": "E'a\\nb'"},
    "a last run BC": {"last_run_id": "gen_random_uuid()", "last_scheduled_for": BC},
    "open runs BC": {"open_runs": "ARRAY['0044-03-15 BC', '20000-01-01']::timestamptz[]"},
    "grace without end": {"misfire_grace_time": LONG, "next_run_at": "now() - interval '1 hour'"},
    "jitter without end": {"jitter": LONG, "period": "interval '1 hour'", "next_run_at": "now()"},
    "limit without end": {"time_limit": LONG, "retry_delay": LONG},
    "a month": {"period": "interval '1 month'"},
    "signs mixed": {"period": "interval '2 days -1 hour'"},
    "bad cron": {"cron": "'nonsense'"},
    "bad zone": {"cron": "'@daily'", "timezone": "'Mars/Olympus'"},
    "deep kwargs": {"kwargs": "(repeat('[', 3000) || repeat(']', 3000))::jsonb"},
    "huge number": {"kwargs": """'{"number": 1e5000}'"""},
    "no tag": {"tags": "'{NULL}'"},
}
TIMES = ("", "?at=1970-01-01", "?at=2026-11-25", "?at=2100-01-01T00:00:00.5Z", "?at=9000-12-31T23:59:59.999999Z")


@pytest.fixture
def client(database_url: str) -> Iterator[testing.TestClient]:
    services = assemble(load({"DATABASE_URL": database_url}), "test")
    yield testing.TestClient(create_app(services), headers={"Host": "localhost"})
    services.engine.dispose()


@pytest.mark.parametrize("state", ["pending", "paused", "running", "finished"])
def test_no_row_that_the_database_takes_makes_an_answer_fail(service, client, state: str) -> None:
    """What a state does not allow at all, the database refuses; of the rest, whatever asks for it gets an answer."""
    service.add("good", when="2100-01-01")
    tried = 0
    for name, columns in ROWS.items():
        values = {"job_id": "'odd'", "handler": "'Noop'", "state": f"'{state}'", **columns}
        try:
            service.execute_sql(f"INSERT INTO jobs ({', '.join(values)}) VALUES ({', '.join(values.values())})")
        except DBAPIError:
            continue
        tried += 1
        listed = client.simulate_get("/api/v1/jobs")
        assert (listed.status_code, listed.json.get("jobs_count")) == (200, 2), name
        for path in ("", "/runs", *(f"/explain{at}" for at in TIMES)):
            answer = client.simulate_get(f"/api/v1/jobs/odd{path}")
            assert answer.status_code == 200, (name, path, answer.text)
        assert client.simulate_get("/api/v1/jobs/odd/upcoming").status_code in (200, 400), name
        service.execute_sql("DELETE FROM jobs WHERE job_id = 'odd'")
    assert tried == {"pending": len(ROWS), "paused": 16, "running": 15, "finished": 16}[state]
