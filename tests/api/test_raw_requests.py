"""Requests that no client library sends, over a socket to a real gunicorn."""

import json
import re
import socket
from collections.abc import Callable

import pytest
from raw_http import DEADLINE, Server, read_to_the_end

BODY = b'{"flow_name": "f", "flow_arguments": []}'


@pytest.fixture
def port(server: Server) -> int:
    return server.port


def exchange(port: int, request: bytes) -> tuple[int, bytes, bytes]:
    """Send the request and nothing more. Returns status, head and body of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


def post(headers: str, body: bytes) -> bytes:
    head = (
        "POST /api/v1/jobs/flow-scheduling HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\n{headers}\r\n\r\n"
    )
    return head.encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_a_body_that_is_broken_is_a_bad_request_and_makes_no_job(port: int, jobs: Callable[[], int]) -> None:
    broken = {
        "no chunk size": b"zz\r\n" + BODY,
        "a negative chunk size": b"-1\r\n" + BODY,
        "no end of a chunk": b"%x\r\n%sXX0\r\n\r\n" % (len(BODY), BODY),
        "a chunk that breaks off": b"fff\r\n" + BODY,
        "no last chunk": chunk(BODY),
        "no end of the last chunk": chunk(BODY) + b"0\r\n",
        "a trailer that is no header": chunk(BODY) + b"0\r\nnonsense\r\n\r\n",
    }
    for name, body in broken.items():
        status, head, answer = exchange(port, post("Transfer-Encoding: chunked", body))
        assert (status, b"application/problem+json" in head) == (400, True), (name, head)
        assert "cannot be read" in json.loads(answer)["error"], name

    for announced in (len(BODY) + 1, 200_000):
        status, head, answer = exchange(port, post(f"Content-Length: {announced}", BODY))
        assert (status, b"application/problem+json" in head) == (400, True), head
        assert f"ends after {len(BODY)} of its {announced} bytes" in json.loads(answer)["error"]
    assert jobs() == 0


def test_a_body_that_is_whole_makes_a_job(port: int, jobs: Callable[[], int]) -> None:
    status, _, _ = exchange(port, post("Transfer-Encoding: chunked", chunk(BODY[:9]) + chunk(BODY[9:]) + chunk(b"")))
    assert status == 201
    status, _, _ = exchange(port, post(f"Content-Length: {len(BODY)}", BODY))
    assert status == 201
    assert jobs() == 2


def test_head_is_answered_like_get_without_the_body(port: int) -> None:
    for path in ("/api/v1/jobs", "/api/v1/liveness", "/api/v1/ui/", "/api/v1/ui/swagger/swagger-ui.css", "/"):
        lengths = []
        for method in ("GET", "HEAD"):
            request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            status, head, body = exchange(port, request.encode())
            length = re.search(rb"(?i)content-length: (\d+)", head)
            lengths.append((status, length and length[1]))
            assert method == "GET" or body == b"", path
        assert lengths[0] == lengths[1], path


def test_a_request_without_a_host_is_refused(port: int) -> None:
    status, head, _ = exchange(port, b"GET /api/v1/jobs HTTP/1.0\r\n\r\n")

    assert status == 403
    assert b"application/problem+json" in head


@pytest.mark.parametrize(
    "header",
    [
        "SCRIPT_NAME: /x", "SCRIPT_NAME: /api", "PATH_INFO: /api/v1/jobs", "REMOTE_ADDR: 192.0.2.1",
        "Script-Name: /api", "X-Forwarded-For: 192.0.2.1", "X-Original-URL: /api/v1/jobs",
        "X-Rewrite-URL: /api/v1/jobs", "X-HTTP-Method-Override: DELETE", "X-Forwarded-Host: evil.example",
        "Content_Length: 5",
    ],
)  # fmt: skip
def test_no_header_changes_who_asks_for_what(port: int, header: str) -> None:
    request = f"GET /api/v1/liveness HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n\r\n"
    status, _, body = exchange(port, request.encode())

    assert (status, body) == (200, b'{"alive":true}')


@pytest.mark.parametrize(
    "coding", [b"identity, chunked", b"gzip, chunked", b"chunked, identity", b"chunked,", b"CHUNKED", b"\x0bchunked"]
)
def test_what_follows_a_body_that_could_be_read_in_two_ways_is_no_request(port: int, coding: bytes) -> None:
    """A proxy in front may take for a body what this server would take for the next request."""
    head = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    smuggled = b"GET /api/v1/service/state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
        client.sendall(head + b"Transfer-Encoding: " + coding + b"\r\n\r\n" + chunk(smuggled) + chunk(b""))
        client.shutdown(socket.SHUT_WR)
        answer = read_to_the_end(client)

    assert re.findall(rb"HTTP/1.1 (\d)", answer) in ([b"4"], [b"5"])
    assert b'"state"' not in answer


def test_a_path_that_is_not_utf_8_is_refused(port: int) -> None:
    status, _, body = exchange(port, b"GET /api/v1/jobs/%FF HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert status == 400
    assert b"The path is not UTF-8" in body
