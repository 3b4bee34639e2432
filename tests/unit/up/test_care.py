"""The embedded server is looked after, but not all the time."""

import io

from bayesian_jobs.errors import EmbeddedPostgresError
from bayesian_jobs.up.care import Care
from bayesian_jobs.up.console import Console


class Server:
    def __init__(self) -> None:
        self.looked = 0
        self.broken = False

    def ensure_running(self) -> None:
        self.looked += 1
        if self.broken:
            raise EmbeddedPostgresError("PostgreSQL did not start")


def test_it_looks_every_five_seconds():
    now, server = [0.0], Server()
    care = Care(server, Console(io.StringIO()), clock=lambda: now[0])
    for moment in (0, 4, 5, 6, 9.9, 10):
        now[0] = moment
        care.look()
    assert server.looked == 2


def test_a_server_that_does_not_come_back_is_said_and_tried_again():
    now, server, log = [0.0], Server(), io.StringIO()
    care = Care(server, Console(log), clock=lambda: now[0])
    server.broken = True
    for moment in (5, 10):
        now[0] = moment
        care.look()
    assert log.getvalue() == "up        | PostgreSQL did not start\n" * 2


def test_a_configured_server_is_none_of_its_business():
    Care(None, Console(io.StringIO()), clock=lambda: 1e9).look()
