"""Every cursor that the service gives is one that it takes."""

from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from api_steps import add_job
from falcon import testing
from hypothesis import example, given
from hypothesis import strategies as st

from bayesian_jobs.api import cursors
from bayesian_jobs.domain.job import LONGEST_JOB_ID, parse_job_id
from bayesian_jobs.errors import InvalidOptions, InvalidValue

REQUEST_LINE = 4094
"""What gunicorn.conf.py lets a request line have."""


def is_job_id(text: str) -> bool:
    try:
        return parse_job_id(text) == text
    except InvalidValue:
        return False


job_ids = st.text(min_size=1, max_size=LONGEST_JOB_ID).filter(is_job_id)


@given(job_id=job_ids)
@example(job_id="a\u00a0b")
@example(job_id="\u200b")
@example(job_id="\u202e")
@example(job_id="\ufeff")
@example(job_id="\ue000")
@example(job_id="\u0378")
@example(job_id="\U0001f4a9" * LONGEST_JOB_ID)
@example(job_id='"' * LONGEST_JOB_ID)
def test_every_job_id_comes_back_from_its_cursor(job_id: str) -> None:
    cursor = cursors.job_cursor(job_id)

    assert cursors.read_job_cursor(cursor) == job_id
    query = urlencode({"job_type": "failed", "state": "running", "limit": 1000, "after": cursor})
    assert len(f"GET /api/v1/jobs?{query} HTTP/1.1\r\n") < REQUEST_LINE


moments = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 - hypothesis adds the time zone
    datetime(9000, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(moment=moments, run_id=st.uuids())
def test_every_run_comes_back_from_its_cursor(moment: datetime, run_id: object) -> None:
    assert cursors.read_run_cursor(cursors.run_cursor(moment, str(run_id))) == (moment, str(run_id))


@pytest.mark.parametrize("job_id", ["", "a\0b", "x" * (LONGEST_JOB_ID + 1)])
def test_a_cursor_that_the_database_cannot_compare_is_refused(job_id: str) -> None:
    with pytest.raises(InvalidOptions):
        cursors.read_job_cursor(cursors.job_cursor(job_id))


def test_a_cursor_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(InvalidOptions):
        cursors.read_job_cursor("WyJqb2IiLCAiXHVkODAwIl0")


def test_pages_go_past_job_ids_that_cannot_be_printed(client: testing.TestClient) -> None:
    expected = {"a\u00a0b", "\u202e", "\ue000", "\U0001f4a9" * LONGEST_JOB_ID}
    for job_id in expected:
        add_job(client, job_id)
    seen: list[str] = []
    query = {"limit": "1"}
    for _ in expected:
        answer = client.simulate_get("/api/v1/jobs", params=query)
        assert answer.status_code == 200, answer.text
        seen += [job["job_id"] for job in answer.json["jobs"]]
        query["after"] = answer.json["next"]

    assert query["after"] is None
    assert len(seen) == len(expected)
    assert set(seen) == expected
