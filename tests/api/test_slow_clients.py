"""Each limit over a socket to a real gunicorn: slow, huge and malformed requests, and clients that do not read."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from raw_http import JOB, LIVENESS, POST, ROOT, Server, read_answer, read_to_the_end, serving
from waiting import wait_for

from bayesian_jobs.api.patience import MOST_HELD

SLOW = 30
"""Many more than the API of these tests has threads."""


@pytest.fixture(scope="module")
def hasty(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(shared_database, tmp_path_factory.mktemp("hasty"), seconds=1, JOBS_RATE_LIMIT="60") as found:
        yield found


def test_clients_that_do_not_go_on_keep_the_api_from_nobody(server: Server) -> None:
    begun = {
        "a byte": b"G",
        "a head": LIVENESS[:-2],
        "a body": POST + b"Content-Length: 400\r\n\r\n{",
        "chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    }
    with ExitStack() as slow:
        for sent in begun.values():
            for _ in range(SLOW):
                slow.enter_context(server.connect()).sendall(sent)
            assert server.is_alive()


def test_clients_that_do_not_read_keep_the_api_from_nobody(server: Server) -> None:
    request = b"GET /api/v1/ui/swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as slow:
        for _ in range(SLOW):
            slow.enter_context(server.connect(receive_buffer=4096)).sendall(request * 20)
        for _ in range(SLOW):  # the first answers lie in the buffers of the kernel
            assert server.is_alive()

    status, body = server.ask(request)
    assert status == 200
    assert body == (ROOT / "bayesian_jobs/api/static/swagger/swagger-ui-bundle.js").read_bytes()


def test_more_clients_than_there_is_room_for_keep_the_api_from_nobody(server: Server) -> None:
    with ExitStack() as idle:
        for _ in range(600):
            idle.enter_context(server.connect()).sendall(b"GET /")
        assert server.is_alive()


def test_more_unfinished_requests_than_there_is_memory_for_keep_the_api_from_nobody(server: Server) -> None:
    begun = POST + b"Content-Length: 262144\r\n\r\n" + b" " * 250_000
    with ExitStack() as slow:
        clients = []
        for _ in range(MOST_HELD // len(begun) + 10):
            clients.append(slow.enter_context(server.connect()))
            with suppress(BrokenPipeError, ConnectionResetError):
                clients[-1].sendall(begun)

        wait_for(lambda: any(is_hung_up(client) for client in clients), "one is dropped")
        assert sum(map(is_hung_up, clients)) < len(clients) / 2
        assert server.is_alive()


def is_hung_up(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_a_request_that_does_not_end_is_given_up(hasty: Server) -> None:
    for begun in (b"GET / HT", POST + b"Content-Length: 400\r\n\r\n{"):
        with hasty.connect() as client:
            client.sendall(begun)
            answer = read_to_the_end(client)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "The request did not arrive in time"


def test_a_client_that_does_not_read_is_given_up(hasty: Server) -> None:
    request = b"GET /api/v1/ui/swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with hasty.connect(receive_buffer=4096) as client:
        client.sendall(request * 20)

        def is_given_up() -> bool:
            try:
                client.send(b"x")
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False

        wait_for(is_given_up)


def test_more_requests_than_the_rate_allows_are_refused(hasty: Server) -> None:
    ask = b"GET /api/v1/handlers HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with hasty.connect() as client:
        statuses = []
        while 429 not in statuses:
            client.sendall(ask)
            statuses.append(read_answer(client)[0])
            assert len(statuses) < 1000

    assert statuses[:30] == [200] * 30
    assert hasty.is_alive(), "a probe counts for itself"


def test_a_client_that_sends_one_byte_at_a_time_is_answered(server: Server, jobs: Callable[[], int]) -> None:
    with server.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in POST + b"Content-Length: %d\r\n\r\n" % len(JOB) + JOB:
            client.send(bytes([byte]))
        assert read_answer(client)[0] == 201
    assert jobs() == 1


def test_requests_in_a_row_are_answered_in_a_row(server: Server) -> None:
    requests = LIVENESS + POST + b"Content-Length: %d\r\n\r\n" % len(JOB) + JOB + LIVENESS * 3
    for cut in (len(requests), 1, 50, len(LIVENESS) + 20):
        with server.connect() as client:
            for at in range(0, len(requests), cut):
                client.sendall(requests[at : at + cut])
            client.sendall(LIVENESS.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            answer = read_to_the_end(client)
        assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"201", b"200", b"200", b"200", b"200"]


def test_a_client_that_waits_for_leave_gets_it(server: Server) -> None:
    with server.connect() as client:
        client.sendall(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(JOB))
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        client.sendall(JOB)
        assert b" 201 " in client.recv(1 << 16)


def test_a_huge_chunked_body_is_refused_and_does_not_fill_the_memory(server: Server) -> None:
    assert server.ask(POST + b"Content-Length: 2\r\n\r\n{}")[0] == 400
    server.peak_memory()
    before = server.peak_memory()
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    with server.connect() as client:
        client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(200):
                client.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        else:
            pytest.fail("it took all of 200 MB")
    assert server.peak_memory() - before < 20 * 1024 * 1024
    with server.connect() as client:
        client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk[: 600 * 1024])
        status, body = read_answer(client)
    assert (status, "larger than" in json.loads(body)["error"]) == (413, True)
    assert server.is_alive()


def test_an_announced_body_that_is_too_large_is_refused_before_it_comes(server: Server) -> None:
    status, body = server.ask(POST + b"Content-Length: 99999999\r\n\r\n")

    assert (status, "larger than" in json.loads(body)["error"]) == (413, True)


def test_what_is_no_plain_json_is_refused(server: Server, jobs: Callable[[], int]) -> None:
    bodies = {
        "deep lists": b"[" * 100_000,
        "deep objects": b'{"a":' * 50_000,
        "NaN": b'{"handler": "PruneHistory", "kwargs": {"keep_failures": NaN}}',
        "a name twice": b'{"handler": "PruneHistory", "handler": "PruneHistory"}',
        "NUL": b'{"handler": "Prune\\u0000History"}',
        "UTF-16": '{"handler": "PruneHistory"}'.encode("utf-16"),
        "a list": b"[]",
    }
    for name, body in bodies.items():
        assert server.ask(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)[0] == 400, name

    form = POST.replace(b"application/json", b"application/x-www-form-urlencoded")
    length = b"Content-Length: %d\r\n\r\n" % len(JOB) + JOB
    assert server.ask(form + length)[0] == 415
    assert server.ask(form.replace(b"application/x-www-form-urlencoded", b"text/plain") + length)[0] == 415
    assert server.ask(POST + b"Content-Encoding: gzip\r\n" + length)[0] == 415
    assert jobs() == 0


def test_a_head_that_is_too_large_or_ambiguous_is_refused(server: Server) -> None:
    heads = {
        "a long line": (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        "a long field": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
        "many fields": (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 60 + b"\r\n", 431),
        "an endless field": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000, 431),
        "line feeds": (b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
        "two framings": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400),
        "a compressed body": (POST + b"Transfer-Encoding: gzip\r\n\r\nabc", 400),
        "two lengths": (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        "an unknown coding": (POST + b"Transfer-Encoding: xyz\r\n\r\n", 501),
    }
    for name, (head, status) in heads.items():
        with server.connect() as client:
            client.sendall(head)
            answer = read_to_the_end(client)
        assert int(answer.split()[1]) == status, name
        problem = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert problem["status"] == status, name
        assert problem["error"].startswith("The "), name
        assert b"\r\ncontent-type: application/problem+json\r\n" in answer.lower(), name
    assert server.is_alive()
