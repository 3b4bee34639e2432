"""`ETag`, `If-Match` and `If-None-Match`: nobody overwrites what somebody else has changed meanwhile."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from api_steps import add_job, assert_problem
from falcon import testing
from sqlalchemy import Connection, Engine, text
from waiting import wait_for

from bayesian_jobs.store import service

JOB = "/api/v1/jobs/a"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
DEFINITION = {"handler": "Greeting", "kwargs": {"name": "you"}, "periodically": "1 week"}
Change = Callable[..., testing.Result]


def tag_of(client: testing.TestClient) -> str:
    return client.simulate_get(JOB).headers["etag"]


def put(client: testing.TestClient, **headers: str) -> testing.Result:
    return client.simulate_put(JOB, json=DEFINITION, headers=with_dashes(headers))


def patch(client: testing.TestClient, **headers: str) -> testing.Result:
    return client.simulate_patch(JOB, json={"periodically": "1 day"}, headers=with_dashes(headers))


def pause(client: testing.TestClient, **headers: str) -> testing.Result:
    return client.simulate_put(JOB, params={"state": "paused"}, headers=with_dashes(headers))


def delete(client: testing.TestClient, **headers: str) -> testing.Result:
    return client.simulate_delete(JOB, headers=with_dashes(headers))


def run(client: testing.TestClient, **headers: str) -> testing.Result:
    return client.simulate_post(f"{JOB}/run", headers=with_dashes(headers))


CHANGES = [put, patch, pause, delete, run]


def with_dashes(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def test_every_answer_about_a_job_has_its_tag(client: testing.TestClient) -> None:
    created = client.simulate_put(JOB, json=DEFINITION)
    assert created.status_code == 201
    assert created.headers["etag"] == tag_of(client)
    for change in (patch, pause, put):
        before = tag_of(client)
        answer = change(client)
        assert answer.headers["etag"] == tag_of(client) != before
    posted = client.simulate_post("/api/v1/jobs/greeting?job_id=b", json={"name": "x"})
    assert posted.headers["etag"] == client.simulate_get("/api/v1/jobs/b").headers["etag"]


def test_a_request_that_changes_nothing_keeps_the_tag(client: testing.TestClient) -> None:
    created = put(client)
    assert put(client).headers["etag"] == created.headers["etag"]


def test_runs_do_not_change_the_tag(client: testing.TestClient) -> None:
    put(client)
    before = tag_of(client)

    assert client.simulate_post(f"{JOB}/run").status_code == 202
    assert client.simulate_get(JOB).json["last_run"] is not None
    assert tag_of(client) == before


def test_a_job_that_is_created_again_has_another_tag(client: testing.TestClient) -> None:
    old = put(client).headers["etag"]
    delete(client)
    add_job(client, "a")

    assert_problem(patch(client, If_Match=old), 412)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_under_the_tag_that_was_read_is_carried_out(client: testing.TestClient, change: Change) -> None:
    put(client)

    assert change(client, If_Match=tag_of(client)).status_code in (200, 202)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_what_was_changed_meanwhile_is_refused(client: testing.TestClient, change: Change) -> None:
    put(client)
    old = tag_of(client)
    client.simulate_patch(JOB, json={"kwargs": {"name": "other"}})
    before = client.simulate_get(JOB).json

    problem = assert_problem(change(client, If_Match=old), 412)
    assert problem["error"] == "Job 'a' is not what it was when you read it: it was changed"
    assert client.simulate_get(JOB).json == before


def test_one_of_several_tags_is_enough_and_a_weak_one_is_not(client: testing.TestClient) -> None:
    tag = put(client).headers["etag"]

    assert patch(client, If_Match=f'"7-7" , {tag}').status_code == 200
    assert_problem(pause(client, If_Match=f"W/{tag_of(client)}"), 412)


def test_a_star_asks_only_that_there_is_a_job(client: testing.TestClient) -> None:
    assert assert_problem(put(client, If_Match="*"), 412)["error"] == "There is no job 'a'"
    assert_problem(patch(client, If_Match="*"), 404)
    assert_problem(delete(client, If_Match="*"), 404)
    put(client)
    assert patch(client, If_Match="*").status_code == 200


def test_a_put_can_ask_to_create_only(client: testing.TestClient) -> None:
    assert put(client, If_None_Match="*").status_code == 201
    before = client.simulate_get(JOB).json

    assert assert_problem(put(client, If_None_Match="*"), 412)["error"] == "There is a job 'a' already"
    assert client.simulate_get(JOB).json == before


@pytest.mark.parametrize(
    ("header", "value"),
    [("If-Match", "7-1"), ("If-Match", ""), ("If-Match", '"7-1'), ("If-Match", '"7-1",'), ("If-None-Match", '"7-1"')],
)
def test_a_condition_that_cannot_be_read_is_named(offline: testing.TestClient, header: str, value: str) -> None:
    problem = assert_problem(offline.simulate_put(JOB, json=DEFINITION, headers={header: value}), 400)

    assert [error["option"] for error in problem["errors"]] == [header]


@pytest.mark.parametrize("change", [patch, pause])
def test_of_two_changes_at_once_under_one_tag_one_is_refused(
    client: testing.TestClient, connection: Connection, engine: Engine, change: Change
) -> None:
    """Both wait for the job's row, and so a tag that is judged before the row is locked would let both pass."""
    put(client)
    tag = tag_of(client)

    def both_wait() -> bool:
        return bool(connection.execute(text(WAITING)).scalar_one() == 2)

    with ThreadPoolExecutor(2) as threads:
        with engine.begin() as other:
            other.execute(text("SELECT FROM jobs FOR UPDATE"))
            answers = [
                threads.submit(change, client, If_Match=tag),
                threads.submit(client.simulate_patch, JOB, json={"kwargs": {"name": "b"}}, headers={"If-Match": tag}),
            ]
            wait_for(both_wait, "two requests that wait for the row")
        statuses = sorted(answer.result().status_code for answer in answers)

    assert statuses == [200, 412]


