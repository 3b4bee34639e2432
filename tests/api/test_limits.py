"""Each limit over a socket, from both sides: the most that is taken, and one more."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from raw_http import LIVENESS, POST, Server

from bayesian_jobs.api.media import MAX_BYTES
from bayesian_jobs.api.parameters import MAX_PARAMETERS

ONCE = {"handler": "PruneHistory", "when": "2999-01-01"}
DAILY = ONCE | {"periodically": "1 day"}


def job(body: bytes, headers: bytes = b"") -> bytes:
    return POST + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def with_option(option: str, value: Any, rest: dict[str, Any] = ONCE) -> bytes:
    return job(json.dumps(rest | {option: value}).encode())


def get(path: str) -> bytes:
    return f"GET /api/v1{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def nested(levels: int) -> bytes:
    """The document itself is the first level, kwargs the second; the handler takes nothing of the kind."""
    return job(b'{"kwargs":' + b'{"a":' * (levels - 1) + b"1" + b"}" * (levels - 1) + b',"handler":"PruneHistory"}')


def of_bytes(size: int) -> bytes:
    body = json.dumps(ONCE).encode()
    return job(body + b" " * (size - len(body)))


def chunked(size: int) -> bytes:
    body = json.dumps(ONCE).encode()
    body += b" " * (size - len(body))
    pieces = [body[at : at + 65536] for at in range(0, size, 65536)]
    return POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(
        b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""]
    )  # fmt: skip


def fields(number: int) -> bytes:
    """A head of so many fields, Host included."""
    return LIVENESS[:-2] + b"X: y\r\n" * (number - 1) + b"\r\n"


def cron(length: int) -> str:
    return ("0 0 1 1 1" if length % 2 else "00 0 1 1 1").ljust(length, "|").replace("||", ",1")


@pytest.mark.parametrize(
    ("within", "beyond", "status"),
    [
        (of_bytes(MAX_BYTES), of_bytes(MAX_BYTES + 1), 413),
        (chunked(MAX_BYTES), chunked(MAX_BYTES + 1), 413),
        (fields(50), fields(51), 431),
        (get("/jobs?limit=1000"), get("/jobs?limit=1001"), 400),
        (with_option("job_id", "x" * 200), with_option("job_id", "x" * 201), 400),
        (with_option("description", "x" * 2000), with_option("description", "x" * 2001), 400),
        (with_option("tags", [str(n) for n in range(20)]), with_option("tags", [str(n) for n in range(21)]), 400),
        (with_option("tags", ["x" * 50]), with_option("tags", ["x" * 51]), 400),
        (with_option("priority", 9), with_option("priority", 10), 400),
        (with_option("max_retries", 1000), with_option("max_retries", 1001), 400),
        (with_option("max_concurrent_runs", 100, DAILY), with_option("max_concurrent_runs", 101, DAILY), 400),
        (with_option("periodically", "99999 days"), with_option("periodically", "100000 days"), 400),
        (with_option("periodically", "1 day".ljust(100)), with_option("periodically", "1 day".ljust(101)), 400),
        (with_option("periodically", cron(1000)), with_option("periodically", cron(1001)), 400),
        (with_option("when", "2999-01-01".ljust(100)), with_option("when", "2999-01-01".ljust(101)), 400),
        (with_option("when", "9000-12-31"), with_option("when", "9001-01-01"), 400),
        (with_option("kwargs", {"keep_failures": 2**63 - 1}), with_option("kwargs", {"keep_failures": 2**63}), 400),
        (
            job(json.dumps(ONCE).encode(), b"Idempotency-Key: %s\r\n" % (b"x" * 255)),
            job(json.dumps(ONCE).encode(), b"Idempotency-Key: %s\r\n" % (b"x" * 256)),
            400,
        ),
    ],
    ids=[
        "body", "chunked body", "header fields", "page", "job_id", "description", "tags", "tag", "priority", "retries",
        "concurrent runs", "period", "length of a duration", "length of a cron expression", "length of a time", "year",
        "integer", "Idempotency-Key",
    ],
)  # fmt: skip
def test_the_most_is_taken_and_one_more_is_refused(
    server: Server, jobs: Callable[[], int], within: bytes, beyond: bytes, status: int
) -> None:
    taken, answer = server.ask(within)
    assert taken < 300, answer
    before = jobs()

    assert server.ask(beyond)[0] == status
    assert jobs() == before


def test_one_level_more_than_a_document_may_have_is_refused_as_such(server: Server, jobs: Callable[[], int]) -> None:
    assert b"nested deeper" not in server.ask(nested(32))[1]
    status, answer = server.ask(nested(33))

    assert (status, b"nested deeper than 32 levels" in answer) == (400, True)
    assert jobs() == 0


def test_one_parameter_more_than_a_query_may_have_is_refused_as_such(server: Server) -> None:
    queries = ["&".join(f"a{number}=" for number in range(count)) for count in (MAX_PARAMETERS, MAX_PARAMETERS + 1)]
    within, beyond = (server.ask(get(f"/jobs?{query}")) for query in queries)

    assert (within[0], b"is not a parameter" in within[1]) == (400, True)
    assert (beyond[0], b"cannot be read" in beyond[1]) == (400, True)


def test_the_numbers_and_words_of_a_path_have_limits_too(server: Server, jobs: Callable[[], int]) -> None:
    server.ask(with_option("job_id", "a", DAILY))

    for count, status in ((1000, 200), (1001, 400)):
        assert server.ask(get(f"/jobs/a/upcoming?count={count}"))[0] == status
    for length, status in ((1000, 200), (1001, 400)):
        path = f"/api/v1/jobs/a?state=paused&reason={quote('x' * length)}"
        assert server.ask(f"PUT {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())[0] == status
    assert jobs() == 1
