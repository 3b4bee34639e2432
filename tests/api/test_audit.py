"""The audit log: every change is in it, by whom and from where, in the transaction of the change."""

from collections.abc import Iterator
from typing import Any

import pytest
from api_steps import add_failure, add_job, assert_problem, client_on
from falcon import testing
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import IntegrityError

from bayesian_jobs.domain.audit import Author
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle import tokens
from bayesian_jobs.store.audit import Signed

BASE = "/api/v1"


@pytest.fixture
def audited(engine: Engine, registry: Registry) -> testing.TestClient:
    """The API as who holds the token `ops` uses it, from 192.0.2.7."""
    _, token = tokens.create(Signed(engine, Author("test")), {"name": "ops", "scope": "admin"})
    client = client_on(engine, registry, auth="tokens")
    return testing.TestClient(client.app, headers={"Authorization": f"Bearer {token}", "Host": "jobs.example"})


def entries(client: testing.TestClient, **query: Any) -> list[dict[str, Any]]:
    answer = client.simulate_get(f"{BASE}/audit", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json["entries"]
    assert answer.json["entries_count"] == len(found)
    return found


def told(client: testing.TestClient, **query: Any) -> list[tuple[str, str | None, Any]]:
    """Action, job_id and details, the oldest first."""
    return [(each["action"], each["job_id"], each["details"]) for each in reversed(entries(client, **query))]


def test_every_kind_of_change_is_entered_as_that_of_who_made_it(
    audited: testing.TestClient, connection: Connection
) -> None:
    far = "2999-01-01T00:00:00Z"
    ask = audited.simulate_request
    add_job(audited, "a", when=far)
    ask("POST", f"{BASE}/jobs/greeting?job_id=b&when={far}", json={"name": "x"}, headers={"Idempotency-Key": "k"})
    ask("PATCH", f"{BASE}/jobs/a", json={"misfire_grace_time": "1 hour", "when": "2999-01-02", "kwargs": {"name": "z"}})
    ask("PUT", f"{BASE}/jobs/a?state=paused&reason=npm+is+down&until=2900-01-01")
    ask("PUT", f"{BASE}/jobs/a?state=paused&reason=still")
    ask("PUT", f"{BASE}/jobs/a?state=running")
    run_id = ask("POST", f"{BASE}/jobs/a/run").json["run"]["run_id"]
    ask("POST", f"{BASE}/runs/{run_id}/cancel")
    again = ask("POST", f"{BASE}/runs/{run_id}/retry").json["run"]["run_id"]
    ask("PUT", f"{BASE}/jobs/c", json={"handler": "Greeting", "kwargs": {"name": "c"}, "when": far})
    ask("DELETE", f"{BASE}/jobs/b")
    add_failure(connection, "failure")
    ask("DELETE", f"{BASE}/jobs/clean-failed")
    ask("PUT", f"{BASE}/service/state?state=paused&reason=move")
    ask("PUT", f"{BASE}/service/state?state=running")
    ask("POST", f"{BASE}/tokens", json={"name": "t", "scope": "read"})
    ask("DELETE", f"{BASE}/tokens/t")

    changed = {
        "when": {"before": far, "after": "2999-01-02T00:00:00Z"},
        "misfire_grace_time": {"before": None, "after": "1 hour"},
        "kwargs": {"before": '{"name": "you"}', "after": '{"name": "z"}'},
    }
    assert told(audited, who="token ops") == [
        ("job added", "a", {"handler": "Greeting"}),
        ("job added", "b", {"handler": "Greeting"}),
        ("job changed", "a", changed),
        ("job paused", "a", {"reason": "npm is down", "until": "2900-01-01T00:00:00Z"}),
        ("job paused", "a", {"reason": "still"}),
        ("job resumed", "a", {}),
        ("run requested", "a", {}),
        ("run cancelled", "a", {}),
        ("run requested", "a", {"retry_of": run_id}),
        ("job added", "c", {"handler": "Greeting"}),
        ("job removed", "b", {}),
        ("failures removed", None, {"count": 1}),
        ("service paused", None, {"reason": "move"}),
        ("service resumed", None, {}),
        ("token made", None, {"name": "t", "scope": "read"}),
        ("token revoked", None, {"name": "t"}),
    ]
    assert {each["origin"] for each in entries(audited, who="token ops")} == {"127.0.0.1"}
    assert [each["run_id"] for each in entries(audited, action="run requested")] == [again, run_id]
    assert [each["action"] for each in entries(audited, who="scheduler")] == []


def test_what_changes_nothing_is_not_entered(audited: testing.TestClient) -> None:
    body = {"handler": "Greeting", "kwargs": {"name": "a"}, "when": "2999-01-01T00:00:00Z"}
    ask = audited.simulate_request
    ask("PUT", f"{BASE}/jobs/a", json=body)
    before = entries(audited)

    assert ask("PUT", f"{BASE}/jobs/a", json=body).status_code == 200
    assert ask("PUT", f"{BASE}/jobs/a?state=running").status_code == 200
    assert ask("PATCH", f"{BASE}/jobs/a?dry_run=true", json={"priority": 1}).status_code == 200
    assert ask("PATCH", f"{BASE}/jobs/a", json={"priority": 99}).status_code == 400
    assert ask("DELETE", f"{BASE}/jobs/a", headers={"If-Match": '"0-0"'}).status_code == 412
    assert ask("DELETE", f"{BASE}/jobs/clean-failed").status_code == 200
    assert entries(audited) == before


def test_a_request_that_is_sent_again_is_entered_once(audited: testing.TestClient) -> None:
    for _ in range(2):
        body = {"handler": "Greeting", "kwargs": {"name": "a"}, "job_id": "a"}
        answer = audited.simulate_post(f"{BASE}/jobs", json=body, headers={"Idempotency-Key": "k"})
        assert answer.status_code == 201

    assert len(entries(audited, job_id="a")) == 1


@pytest.fixture
def without_audit_log(connection: Connection) -> Iterator[None]:
    connection.execute(text("ALTER TABLE audit_log ADD CONSTRAINT closed CHECK (false) NOT VALID"))
    yield
    connection.execute(text("ALTER TABLE audit_log DROP CONSTRAINT closed"))


@pytest.mark.usefixtures("without_audit_log")
def test_what_cannot_be_entered_is_not_done(client: testing.TestClient, engine: Engine, connection: Connection) -> None:
    body = {"handler": "Greeting", "kwargs": {"name": "a"}, "job_id": "a"}

    assert_problem(client.simulate_post(f"{BASE}/jobs", json=body), 500)
    assert_problem(client.simulate_put(f"{BASE}/service/state?state=paused"), 500)
    with pytest.raises(IntegrityError):
        tokens.create(Signed(engine, Author("test")), {"name": "a", "scope": "admin"})

    assert client.simulate_get(f"{BASE}/jobs/a").status_code == 404
    assert client.simulate_get(f"{BASE}/service/state").json == {"state": "running"}
    assert connection.execute(text("SELECT count(*) FROM api_tokens")).scalar() == 0


def test_pages_follow_each_other(client: testing.TestClient) -> None:
    for number in range(7):
        add_job(client, f"job {number}")
    seen, after = [], {}
    while True:
        answer = client.simulate_get(f"{BASE}/audit", params={"limit": 3, **after}).json
        seen += [each["job_id"] for each in answer["entries"]]
        if answer["next"] is None:
            break
        after = {"after": answer["next"]}

    assert seen == [f"job {number}" for number in reversed(range(7))]
    assert_problem(client.simulate_get(f"{BASE}/audit?after=nonsense"), 400)
    assert_problem(client.simulate_get(f"{BASE}/audit?action=nonsense"), 400)


def test_long_values_are_cut(client: testing.TestClient) -> None:
    add_job(client, "a", when="2999-01-01")
    client.simulate_patch(f"{BASE}/jobs/a", json={"kwargs": {"name": "\\u0000 \U0001f600" * 1000}})

    change = entries(client, action="job changed")[0]["details"]["kwargs"]
    assert len(change["after"]) == 201
    assert change["before"] == '{"name": "you"}'


def test_what_the_command_line_does_is_entered_with_who_typed_it(
    database_url: str, client: testing.TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bayesian_jobs import cli

    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("LOGNAME", "mary")
    assert cli.main(["service", "pause", "--reason", "lunch"]) == 0

    entry = entries(client)[0]
    assert (entry["who"], entry["action"]) == ("command line", "service paused")
    assert entry["origin"].startswith("mary@")


def test_old_entries_go_with_the_rest_of_the_history(engine: Engine, client: testing.TestClient) -> None:
    from datetime import timedelta

    from bayesian_jobs.store.retention import prune

    add_job(client, "old", when="2999-01-01")
    with engine.begin() as connection:
        connection.execute(text("UPDATE audit_log SET at = at - interval '31 days'"))
    add_job(client, "new", when="2999-01-01")

    assert prune(engine, timedelta(days=30), 1).entries == 1
    assert [each["job_id"] for each in entries(client)] == ["new"]


def test_tokens_without_effect_go_with_the_rest_of_the_history(engine: Engine, client: testing.TestClient) -> None:
    from datetime import timedelta

    from bayesian_jobs.store.retention import prune

    for name in ("revoked", "expired", "good", "just revoked"):
        tokens.create(engine, {"name": name, "scope": "read", "expires": "1 day"})
    with engine.begin() as connection:
        connection.execute(text("UPDATE api_tokens SET revoked_at = now() - interval '31 days' WHERE name = 'revoked'"))
        connection.execute(text("UPDATE api_tokens SET expires_at = now() - interval '31 days' WHERE name = 'expired'"))
        connection.execute(text("UPDATE api_tokens SET revoked_at = now() WHERE name = 'just revoked'"))

    assert prune(engine, timedelta(days=30), 1).tokens == 2
    left = [each["name"] for each in client.simulate_get(f"{BASE}/tokens").json["tokens"]]
    assert left == ["good", "just revoked"]


def test_default_files_and_schedulers_are_named(database_url: str, client: testing.TestClient, tmp_path: Any) -> None:
    from bayesian_jobs.handlers.registry import discover
    from bayesian_jobs.lifecycle.admit import admit_jobs
    from bayesian_jobs.lifecycle.defaults import register

    (tmp_path / "a.yaml").write_text(
        "job_id: filed\nhandler: PruneHistory\nkwargs: {}\nperiodically: 1 day\nwhen: 2020-01-01\n"
    )
    engine = create_engine(database_url)
    register(engine, discover((), ()), tmp_path)
    client.simulate_put(f"{BASE}/jobs/filed?state=paused&until=2999-01-01")
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET paused_until = clock_timestamp()"))
    with engine.connect() as connection:
        admit_jobs(connection, discover((), ()))
    engine.dispose()

    assert [(each["who"], each["action"]) for each in reversed(entries(client))] == [
        ("default files", "job added"),
        ("local", "job paused"),
        ("scheduler", "job resumed"),
    ]


def test_only_an_admin_may_read_it(engine: Engine, registry: Registry) -> None:
    client = client_on(engine, registry, auth="tokens")
    for scope, status in (("read", 403), ("write", 403), ("admin", 200)):
        _, token = tokens.create(engine, {"name": scope, "scope": scope})
        answer = client.simulate_get(f"{BASE}/audit", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status
