"""Texts that would be SQL, formats, headers or lines of a log, through every route: none is more than a text."""

import logging
from collections import Counter
from typing import Any
from urllib.parse import quote

import falcon
import pytest
from api_steps import add_job, add_run, client_on
from falcon import inspect, testing
from sqlalchemy import Connection, Engine, create_engine, text

from bayesian_jobs.handlers.registry import Registry

BASE = "/api/v1"
CORPUS = [
    "';--",
    "'; DROP TABLE jobs; --",
    "' OR '1'='1",
    '" OR ""="',
    "x'); DELETE FROM jobs; SELECT ('",
    "%s %(job_id)s %%",
    "{} {0} {job_id} {self.__class__}",
    ":job_id :state",
    "$1 $$ $x$; DELETE FROM runs $x$",
    "\\'; DELETE FROM api_tokens; --",
    "1; SELECT pg_sleep(20)",
    "pg_sleep(20)",
    "*/ DELETE FROM service /*",
    "\u02bc OR 1=1",
    "..%2f..%2fetc",
    "__import__('os').system('true')",
    "os.system",
    "bayesian_jobs.handlers.prune_history.PruneHistory",
]
KEPT = ("jobs", "runs", "service", "processes", "api_tokens", "audit_log", "idempotency_keys", "flow_tasks")


def rows(connection: Connection) -> dict[str, Any]:
    counts = {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar() for name in KEPT}
    return counts | {"state": connection.execute(text("SELECT state FROM service")).scalar()}


def routes_of(app: Any) -> list[tuple[str, str]]:
    return [
        (method.method, route.path)
        for route in inspect.inspect_routes(app)
        for method in route.methods
        if not method.internal
    ]


def test_no_text_is_more_than_a_text_to_the_database(
    client: testing.TestClient, engine: Engine, connection: Connection
) -> None:
    """As a part of the path, as every query parameter, and as every text of a body."""
    add_job(client, "a", when="2999-01-01")
    add_run(connection, "a", "2026-11-23T10:00:00Z")
    document = client.simulate_get(f"{BASE}/openapi.json").json
    names = {
        (method.upper(), BASE + path): [each["name"] for each in operation["parameters"] if each["in"] == "query"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    before = rows(connection)
    asked: Counter[int] = Counter()
    for hostile in CORPUS:
        for method, template in routes_of(client.app):
            if template.endswith(("clean-failed", "/ui", "/readiness")):
                continue
            path = template
            for name in ("job_id", "run_id", "token_name"):
                path = path.replace(f"{{{name}}}", quote(hostile, safe=""))
            queries = [{}] + [{name: hostile} for name in names.get((method, template), ())]
            for query in queries if method == "GET" or "{" in template else queries[1:]:
                with_body = method in ("POST", "PUT", "PATCH")
                body = {"handler": hostile, "kwargs": {hostile: hostile}} if with_body else None
                answer = client.simulate_request(method, path, params=query, json=body)
                assert answer.status_code < 500, f"{method} {path} {query}: {answer.text}"
                assert "Traceback" not in answer.text
                asked[answer.status_code] += 1

    assert rows(connection) == before
    assert {200, 400, 404} <= asked.keys()


def test_a_hostile_name_comes_back_as_it_was_given(client: testing.TestClient, connection: Connection) -> None:
    for number, hostile in enumerate(each for each in CORPUS if "/" not in each):
        job = add_job(client, hostile, when="2999-01-01", description=hostile, tags=[hostile.replace(",", "")])
        assert (job["job_id"], job["description"]) == (hostile, hostile)
        path = f"{BASE}/jobs/{quote(hostile, safe='')}"
        assert client.simulate_get(path).json["job_id"] == hostile
        found = client.simulate_get(f"{BASE}/jobs", params={"text": hostile, "tag": hostile.replace(",", "")}).json
        assert [each["job_id"] for each in found["jobs"]] == [hostile]
        entry = client.simulate_get(f"{BASE}/audit", params={"job_id": hostile}).json["entries"]
        assert [each["action"] for each in entry] == ["job added"]
        if number % 2:
            assert client.simulate_delete(path).json == {"removed": [hostile]}


LINES = ["a\r\nSet-Cookie: x=y", "a\nERROR forged: line", "a\x1b[2Jb", "a\u2028b", "a\x85b"]


@pytest.mark.parametrize("hostile", LINES)
def test_a_line_break_in_a_name_reaches_neither_a_header_nor_the_log(
    client: testing.TestClient, registry: Registry, caplog: pytest.LogCaptureFixture, hostile: str
) -> None:
    caplog.set_level(logging.DEBUG)
    nowhere = client_on(create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none"), registry)
    assert isinstance(nowhere.app, falcon.App)

    class Broken:
        def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
            raise RuntimeError("on purpose")

        on_get.scope = None  # type: ignore[attr-defined]

    nowhere.app.add_route(f"{BASE}/broken/{{name}}", Broken())
    for asked in (client, nowhere):
        for path in (f"/jobs/{quote(hostile)}", f"/runs/{quote(hostile)}", f"/broken/{quote(hostile)}"):
            answer = asked.simulate_get(f"{BASE}{path}", headers={"X-Request-Id": "x"})
            assert answer.status_code in (400, 404, 500, 503)
            assert all(hostile not in value and "Set-Cookie" not in name for name, value in answer.headers.items())
        body = {"handler": "Greeting", "kwargs": {"name": "x"}, "job_id": hostile}
        assert asked.simulate_post(f"{BASE}/jobs", json=body).status_code in (400, 503)

    assert ("on purpose" in caplog.text) == (hostile == "a\u2028b"), "control characters get no further than the guards"
    lines = [record.getMessage() for record in caplog.records]
    assert all(hostile not in line and "\n" not in line and "\x1b" not in line for line in lines)
