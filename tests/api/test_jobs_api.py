"""Adding, listing, reading, changing and removing jobs over HTTP."""

from typing import Any
from urllib.parse import quote

import pytest
from api_steps import add_failure, add_job, add_run, assert_problem
from falcon import testing
from sqlalchemy import Connection, text

JOB_FIELDS = {
    "job_id", "handler", "kwargs", "state", "when", "periodically", "end", "timezone", "jitter", "misfire_grace_time",
    "catch_up", "max_concurrent_runs", "overlap", "queue", "priority", "max_retries", "retry_delay", "time_limit",
    "description", "tags",
    "next_run_at", "last_run", "paused", "error", "created_at", "updated_at", "version",
}  # fmt: skip


def ids(answer: testing.Result) -> list[str]:
    assert answer.status_code == 200, answer.text
    assert answer.json["jobs_count"] == len(answer.json["jobs"])
    return [job["job_id"] for job in answer.json["jobs"]]


def test_a_handlers_endpoint_adds_a_job_from_query_and_body(client: testing.TestClient) -> None:
    query = {"job_id": "g", "periodically": "1 week", "when": "2026-01-05", "misfire_grace_time": "1 hour"}
    answer = client.simulate_post("/api/v1/jobs/greeting", params=query, json={"name": "world", "times": 2})

    assert answer.status_code == 201
    job = answer.json["job"]
    assert job.keys() == JOB_FIELDS
    assert job["handler"] == "Greeting"
    assert job["kwargs"] == {"name": "world", "times": 2}
    assert (job["periodically"], job["misfire_grace_time"]) == ("1 week", "1 hour")
    assert job["when"] == "2026-01-05T00:00:00Z"
    assert job["state"] == "running"
    assert job["next_run_at"].endswith("T00:00:00Z")
    assert job["last_run"] is None
    assert client.simulate_get("/api/v1/jobs/g").json == job


def test_a_job_without_job_id_gets_one(client: testing.TestClient) -> None:
    job = client.simulate_post("/api/v1/jobs/greeting?state=paused", json={"name": "world"}).json["job"]

    assert job["state"] == "paused"
    assert job["next_run_at"] is None
    assert client.simulate_get(f"/api/v1/jobs/{job['job_id']}").status_code == 200


def test_any_handlers_job_is_added_by_body(client: testing.TestClient) -> None:
    job = add_job(client, "cron", periodically="*/5 * * * *", timezone="Europe/Prague")

    assert (job["periodically"], job["timezone"]) == ("*/5 * * * *", "Europe/Prague")


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_stored(client: testing.TestClient) -> None:
    query = {"periodically": "1 month", "when": "yesterday-ish", "misfire_grace_time": "90"}
    problem = assert_problem(client.simulate_post("/api/v1/jobs/greeting", params=query, json={"times": "x"}), 400)

    found = {error["option"]: error["value"] for error in problem["errors"]}
    assert found == {**query, "kwargs.times": "x", "kwargs.name": None}
    assert "periodically: '1 month': " in problem["error"]
    assert ids(client.simulate_get("/api/v1/jobs")) == []


