"""Sends a command's calls to an API over HTTP, or to the same API in this process, straight on the database."""

import getpass
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from falcon.testing import TestClient

from bayesian_jobs.api.app import create_app
from bayesian_jobs.api.authentication import Trust
from bayesian_jobs.bootstrap import assemble
from bayesian_jobs.errors import RequestRefused
from bayesian_jobs.manage.tables import as_text
from bayesian_jobs.remote.call import BASE, Call
from bayesian_jobs.remote.http import Address, read, send
from bayesian_jobs.settings import Settings
from bayesian_jobs.up.prepare import usable_database

TIMEOUT = 60.0
"""Seconds that an API may take to answer."""

Ask = Callable[[Call], dict[str, Any]]


def carry_out(settings: Settings, calls: Sequence[Call], *, api: str | None, as_json: bool) -> int:
    """Print what comes of each call; one that is refused is told on stderr and does not keep the others from being
    carried out. The exit code: 0, or 1 if any was refused."""
    refused = False
    with asking_api(api) if api else asking_database(settings) as ask:
        for call in calls:
            try:
                answer = ask(call)
            except RequestRefused as error:
                sys.stderr.write(f"bayesian-jobs: {error}\n")
                refused = True
            else:
                sys.stdout.write(json.dumps(answer, indent=2) + "\n" if as_json else as_text(answer))
    return 1 if refused else 0


@contextmanager
def asking_database(settings: Settings) -> Iterator[Ask]:
    """Raises EmbeddedPostgresError, SettingsError, HandlerUnusable."""
    with usable_database(settings) as settings:
        services = assemble(settings, "command", pool_size=1)
        client = TestClient(create_app(services, Trust("command line", who_types())))

        def ask(call: Call) -> dict[str, Any]:
            answer = client.simulate_request(
                call.method, BASE + call.path, params=call.query, json=call.body, host="localhost"
            )
            return read(answer.status_code, answer.content)

        try:
            yield ask
        finally:
            services.engine.dispose()


@contextmanager
def asking_api(url: str) -> Iterator[Ask]:
    """`url` may leave out the base path; the token of JOBS_API_TOKEN goes along. Raises RequestRefused."""
    token = os.environ.get("JOBS_API_TOKEN", "")
    address = Address.parse(url, token, TIMEOUT, url_name="--api", token_name="JOBS_API_TOKEN")  # noqa: S106
    yield lambda call: send(address, call, patience=0)


def who_types() -> str:
    """The user and the machine, as the audit log names them."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
