"""Behind a pooler a session is not the process's own, and what is noted in it (locks, LISTEN, timeouts) is lost or
shared: no process works there, and each says why."""

import os
import select
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError
from waiting import wait_for

from bayesian_jobs import cli
from bayesian_jobs.store.engine import make_engine

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="there is no program pgbouncer here (Debian: pgbouncer)")


class ToTheServer(socketserver.StreamRequestHandler):
    """Carries what comes by TCP to the server's socket, which lets in the user of the tests and nobody else, whereas
    PgBouncer refuses to be run by root."""

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(self.server.path)  # type: ignore[attr-defined]
            ends = {server: self.connection, self.connection: server}
            while True:
                for ready in select.select(list(ends), [], [])[0]:
                    if not (data := ready.recv(65536)):
                        return
                    ends[ready].sendall(data)


@pytest.fixture
def server_port(database_url: str) -> Iterator[int]:
    """A TCP port of the server."""
    url = make_url(database_url)
    if url.host:
        yield url.port or 5432
        return
    with socketserver.ThreadingTCPServer(("127.0.0.1", free_port()), ToTheServer) as carrier:
        carrier.daemon_threads = True
        carrier.path = f"{url.query['host']}/.s.PGSQL.{url.port or 5432}"  # type: ignore[attr-defined]
        threading.Thread(target=carrier.serve_forever).start()
        yield carrier.server_address[1]
        carrier.shutdown()


@pytest.fixture(params=["session", "transaction"])
def pooler(request: pytest.FixtureRequest, database_url: str, server_port: int, tmp_path: Path) -> Iterator[str]:
    """The URL of the database behind a PgBouncer that keeps the settings of a session to itself."""
    url, port = make_url(database_url), free_port()
    secret = f" password={url.password}" if url.password else ""
    (configuration := tmp_path / "pgbouncer.ini").write_text(f"""
[databases]
* = host={url.host or "127.0.0.1"} port={server_port} user={url.username}{secret}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {request.param}
ignore_startup_parameters = options,extra_float_digits
""")
    command = [str(PGBOUNCER), *(["-u", "nobody"] if os.getuid() == 0 else []), str(configuration)]
    with (tmp_path / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)

    def answers() -> bool:
        assert process.poll() is None, (tmp_path / "pgbouncer.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(answers, "an answer of pgbouncer")
    yield f"postgresql+psycopg2://{url.username}@127.0.0.1:{port}/{url.database}"
    process.terminate()
    process.wait()


@pytest.mark.parametrize("hot", [True, False])
def test_no_connection_is_made_through_a_pooler(pooler, hot):
    engine = make_engine(pooler, "test", hot=hot)
    with pytest.raises(OperationalError, match="a pooler answers for it"):
        engine.connect()


def test_a_command_says_that_there_is_a_pooler(pooler, monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", pooler)
    assert cli.main(["doctor"]) == 1
    assert "a pooler answers for it" in capsys.readouterr().out


def test_a_connection_to_the_server_itself_is_one(database_url):
    with make_engine(database_url, "test").connect():
        pass
