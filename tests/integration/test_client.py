"""The client for other programs, over a real API."""

import http.client
import io
import re
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from sqlalchemy import create_engine, make_url, text

from bayesian_jobs.api.app import create_app
from bayesian_jobs.bootstrap import assemble
from bayesian_jobs.client import Client, InvalidOptions, RequestRefused
from bayesian_jobs.settings import load

FUTURE = datetime(2999, 1, 2, 3, 4, 5, tzinfo=UTC)


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


@contextmanager
def listening(server: socketserver.BaseServer) -> Iterator[int]:
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def api_on(url: str) -> Iterator[int]:
    services = assemble(load({"DATABASE_URL": url}), "test")
    with listening(make_server("127.0.0.1", 0, create_app(services), handler_class=Quiet)) as port:
        yield port
    services.engine.dispose()


@pytest.fixture(scope="module")
def port(new_database) -> Iterator[int]:
    """Where the API of a service listens, which all tests of this module share."""
    with new_database() as url, api_on(url) as port:
        yield port


@pytest.fixture
def client(port) -> Client:
    client = Client(f"http://127.0.0.1:{port}", patience=0)
    for job in client.jobs():
        client.delete_job(job["job_id"])
    return client


class Unreliable(socketserver.ThreadingTCPServer):
    """Stands before an API; what `fates` says becomes of one connection after the other: `lost` (the request is
    carried out, and its answer lost), `refused`, or an answer of its own instead. Then all goes through."""

    allow_reuse_address = True

    def __init__(self, port: int, *fates: str) -> None:
        super().__init__(("127.0.0.1", 0), Between)
        self.api, self.fates = port, list(fates)
        self.seen: list[bytes] = []


