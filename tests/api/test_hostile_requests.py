"""Requests that no honest offline sends: each gets a problem document, none a 500."""

import io
import json

import psycopg2
import pytest
from api_steps import HOST, assert_problem
from falcon import testing
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.api import jobs

URL = "/api/v1/jobs/greeting"


def post(
    client: testing.TestClient, body: bytes, content_type: str | None = "application/json", **headers: str
) -> testing.Result:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None:
        given["Content-Type"] = content_type
    return client.simulate_post(URL, body=body, headers=given)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", "is not JSON"),
        (b"\xff{}", "is not UTF-8"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object, { … }"),
        (b'{"name": NaN}', "NaN is not a number of JSON"),
        (b'{"name": -Infinity}', "-Infinity is not a number of JSON"),
        (b'{"name": 1e999}', "is not a finite number"),
        (b'{"name": "a", "name": "b"}', "names 'name' twice"),
        (b'{"x": {"a": 1, "b": 2, "a": 3}}', "names 'a' twice"),
        (b'{"name": "a\\u0000b"}', "contains a NUL"),
        (b'{"a\\u0000b": 1}', "contains a NUL"),
        (b'{"name": "\\ud800"}', "contains a lone surrogate"),
        (b'{"name": 9223372036854775808}', "more than 64 bits"),
        (b'{"name": ' + b"9" * 200_000 + b"}", "more than 64 bits"),
        (b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested"),
        (b'{"name": ' + b"[" * 40 + b"]" * 40 + b"}", "is nested deeper than 32 levels"),
        (b'{"name": "a"} x', "is not JSON"),
        (b"\0", "is not JSON"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_strict_json_is_refused(offline: testing.TestClient, body: bytes, error: str) -> None:
    assert error in assert_problem(post(offline, body), 400)["error"]


@pytest.mark.parametrize(
    "content_type",
    [
        None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/xml", "application/json; charset=utf-16", "application/jsonx",
    ],
)  # fmt: skip
def test_only_json_is_taken(offline: testing.TestClient, content_type: str | None) -> None:
    assert_problem(post(offline, b'{"name": "a"}', content_type), 415)


def test_a_form_without_content_is_refused_too(offline: testing.TestClient) -> None:
    assert_problem(post(offline, b"", "application/x-www-form-urlencoded"), 415)


def test_a_compressed_body_is_refused(offline: testing.TestClient) -> None:
    assert_problem(post(offline, b'{"name": "a"}', Content_Encoding="gzip"), 415)


def test_json_with_a_charset_is_taken(client: testing.TestClient) -> None:
    assert post(client, b'{"name": "a"}', "Application/JSON; charset=UTF-8").status_code == 201


@pytest.mark.parametrize("size", [256 * 1024 + 1, 3_000_000])
def test_a_body_that_is_too_large_is_refused(offline: testing.TestClient, size: int) -> None:
    assert_problem(post(offline, b" " * size), 413)


def test_a_chunked_body_is_counted_while_it_is_read(offline: testing.TestClient) -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            assert self.given < 1_000_000, "read on although the limit was passed"
            self.given += size
            return b" " * size

    environ = testing.create_environ(
        URL, host=HOST, method="POST", headers={"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    )
    environ["wsgi.input"] = Endless()
    environ.pop("CONTENT_LENGTH", None)
    answers = testing.StartResponseMock()
    body = b"".join(offline.app(environ, answers))

    assert answers.status.startswith("413")
    assert json.loads(body)["status"] == 413


def test_a_chunked_body_is_read(client: testing.TestClient) -> None:
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    environ = testing.create_environ(URL, host=HOST, method="POST", headers=headers)
    environ["wsgi.input"] = io.BytesIO(b'{"name": "a"}')
    environ.pop("CONTENT_LENGTH", None)
    answers = testing.StartResponseMock()
    list(client.app(environ, answers))

    assert answers.status.startswith("201")


@pytest.mark.parametrize("length", ["-1", "x", "1e3"])
def test_a_content_length_that_is_no_number_is_refused(offline: testing.TestClient, length: str) -> None:
    environ = testing.create_environ(URL, host=HOST, method="POST", headers={"Content-Type": "application/json"})
    environ["CONTENT_LENGTH"] = length
    answers = testing.StartResponseMock()
    list(offline.app(environ, answers))

    assert answers.status.startswith("400")


@pytest.mark.parametrize(
    "path", ["/api/v1/jobs/%00", "/api/v1/jobs/a%0d%0aX:1", "/api/v1/runs/%00", "/%00", "/api/v1/jobs/%7f"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_control_characters_in_a_path_are_not_found(offline: testing.TestClient, path: str, method: str) -> None:
    answer = offline.simulate_request(method, path)

    assert_problem(answer, 404)
    assert "x" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/jobs/a/b", "/api/v1/nope", "/etc/passwd", "/api/v1/ui/../app.py", "/api/v1/ui/%2e%2e/app.py",
        "/api/v1/ui/swagger", "/api/v1/ui/nope.js", "/api/v2/jobs", "/dashboard/../app.py", "/dashboard/vendor",
        "/dashboard/%2e%2e/index.html", "/dashboard",
    ],
)  # fmt: skip
def test_paths_that_lead_nowhere_are_not_found(offline: testing.TestClient, path: str) -> None:
    assert_problem(offline.simulate_get(path), 404)


@pytest.mark.parametrize(
    "query",
    ["%FF=1", "state=%FF", "&".join(f"a{number}=1" for number in range(5000)), "state=%00", "=", "a=1&a=2"],
)
def test_queries_that_cannot_be_read_are_refused(offline: testing.TestClient, query: str) -> None:
    assert_problem(offline.simulate_get("/api/v1/jobs", query_string=query), 400)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/api/v1/runs"),
        ("DELETE", "/api/v1/jobs"),
        ("PUT", "/api/v1/liveness"),
        ("POST", "/api/v1/ui/"),
    ],
)
def test_a_method_that_a_path_does_not_have_is_told(offline: testing.TestClient, method: str, path: str) -> None:
    answer = offline.simulate_request(method, path)

    assert "is not possible at" in assert_problem(answer, 405)["error"]
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/liveness", "/readiness", "/handlers", "/openapi.json", "/service/state", "/runs"])
def test_unknown_parameters_are_refused_everywhere(offline: testing.TestClient, path: str) -> None:
    assert "nonsense" in assert_problem(offline.simulate_get(f"/api/v1{path}?nonsense=1"), 400)["error"]


@pytest.mark.parametrize("kind", [psycopg2.OperationalError, psycopg2.DatabaseError])
def test_a_database_that_breaks_off_is_unavailable_whatever_the_driver_makes_of_it(
    client: testing.TestClient, monkeypatch: pytest.MonkeyPatch, kind: type[psycopg2.Error]
) -> None:
    def break_off(*args: object, **kwargs: object) -> None:
        raise broken_off(kind)

    monkeypatch.setattr(jobs.store, "get_job", break_off)
    answer = client.simulate_get("/api/v1/jobs/a")
    assert "does not answer" in assert_problem(answer, 503)["error"]
    assert answer.headers["retry-after"] == "5"


def test_an_error_of_the_database_that_says_what_it_is_is_unforeseen(
    client: testing.TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise broken_off(psycopg2.errors.DataException)

    monkeypatch.setattr(jobs.store, "get_job", fail)
    assert_problem(client.simulate_get("/api/v1/jobs/a"), 500)


def broken_off(kind: type[psycopg2.Error]) -> Exception:
    """An error of SQLAlchemy around one of the driver's, which knows no SQLSTATE."""
    return DBAPIError.instance("SELECT", None, kind("server closed the connection unexpectedly"), psycopg2.Error)


def test_an_unforeseen_error_is_logged_and_not_told(
    client: testing.TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("inner secret")

    monkeypatch.setattr(jobs.store, "get_job", explode)
    answer = client.simulate_get("/api/v1/jobs/a")

    assert "secret" not in str(assert_problem(answer, 500))
    assert "ZeroDivisionError: inner secret" in caplog.text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_changes_nothing(client: testing.TestClient, site: str) -> None:
    headers = {"Sec-Fetch-Site": site}

    assert_problem(client.simulate_put("/api/v1/service/state?state=paused", headers=headers), 403)
    assert client.simulate_get("/api/v1/service/state", headers=headers).json == {"state": "running"}


@pytest.mark.parametrize(
    "path", ["/api/v1/liveness", "/api/v1/openapi.json", "/api/v1/ui/", "/api/v1/ui/initializer.js"]
)
def test_head_is_get_without_the_body(offline: testing.TestClient, path: str) -> None:
    got, head = offline.simulate_get(path), offline.simulate_head(path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == got.headers


def test_head_is_not_possible_where_get_is_not(offline: testing.TestClient) -> None:
    assert offline.simulate_head("/api/v1/jobs/clean-failed").status_code == 405


def test_every_answer_carries_safe_headers(offline: testing.TestClient) -> None:
    for path in (
        "/api/v1/liveness",
        "/api/v1/nope",
        "/api/v1/ui/",
        "/api/v1/ui/initializer.js",
        "/",
        "/dashboard/app.js",
    ):
        headers = offline.simulate_get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] in ("no-store", "no-cache")


def test_the_dashboard_may_run_and_ask_for_nothing_but_its_own(offline: testing.TestClient) -> None:
    for path in ("/", "/dashboard/app.js", "/dashboard/vendor/preact.js"):
        policy = offline.simulate_get(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "require-trusted-types-for 'script'" in policy
    for path in ("/api/v1/liveness", "/nope"):
        policy = offline.simulate_get(path).headers["content-security-policy"]
        assert policy == "default-src 'none'; frame-ancestors 'none'"


def test_answers_are_compact_json(offline: testing.TestClient) -> None:
    assert offline.simulate_get("/api/v1/liveness").content == b'{"alive":true}'


@pytest.mark.parametrize("job_id", ["", "%FF%FE", "x" * 10_000, "%E2%80%AE"])
def test_a_job_id_that_no_job_can_have_is_not_found(client: testing.TestClient, job_id: str) -> None:
    assert_problem(client.simulate_get(f"/api/v1/jobs/{job_id}"), 404)