SERVICE = "/api/v1/service/state"


def test_the_state_of_the_service_has_a_tag_that_changes_with_it(client: testing.TestClient) -> None:
    tags = [client.simulate_get(SERVICE).headers["etag"]]
    for query in ("state=paused", "state=paused&reason=disks", "state=running"):
        tags.append(client.simulate_put(f"{SERVICE}?{query}", headers={"If-Match": tags[-1]}).headers["etag"])
        assert client.simulate_get(SERVICE).headers["etag"] == tags[-1]
    assert len(set(tags)) == 4


def test_a_change_of_a_service_that_was_changed_meanwhile_is_refused(client: testing.TestClient) -> None:
    old = client.simulate_get(SERVICE).headers["etag"]
    client.simulate_put(f"{SERVICE}?state=paused&reason=disks")

    problem = assert_problem(client.simulate_put(f"{SERVICE}?state=running", headers={"If-Match": old}), 412)
    assert problem["error"] == "The service is not what it was when you read it: its state was changed"
    assert client.simulate_get(SERVICE).json == {"state": "paused", "reason": "disks"}


def test_of_two_changes_of_the_service_at_once_under_one_tag_one_is_refused(
    client: testing.TestClient, connection: Connection, engine: Engine
) -> None:
    """Both wait for the service's lock, and so a tag that is judged before would let both pass."""
    headers = {"If-Match": client.simulate_get(SERVICE).headers["etag"]}

    def pause_for(reason: str) -> testing.Result:
        return client.simulate_put(f"{SERVICE}?state=paused&reason={reason}", headers=headers)

    with ThreadPoolExecutor(2) as threads:
        with engine.begin() as other:
            service.lock(other)
            answers = [threads.submit(pause_for, reason) for reason in ("one", "other")]
            wait_for(lambda: connection.execute(text(WAITING)).scalar_one() == 2, "two requests that wait")
        statuses = sorted(answer.result().status_code for answer in answers)

    assert statuses == [200, 412]


@pytest.mark.parametrize(
    ("method", "path", "header"),
    [
        ("POST", "/jobs", "If-Match"),
        ("POST", "/jobs/greeting", "If-None-Match"),
        ("POST", "/runs/7/retry", "If-Match"),
        ("POST", "/runs/7/cancel", "If-Match"),
        ("POST", "/tokens", "Idempotency-Key"),
        ("POST", "/tokens", "If-None-Match"),
        ("DELETE", "/tokens/a", "If-Match"),
        ("DELETE", "/jobs/clean-failed", "If-Match"),
        ("DELETE", "/jobs/a", "If-None-Match"),
        ("PATCH", "/jobs/a", "If-None-Match"),
        ("PUT", "/service/state?state=paused", "If-None-Match"),
    ],
)
def test_a_precaution_that_a_request_does_not_take_is_refused_and_not_passed_over(
    offline: testing.TestClient, method: str, path: str, header: str
) -> None:
    answer = offline.simulate_request(method, f"/api/v1{path}", headers={header: "*"})

    (error,) = assert_problem(answer, 400)["errors"]
    assert (error["option"], error["value"]) == (header, "*")
    assert error["reason"] == "is not taken by this request, which would do its work regardless"
