"""Looking at the port before, and at readiness after the start."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bayesian_jobs.settings import Settings
from bayesian_jobs.up import readiness


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one


def settings_for(one: socket.socket) -> Settings:
    return Settings(port=one.getsockname()[1])


def test_a_taken_port_is_reported_in_one_sentence(listener):
    settings = settings_for(listener)
    with pytest.raises(
        readiness.PortTaken, match=rf"^Port {settings.port} on 127.0.0.1 is already in use: .*JOBS_PORT$"
    ):
        readiness.check_port(settings)


def test_a_free_port_passes_and_stays_free(listener):
    settings = settings_for(listener)
    listener.close()
    readiness.check_port(settings)
    readiness.check_port(settings)


def test_an_address_of_another_machine_is_reported(listener):
    with pytest.raises(readiness.AddressUnusable, match=r"^Cannot listen on 192\.0\.2\.1, port "):
        readiness.check_port(Settings(host="192.0.2.1", port=listener.getsockname()[1]))


@pytest.mark.parametrize(
    ("status", "workers", "actors", "expected"),
    [
        (200, 1, (), True),
        (503, 1, (), False),
        (200, 1, ("my.actors",), False),
        (200, 2, ("my.actors",), True),
    ],
)
def test_the_service_is_ready_when_readiness_answers_200_and_all_workers_are_there(status, workers, actors, expected):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/api/v1/readiness" else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"ready": True, "checks": {"workers": workers}}).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert readiness.is_ready(Settings(port=server.server_port, actors=actors)) is expected
        thread.join()


def test_nobody_listening_means_not_ready(listener):
    settings = settings_for(listener)
    listener.close()
    assert readiness.is_ready(settings) is False


def test_an_ipv6_address_is_bracketed_in_urls():
    assert readiness.base_url(Settings(host="::1", port=34000)) == "http://[::1]:34000/api/v1"