@pytest.mark.parametrize(
    ("body", "option"),
    [
        ({"handler": "Nope"}, "handler"),
        ({"kwargs": {}}, "handler"),
        ({"handler": "Greeting", "kwargs": {"name": "x"}, "interval": "1 day"}, "interval"),
        ({"handler": "Greeting", "kwargs": []}, "kwargs"),
        ({"handler": "Greeting", "kwargs": {"name": "x"}, "job_id": ""}, "job_id"),
        ({"handler": "Greeting", "kwargs": {"name": "x"}, "job_id": "a\u0007"}, "job_id"),
        ({"handler": "Greeting", "kwargs": {"name": "x"}, "job_id": "x" * 10_000}, "job_id"),
        ({"handler": "Greeting", "kwargs": {"name": "x"}, "job_id": 3}, "job_id"),
        ({"handler": "Greeting", "kwargs": {"name": "x"}, "state": "stopped"}, "state"),
        ({"handler": "Greeting", "kwargs": {"name": "x"}, "periodically": "0 0 30 2 *"}, "periodically"),
        ({"handler": "Greeting", "kwargs": {"name": "x"}, "periodically": 5}, "periodically"),
        ({"handler": ["Greeting"]}, "handler"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(client: testing.TestClient, body: Any, option: str) -> None:
    problem = assert_problem(client.simulate_post("/api/v1/jobs", json=body), 400)

    assert [error["option"] for error in problem["errors"]] == [option]


def test_a_job_id_that_exists_is_a_conflict(client: testing.TestClient) -> None:
    add_job(client, "a")
    answer = client.simulate_post("/api/v1/jobs/greeting?job_id=a", json={"name": "x"})

    assert assert_problem(answer, 409)["error"] == "A job with id 'a' already exists"


@pytest.mark.parametrize("endpoint", ["nope", "Greeting", "error-handler", "clean-failed-", ""])
def test_an_endpoint_of_no_handler_is_not_found(client: testing.TestClient, endpoint: str) -> None:
    assert_problem(client.simulate_post(f"/api/v1/jobs/{endpoint}", json={}), 404)
    assert_problem(client.simulate_post(f"/api/v1/jobs/{endpoint}", params={"reason": "x"}), 404)


def test_a_job_named_like_an_endpoint_stays_reachable(client: testing.TestClient) -> None:
    add_job(client, "greeting")

    assert client.simulate_get("/api/v1/jobs/greeting").json["job_id"] == "greeting"
    assert client.simulate_put("/api/v1/jobs/greeting?state=paused").json == {
        "job_id": "greeting",
        "state": "paused",
    }
    assert client.simulate_post("/api/v1/jobs/greeting", json={"name": "x"}).status_code == 201
    assert client.simulate_delete("/api/v1/jobs/greeting").json == {"removed": ["greeting"]}


@pytest.mark.parametrize("job_id", ["ě š", "a%b", "';--", "%s", "{}", "a?b#c", "\u202e", "<script>", "..."])
def test_odd_job_ids_go_through_every_route(client: testing.TestClient, job_id: str) -> None:
    add_job(client, job_id)
    path = f"/api/v1/jobs/{quote(job_id, safe='')}"

    assert client.simulate_get(path).json["job_id"] == job_id
    assert client.simulate_get(f"{path}/runs").json == {"runs": [], "runs_count": 0, "next": None}
    assert client.simulate_put(path, params={"state": "paused"}).json["state"] == "paused"
    assert client.simulate_delete(path).json == {"removed": [job_id]}


def test_pausing_and_resuming(client: testing.TestClient) -> None:
    add_job(client, "a", periodically="1 day")

    assert client.simulate_put("/api/v1/jobs/a?state=paused").json == {"job_id": "a", "state": "paused"}
    assert client.simulate_get("/api/v1/jobs/a").json["next_run_at"] is None
    assert client.simulate_put("/api/v1/jobs/a?state=running").json == {"job_id": "a", "state": "running"}
    assert client.simulate_get("/api/v1/jobs/a").json["next_run_at"] is not None


@pytest.mark.parametrize("query", ["", "?state=", "?state=stopped", "?state=finished", "?state=running&state=paused"])
def test_a_state_that_cannot_be_is_refused(client: testing.TestClient, query: str) -> None:
    add_job(client, "a", periodically="1 day")
    problem = assert_problem(client.simulate_put(f"/api/v1/jobs/a{query}"), 400)

    assert problem["errors"][0]["option"] == "state"


def test_a_change_of_state_takes_no_body(client: testing.TestClient) -> None:
    add_job(client, "a")

    assert_problem(client.simulate_put("/api/v1/jobs/a?state=paused", json={"when": "now"}), 400)


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_an_unknown_job_is_not_found(client: testing.TestClient, method: str) -> None:
    query = "?state=paused" if method == "PUT" else ""
    problem = assert_problem(client.simulate_request(method, f"/api/v1/jobs/nope{query}"), 404)

    assert problem["error"] == "No such job with id 'nope'"


def test_job_type_tells_failure_entries_from_jobs(client: testing.TestClient, connection: Connection) -> None:
    add_job(client, "user")
    add_failure(connection, "failure")

    assert ids(client.simulate_get("/api/v1/jobs")) == ["failure", "user"]
    assert ids(client.simulate_get("/api/v1/jobs?job_type=all")) == ["failure", "user"]
    assert ids(client.simulate_get("/api/v1/jobs?job_type=failed")) == ["failure"]
    assert ids(client.simulate_get("/api/v1/jobs?job_type=user")) == ["user"]


def test_failure_entries_are_removed_together(client: testing.TestClient, connection: Connection) -> None:
    add_job(client, "user")
    add_failure(connection, "b")
    add_failure(connection, "a")

    assert client.simulate_delete("/api/v1/jobs/clean-failed").json == {"removed": ["a", "b"]}
    assert client.simulate_delete("/api/v1/jobs/clean-failed").json == {"removed": []}
    assert ids(client.simulate_get("/api/v1/jobs")) == ["user"]


def test_jobs_are_filtered(client: testing.TestClient) -> None:
    add_job(client, "a", state="paused")
    add_job(client, "b", kwargs={"name": "100% you_"})

    assert ids(client.simulate_get("/api/v1/jobs?state=paused")) == ["a"]
    assert ids(client.simulate_get("/api/v1/jobs", params={"text": "0% YOU_"})) == ["b"]
    assert ids(client.simulate_get("/api/v1/jobs?handler=Greeting&state=running")) == ["b"]
    assert ids(client.simulate_get("/api/v1/jobs?handler=Nope")) == []


def test_paging_visits_every_job_once_in_order(client: testing.TestClient) -> None:
    for number in range(7):
        add_job(client, f"job {number}")
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        answer = client.simulate_get("/api/v1/jobs", params={"limit": "3", **after})
        seen += ids(answer)
        if answer.json["next"] is None:
            break
        after = {"after": answer.json["next"]}

    assert seen == [f"job {number}" for number in range(7)]


@pytest.mark.parametrize(
    ("query", "option"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.5", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=", "limit"),
        ("after=", "after"),
        ("after=nonsense", "after"),
        ("after=WyJqb2IiLCAiYVx1MDAwMCJd", "after"),
        ("after=WyJydW4iLCAiYSIsICJiIl0", "after"),
        ("after=" + "W1" * 5000, "after"),
        ("job_type=none", "job_type"),
        ("state=active", "state"),
        ("stat=running", "stat"),
        ("text=%00", "text"),
        ("handler=a&handler=b", "handler"),
    ],
)
def test_a_query_that_cannot_be_used_is_named(client: testing.TestClient, query: str, option: str) -> None:
    problem = assert_problem(client.simulate_get("/api/v1/jobs", query_string=query), 400)

    assert [error["option"] for error in problem["errors"]] == [option]


def test_a_job_shows_its_last_run(client: testing.TestClient, connection: Connection) -> None:
    add_job(client, "a")
    run_id = add_run(connection, "a", "2026-11-23T10:00:00Z", "failed", started_at="2026-11-23T10:00:01Z")
    connection.execute(
        text("UPDATE jobs SET last_run_id = CAST(:run_id AS uuid), last_scheduled_for = '2026-11-23T10:00:00Z'"),
        {"run_id": run_id},
    )

    assert client.simulate_get("/api/v1/jobs/a").json["last_run"] == {
        "run_id": run_id,
        "scheduled_for": "2026-11-23T10:00:00Z",
        "state": "failed",
        "started_at": "2026-11-23T10:00:01Z",
        "finished_at": None,
    }


def test_put_with_a_body_creates_and_then_replaces(client: testing.TestClient) -> None:
    body = {"handler": "Greeting", "kwargs": {"name": "world"}, "periodically": "1 week"}
    created = client.simulate_put("/api/v1/jobs/g", json=body)
    again = client.simulate_put("/api/v1/jobs/g", json=body)
    replaced = client.simulate_put("/api/v1/jobs/g", json=body | {"periodically": "1 day"})

    assert [answer.status_code for answer in (created, again, replaced)] == [201, 200, 200]
    assert again.json == created.json
    assert replaced.json["job"]["periodically"] == "1 day"
    assert client.simulate_get("/api/v1/jobs/g").json == replaced.json["job"]


def test_a_put_without_state_and_body_says_what_it_takes(client: testing.TestClient) -> None:
    add_job(client, "a")
    assert "state" in assert_problem(client.simulate_put("/api/v1/jobs/a"), 400)["error"]
    assert "state" in assert_problem(client.simulate_put("/api/v1/jobs/a", json={}), 400)["error"]


def test_patch_changes_some_options(client: testing.TestClient) -> None:
    job = add_job(client, "a", periodically="1 week", misfire_grace_time="1 hour")
    answer = client.simulate_patch("/api/v1/jobs/a", json={"misfire_grace_time": None, "state": "paused"})

    assert answer.status_code == 200
    changed = answer.json["job"]
    assert (changed["misfire_grace_time"], changed["state"]) == (None, "paused")
    assert (changed["periodically"], changed["when"]) == (job["periodically"], job["when"])


def test_a_wrong_patch_names_all_that_is_wrong(client: testing.TestClient) -> None:
    before = add_job(client, "a", periodically="1 week")
    problem = assert_problem(client.simulate_patch("/api/v1/jobs/a", json={"periodically": "90", "colour": "red"}), 400)

    assert {error["option"] for error in problem["errors"]} == {"periodically", "colour"}
    assert client.simulate_get("/api/v1/jobs/a").json == before
    assert_problem(client.simulate_patch("/api/v1/jobs/none", json={}), 404)


def test_a_patch_without_a_body_is_a_mistake(client: testing.TestClient) -> None:
    before = add_job(client, "a")

    assert assert_problem(client.simulate_patch("/api/v1/jobs/a"), 400)["error"] == "The body is absent"
    assert client.simulate_patch("/api/v1/jobs/a", json={}).json == {"job": before}


def test_upcoming_fire_times_are_told_as_many_as_asked_for(client: testing.TestClient) -> None:
    add_job(client, "a", periodically="0 5 * * *", timezone="UTC")
    times = client.simulate_get("/api/v1/jobs/a/upcoming?count=3").json["upcoming"]

    assert [time[10:] for time in times] == ["T05:00:00Z"] * 3
    assert times == sorted(set(times))
    assert len(client.simulate_get("/api/v1/jobs/a/upcoming").json["upcoming"]) == 10
    assert_problem(client.simulate_get("/api/v1/jobs/none/upcoming"), 404)


@pytest.mark.parametrize("count", ["0", "1001", "-1", "ten", "1.5", ""])
def test_a_count_out_of_bounds_is_named(client: testing.TestClient, count: str) -> None:
    add_job(client, "a")
    problem = assert_problem(client.simulate_get("/api/v1/jobs/a/upcoming", params={"count": count}), 400)
    assert problem["errors"][0]["option"] == "count"


def test_jobs_are_found_by_their_tags(client: testing.TestClient) -> None:
    answer = client.simulate_post("/api/v1/jobs/greeting?job_id=a&tags=red, round&priority=1", json={"name": "x"})
    assert answer.status_code == 201, answer.text
    assert (answer.json["job"]["tags"], answer.json["job"]["priority"]) == (["red", "round"], 1)
    add_job(client, "b", tags=["round"])
    add_job(client, "c")
    assert ids(client.simulate_get("/api/v1/jobs", params={"tag": "round"})) == ["a", "b"]
    assert ids(client.simulate_get("/api/v1/jobs", params={"tag": "red"})) == ["a"]
    assert ids(client.simulate_get("/api/v1/jobs", params={"tag": "re"})) == []


def test_a_pause_of_a_job_says_why_and_until_when(client: testing.TestClient) -> None:
    add_job(client, "j", periodically="1 hour")
    query = {"state": "paused", "reason": "npm is down", "until": "2999-01-01T06:00"}
    assert client.simulate_put("/api/v1/jobs/j", params=query).json == {"job_id": "j", "state": "paused"}
    paused = client.simulate_get("/api/v1/jobs/j").json["paused"]
    assert paused.pop("since").endswith("Z")
    assert paused == {"reason": "npm is down", "until": "2999-01-01T06:00:00Z"}
    client.simulate_put("/api/v1/jobs/j?state=running")
    assert client.simulate_get("/api/v1/jobs/j").json["paused"] is None


@pytest.mark.parametrize(
    "query",
    ["?reason=x", "?until=2999-01-01", "?state=running&until=2999-01-01", "?state=paused&until=2020-01-01",
     "?state=paused&until=soon", "?state=paused&reason=", "?state=paused&reason=a%0Ab"],
)  # fmt: skip
def test_a_pause_that_cannot_be_meant_is_refused(client: testing.TestClient, query: str) -> None:
    job = add_job(client, "j", periodically="1 hour")
    assert_problem(client.simulate_put(f"/api/v1/jobs/j{query}"), 400)
    assert client.simulate_get("/api/v1/jobs/j").json == job


def test_a_time_is_explained_in_words_and_in_fields(client: testing.TestClient, connection: Connection) -> None:
    job = add_job(client, "j", periodically="1 hour", when="2026-01-05T00:00")
    at = job["next_run_at"]
    answer = client.simulate_get(f"/api/v1/jobs/j/explain?at={at}")
    assert answer.status_code == 200
    assert answer.json.keys() == {
        "job_id", "at", "now", "verdict", "explanation", "fire_time", "previous", "next", "run",
    }  # fmt: skip
    assert (answer.json["verdict"], answer.json["fire_time"], answer.json["run"]) == ("will_run", at, None)
    assert answer.json["explanation"].startswith(f"The job will run at {at}")

    run_id = add_run(connection, "j", at)
    answer = client.simulate_get(f"/api/v1/jobs/j/explain?at={at}")
    assert (answer.json["verdict"], answer.json["run"]["run_id"]) == ("succeeded", run_id)
    assert client.simulate_get("/api/v1/jobs/j/explain").json["verdict"] == "no_fire_time"


def test_what_cannot_be_explained_is_refused(client: testing.TestClient) -> None:
    assert_problem(client.simulate_get("/api/v1/jobs/none/explain"), 404)
    add_job(client, "j", periodically="1 hour")
    problem = assert_problem(client.simulate_get("/api/v1/jobs/j/explain?at=tomorrow-ish"), 400)
    assert problem["errors"][0]["option"] == "at"
    assert_problem(client.simulate_get("/api/v1/jobs/j/explain?when=2026-01-01"), 400)
