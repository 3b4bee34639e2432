"""`GET /statistics` and `GET /processes`: how the service is doing, and who works for it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from api_steps import add_job, assert_problem
from falcon import testing
from sqlalchemy import Connection, text

from bayesian_jobs.store import processes, statistics
from bayesian_jobs.store.statistics import STRETCHES, following

MINUTE = timedelta(minutes=1)
RUN = text("""
INSERT INTO runs (run_id, actor, queue, scheduled_for, state, attempt, started_at, finished_at, missed_until,
                  missed_count, claim_at)
VALUES (gen_random_uuid(), 'note', 'q', :at, :state, :attempt, :at + :late, :at + :late + :took, :at + :range, :count,
        CASE WHEN :state = 'queued' THEN :at END)
""")
NOTHING: dict[str, Any] = {"attempt": 0, "count": None}


def add_run(connection: Connection, at: datetime, state: str = "succeeded", **more: Any) -> None:
    seconds = {name: more.pop(name, None) for name in ("late", "took", "range")}
    values = {name: value if value is None else timedelta(seconds=value) for name, value in seconds.items()}
    connection.execute(RUN, NOTHING | {"at": at, "state": state} | values | more)


def now(connection: Connection) -> datetime:
    at: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return at


def ask(client: testing.TestClient, last: str = "") -> dict[str, Any]:
    found: dict[str, Any] = client.simulate_get("/api/v1/statistics", params={"last": last} if last else {}).json
    return found


def at_work(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps in which there is something."""
    return [step for step in found["steps"] if any(value for name, value in step.items() if name != "at")]


@pytest.mark.parametrize("last", STRETCHES)
def test_the_steps_follow_each_other_up_to_the_one_that_is_under_way(
    client: testing.TestClient, connection: Connection, last: str
) -> None:
    stretch = STRETCHES[last]
    found = ask(client, last)

    assert found["step_seconds"] == stretch.step.total_seconds()
    times = [datetime.fromisoformat(step["at"]) for step in found["steps"]]
    begin, steps = datetime.fromisoformat(found["since"]), stretch.length // stretch.step
    assert times == [begin + number * stretch.step for number in range(steps)]
    assert times[-1] + stretch.step == datetime.fromisoformat(found["until"])
    assert times[-1] <= now(connection)
    assert (found["whole"], at_work(found)) == (True, [])


def test_a_run_counts_in_the_step_of_its_fire_time(client: testing.TestClient, connection: Connection) -> None:
    step = following(now(connection), MINUTE) - 10 * MINUTE
    add_run(connection, step, late=0.5, took=2, attempt=1)
    add_run(connection, step + timedelta(seconds=59.9), late=1.5, took=4, attempt=1)
    add_run(connection, step, "failed", late=600, took=6, attempt=3)
    add_run(connection, step, "missed", count=7, range=6)
    add_run(connection, step, "skipped", count=1, range=0)
    add_run(connection, step, "cancelled")
    add_run(connection, step, "running", late=3.5, attempt=1)
    add_run(connection, step - timedelta(seconds=0.1), "queued")

    before, found = at_work(ask(client))

    assert before["open"] == 1
    assert datetime.fromisoformat(found["at"]) == step
    assert {name: found[name] for name in statistics.OUTCOMES} == {
        "succeeded": 2,
        "failed": 1,
        "missed": 7,
        "skipped": 1,
        "cancelled": 1,
        "open": 1,
    }
    assert found["late"] == {"median": 1.5, "p95": 3.5, "worst": 3.5}  # A third attempt says nothing of lateness.
    assert found["took"] == {"median": 4, "p95": 6, "worst": 6}


def test_what_waits_now_is_told(client: testing.TestClient, connection: Connection) -> None:
    add_job(client, "a", periodically="1 day", when="2999-01-01")
    connection.execute(text("UPDATE jobs SET next_run_at = '2026-11-01'"))
    add_run(connection, datetime(2026, 11, 2, tzinfo=UTC), "queued")
    add_run(connection, datetime(2026, 11, 3, tzinfo=UTC), "queued")

    found = ask(client)

    assert (found["due_jobs"], found["waiting_runs"], found["waiting_since"]) == (1, 2, "2026-11-01T00:00:00Z")


def test_of_more_runs_than_are_read_the_steps_begin_later(
    client: testing.TestClient, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "MOST_READ", 25)
    step = following(now(connection), MINUTE) - 5 * MINUTE
    for minute in range(4):
        for second in range(10):
            add_run(connection, step + minute * MINUTE + timedelta(seconds=second), attempt=1)

    found = ask(client)

    assert found["whole"] is False
    assert (
        datetime.fromisoformat(found["since"]) == step + 2 * MINUTE
    )  # Of the minute before, only five of ten were read.
    assert [each["succeeded"] for each in at_work(found)] == [10, 10]
    assert datetime.fromisoformat(found["steps"][0]["at"]) == step + 2 * MINUTE


def test_another_stretch_is_refused(client: testing.TestClient) -> None:
    problem = assert_problem(client.simulate_get("/api/v1/statistics?last=year"), 400)
    assert "must be one of hour, day, week" in str(problem)


def test_who_works_for_the_service_is_told_and_whoever_has_ended_is_not(
    client: testing.TestClient, connection: Connection
) -> None:
    scheduler = processes.register(connection, "scheduler", MINUTE)
    worker = processes.register(connection, "worker", MINUTE, has_session=False)
    late = processes.register(connection, "worker", -MINUTE)
    processes.end(connection, processes.register(connection, "worker", MINUTE))
    held = ["00000000-0000-4000-8000-000000000000"]
    processes.renew_lease(connection, worker, MINUTE, held, ["default", "reports"])
    connection.commit()

    found = client.simulate_get("/api/v1/processes").json

    assert found["processes_count"] == 3
    first, second, third = found["processes"]
    assert [each["process_no"] for each in found["processes"]] == [scheduler, worker, late]
    assert [each["alive"] for each in found["processes"]] == [True, True, False]
    assert (first["kind"], first["has_session"], first["queues"], first["executing"]) == ("scheduler", True, None, 0)
    assert (second["queues"], second["executing"], second["has_session"]) == (["default", "reports"], 1, False)
    assert third["missing_since"] is None
    assert datetime.fromisoformat(third["lease_until"]) < now(connection)