class Between(socketserver.StreamRequestHandler):
    server: Unreliable

    def handle(self) -> None:
        head = b"".join(iter(self.rfile.readline, b"\r\n"))
        self.server.seen.append(head)
        fate = self.server.fates.pop(0) if self.server.fates else "through"
        if fate == "refused":
            return
        if fate.startswith("HTTP"):
            self.wfile.write(fate.encode())
            return
        method, path, _ = head.split(b"\r\n")[0].decode().split()
        message = http.client.parse_headers(io.BytesIO(head.partition(b"\r\n")[2]))
        body = self.rfile.read(int(message.get("Content-Length", 0)))
        api = http.client.HTTPConnection("127.0.0.1", self.server.api)
        api.request(method, path, body, {name: value for name, value in message.items() if name != "Host"})
        answer = api.getresponse()
        content = answer.read()
        if fate == "lost":
            return
        self.wfile.write(f"HTTP/1.1 {answer.status} X\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)


@contextmanager
def through(port: int, *fates: str, patience: float = 20) -> Iterator[tuple[Client, Unreliable]]:
    between = Unreliable(port, *fates)
    with listening(between) as own:
        yield Client(f"http://127.0.0.1:{own}", "a-token", patience=patience), between


def keys(between: Unreliable) -> list[str]:
    return [line for head in between.seen for line in head.decode().splitlines() if line.startswith("Idempotency-Key")]


def test_a_job_is_added_changed_paused_resumed_and_deleted(client):
    job = client.add_job(
        "PruneHistory",
        job_id="a",
        when=FUTURE,
        periodically=timedelta(days=1),
        tags=("x", "y"),
        misfire_grace_time="1 hour",
    )
    assert (job["when"], job["periodically"], job["tags"]) == ("2999-01-02T03:04:05Z", "1 day", ["x", "y"])
    assert client.change_job("a", periodically="1 week", misfire_grace_time=None)["misfire_grace_time"] is None
    assert client.upcoming("a", 2) == ["2999-01-02T03:04:05Z", "2999-01-09T03:04:05Z"]
    client.pause_job("a", reason="holidays", until=FUTURE)
    assert client.job("a")["paused"]["reason"] == "holidays"
    assert client.job("a")["paused"]["until"] == "2999-01-02T03:04:05Z"
    assert client.explain("a", FUTURE)["at"] == "2999-01-02T03:04:05Z"
    client.resume_job("a")
    assert client.put_job("a", "PruneHistory", when=FUTURE, periodically="1 week", tags=["x", "y"])["version"] == 4
    client.delete_job("a")
    with pytest.raises(RequestRefused) as refused:
        client.job("a")
    assert (refused.value.status, str(refused.value)) == (404, "No such job with id 'a'")


def test_it_goes_through_all_pages(client, monkeypatch):
    monkeypatch.setattr("bayesian_jobs.client.client.PAGE", "2")
    for name in "abcde":
        client.add_job("PruneHistory", job_id=name, when=FUTURE, tags=["x"] if name > "b" else [])
    assert [job["job_id"] for job in client.jobs()] == list("abcde")
    assert [job["job_id"] for job in client.jobs(tag="x")] == list("cde")


def test_a_run_is_asked_for_looked_at_cancelled_and_tried_again(client):
    client.add_job("PruneHistory", job_id="a", when=FUTURE)
    run = client.run_job("a")
    assert client.run(run["run_id"])["state"] == "queued"
    with pytest.raises(TimeoutError, match="still queued"):
        client.wait_for_run(run["run_id"], 0)
    assert client.cancel_run(run["run_id"])["state"] == "cancelled"
    assert client.wait_for_run(run["run_id"], 0)["state"] == "cancelled"
    again = client.retry_run(run["run_id"], {})
    assert again["retry_of"] == run["run_id"]
    assert [each["run_id"] for each in client.runs("a")] == [again["run_id"], run["run_id"]]
    assert [each["run_id"] for each in client.runs(state="cancelled")] == [run["run_id"]]


def test_the_service_is_paused_and_resumed(client):
    client.pause_service(reason="a migration")
    assert client.service_state() == "paused"
    client.resume_service()
    assert client.service_state() == "running"
    assert "PruneHistory" in [each["name"] for each in client.handlers()]


def test_what_is_refused_tells_each_option_and_the_status(client):
    with pytest.raises(RequestRefused) as refused:
        client.add_job("PruneHistory", periodically="1 fortnight", priority=10)
    assert refused.value.status == 400
    assert [each["option"] for each in refused.value.errors] == ["periodically", "priority"]
    with pytest.raises(InvalidOptions, match="when: '2999-01-01T00:00:00': has no time zone"):
        client.add_job("PruneHistory", when=datetime(2999, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("fate", ["lost", "refused", "HTTP/1.1 503 Busy\r\n\r\n", "HTTP/1.1 502 Bad\r\n\r\n", "HTTP"])
def test_an_answer_that_is_lost_makes_no_second_job_and_no_second_run(client, port, fate):
    with through(port, fate, "lost", "HTTP/1.1 429 Slow down\r\nRetry-After: 0\r\n\r\n") as (unlucky, between):
        job = unlucky.add_job("PruneHistory", when=FUTURE)
    assert [each["job_id"] for each in client.jobs()] == [job["job_id"]]
    assert len(keys(between)) == 4
    assert len(set(keys(between))) == 1
    with through(port, fate, "lost") as (unlucky, _):
        run = unlucky.run_job(job["job_id"])
    assert [each["run_id"] for each in client.runs(job["job_id"])] == [run["run_id"]]


def test_what_is_refused_for_good_is_not_sent_again(client, port):
    with through(port) as (patient, between), pytest.raises(RequestRefused) as refused:
        patient.run_job("nope")
    assert refused.value.status == 404
    assert len(between.seen) == 1


def test_who_has_no_patience_is_told_at_once(port):
    with through(port, "refused", patience=0) as (hasty, between):
        with pytest.raises(RequestRefused, match="does not answer") as refused:
            hasty.service_state()
        assert refused.value.status is None
        assert hasty.service_state() == "running"
    assert keys(between) == []


def test_the_wait_that_the_api_asks_for_is_kept_or_refused_when_it_is_too_long(port):
    with through(port, "HTTP/1.1 429 X\r\nRetry-After: 3600\r\n\r\n") as (patient, between):
        with pytest.raises(RequestRefused) as refused:
            patient.service_state()
        assert refused.value.status == 429
    assert len(between.seen) == 1


def test_the_token_goes_along_and_not_to_where_an_answer_leads(port):
    elsewhere = Unreliable(port)
    with listening(elsewhere) as other_port:
        leads = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{other_port}/api/v1/service/state\r\n\r\n"
        with through(port, leads) as (led, first):
            assert led.service_state() == "running"
    assert b"Authorization: Bearer a-token" in first.seen[0]
    assert b"a-token" not in elsewhere.seen[0]


@pytest.mark.parametrize(
    ("url", "token", "named"),
    [("localhost:34000", None, "url: 'localhost:34000'"), ("http://x", "a\nb", "token: holds")],
)
def test_an_address_or_a_token_that_cannot_be_one_is_named(url, token, named):
    with pytest.raises(RequestRefused, match=named):
        Client(url, token)


def test_the_guide_works_to_the_letter(database_url, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs/how-to/schedule-from-your-own-code.md").read_text("utf-8")
    blocks = re.findall(r"^```(python|sql)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks] == ["python", "python", "sql", "sql", "sql"]
    url = make_url(database_url).set(drivername="postgresql")
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    namespace: dict[str, object] = {}
    role = f"shop_{url.database}"
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT")
    try:
        with api_on(database_url) as port, engine.connect() as sql:
            for language, block in blocks:
                if language == "python":
                    exec(block.replace("34000", str(port)), namespace)
                else:
                    sql.exec_driver_sql(block.replace("shop", role).replace("%", "%%"))
            left = sql.execute(text("SELECT job_id FROM jobs ORDER BY job_id")).scalars().all()
            sql.exec_driver_sql(f"DROP OWNED BY {role}; DROP ROLE {role}")
    finally:
        engine.dispose()
        namespace["connection"].close()
    assert left == ["invoice-2", "nightly", "prune-hourly"]
    said = capsys.readouterr().out.splitlines()
    assert (said[0], said[1].split()[1], said[2].split()[0]) == ("the registry is down", "queued", "nightly")
