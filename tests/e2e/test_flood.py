"""Whatever is sent to the API, the schedulers are on time: by the ledger, while the flood goes on."""

import http.client
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from serving import listening_address
from sqlalchemy import Engine, create_engine, text
from waiting import wait_for

from bayesian_jobs.handlers.registry import discover
from bayesian_jobs.lifecycle import define

ROOT = Path(__file__).parents[2]
FIRES = 6
"""Fire times, a second apart, that pass during the flood; within the 10 seconds that a condition has to come true."""
LATE = timedelta(seconds=5)
HEAD = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def port(database_url: str, tmp_path: Path) -> Iterator[int]:
    """Where the API of a whole service listens."""
    environment = {**os.environ, "DATABASE_URL": database_url, "JOBS_DEFAULT_JOBS_DIR": str(tmp_path)}
    with ExitStack() as running:
        for verb in ("scheduler", "worker"):
            command = [sys.executable, "-m", "bayesian_jobs", verb]
            process = running.enter_context(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
            running.callback(process.terminate)
        command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0"]
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        running.enter_context(server)
        running.callback(server.terminate)
        assert server.stderr is not None
        address = listening_address(server.stderr)
        threading.Thread(target=server.stderr.read, daemon=True).start()
        yield int(address.rpartition(":")[2])


class Flood:
    """Clients that ask, refuse to go on and send without end, all at once, until the block ends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(3)]
        self._threads += [threading.Thread(target=self._send_without_end) for _ in range(2)]
        self._slow = ExitStack()
        self.answers = 0

    def __enter__(self) -> "Flood":
        for _ in range(100):
            client = self._slow.enter_context(socket.create_connection(("127.0.0.1", self._port)))
            client.sendall(HEAD + b"Content-Length: 4000\r\n\r\n{")
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._slow.close()

    def _ask(self) -> None:
        while not self._ended.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            with suppress(OSError, http.client.HTTPException), closing(connection) as client:
                while not self._ended.is_set():
                    client.request("GET", "/api/v1/jobs", headers={"Host": "localhost"})
                    client.getresponse().read()
                    self.answers += 1

    def _send_without_end(self) -> None:
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        while not self._ended.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=20) as client:
                client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
                while not self._ended.is_set():
                    client.sendall(chunk)


def test_a_flood_leaves_the_runs_on_time(port: int, engine: Engine) -> None:
    options = {"job_id": "tick", "handler": "PruneHistory", "periodically": "1 second", "max_concurrent_runs": 20}
    late_ones_run_as_well = {"catch_up": "all", "misfire_grace_time": "1 minute"}
    define.create(engine, discover((), ()), options | late_ones_run_as_well)
    wait_for(lambda: len(runs(engine)) > 0, "a first run")

    with Flood(port) as flood:
        wait_for(lambda: flood.answers > 0, "an answer in the flood")
        began = len(runs(engine))
        wait_for(lambda: len(runs(engine)) >= began + FIRES, "a run for each second of the flood")

    found = runs(engine)
    assert {run.state for run in found} <= {"queued", "running", "succeeded"}
    times = [run.scheduled_for for run in found]
    assert {later - time for time, later in pairwise(times)} == {timedelta(seconds=1)}
    assert all(run.started_at - run.scheduled_for < LATE for run in found if run.started_at is not None)
    assert sum(run.started_at is not None for run in found) >= FIRES
    late = max(run.started_at - run.scheduled_for for run in found if run.started_at is not None)
    sys.stdout.write(f"{len(found)} runs, at most {late.total_seconds():.3f} s late; {flood.answers} answers\n")


def runs(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT * FROM runs WHERE job_id = 'tick' ORDER BY scheduled_for")))
