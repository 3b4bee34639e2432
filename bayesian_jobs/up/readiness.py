"""Whether the API can be started here, and whether it answers that the service is ready."""

import errno
import http.client
import json
import socket

from bayesian_jobs.errors import BayesianJobsError
from bayesian_jobs.settings import Settings

PATIENCE = 1.0


class PortTaken(BayesianJobsError):
    def __init__(self, settings: Settings) -> None:
        super().__init__(
            f"Port {settings.port} on {settings.host} is already in use: stop the program that listens there"
            " (another `up`?) or choose another port with JOBS_PORT"
        )


class AddressUnusable(BayesianJobsError):
    def __init__(self, settings: Settings, error: OSError) -> None:
        super().__init__(f"Cannot listen on {settings.host}, port {settings.port}: {error.strerror}")


def check_port(settings: Settings) -> None:
    """Raises PortTaken or AddressUnusable, before anything has been started for nothing."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(settings) from error
        raise AddressUnusable(settings, error) from error


def is_ready(settings: Settings) -> bool:
    """Whether readiness answers 200 and sees every worker that `up` runs; takes a second at most."""
    workers = 2 if settings.actors else 1
    connection = http.client.HTTPConnection(settings.host, settings.port, timeout=PATIENCE)
    try:
        connection.request("GET", "/api/v1/readiness")
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            return False
        seen: int = json.load(answer)["checks"]["workers"]
        return seen >= workers
    except (OSError, http.client.HTTPException):
        return False  # not listening yet, or restarting: the answer to the question, not an error
    finally:
        connection.close()


def base_url(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}/api/v1"
