"""A real PgBouncer for tests, on a free port."""

import os
import select
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ports import free_port
from sqlalchemy import URL
from waiting import wait_for

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
# A server that has just come back is asked again soon, and not after fifteen seconds.
CONFIGURATION = """
[databases]
* = host={host} port={port} user={user}{secret}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
max_client_conn = 1000
default_pool_size = {size}
server_login_retry = 1
{more}
"""


class Pgbouncer:
    """Lets everybody in as `user`; `mode`: transaction, or session."""

    def __init__(
        self,
        place: Path,
        mode: str,
        *,
        host: str = "127.0.0.1",
        port: int,
        user: str,
        password: str | None = None,
        size: int = 20,
        more: str = "",
    ) -> None:
        if PGBOUNCER is None:
            raise RuntimeError("there is no program pgbouncer here (Debian: pgbouncer)")
        self.port = free_port()
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None
        secret = f" password={password}" if password else ""
        self._configuration = place / "pgbouncer.ini"
        self._configuration.write_text(
            CONFIGURATION.format(
                host=host, port=port, user=user, secret=secret, own_port=self.port, mode=mode, size=size, more=more
            )
        )

    def start(self) -> None:
        """Start it, and wait until it answers. It refuses to be run by root."""
        command = [str(PGBOUNCER), *(["-u", "nobody"] if os.getuid() == 0 else []), str(self._configuration)]
        with (self._place / "pgbouncer.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(self._answers, "an answer of pgbouncer")

    def stop(self) -> None:
        """End it at once, and with it all connections."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._place / "pgbouncer.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class ToTheSocket(socketserver.StreamRequestHandler):
    """Carries what comes by TCP to a PostgreSQL's own socket, which lets in the user of the tests and nobody else,
    whereas PgBouncer refuses to be run by root."""

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(self.server.path)  # type: ignore[attr-defined]
            ends = {server: self.connection, self.connection: server}
            while True:
                for ready in select.select(list(ends), [], [])[0]:
                    if not (data := ready.recv(65536)):
                        return
                    ends[ready].sendall(data)


@contextmanager
def tcp_port_of(url: URL) -> Iterator[int]:
    """A TCP port of the server, as long as the block lasts."""
    if url.host:
        yield url.port or 5432
        return
    with socketserver.ThreadingTCPServer(("127.0.0.1", free_port()), ToTheSocket) as carrier:
        carrier.daemon_threads = True
        carrier.path = f"{url.query['host']}/.s.PGSQL.{url.port or 5432}"  # type: ignore[attr-defined]
        threading.Thread(target=carrier.serve_forever).start()
        yield carrier.server_address[1]
        carrier.shutdown()


@contextmanager
def pgbouncer_at(url: URL, place: Path, mode: str, *, size: int = 20, more: str = "") -> Iterator[str]:
    """The URL (postgresql+psycopg2://) of the same database behind a PgBouncer, as long as the block lasts."""
    with tcp_port_of(url) as port:
        pooler = Pgbouncer(
            place,
            mode,
            host=url.host or "127.0.0.1",
            port=port,
            user=str(url.username),
            password=url.password,
            size=size,
            more=more,
        )
        pooler.start()
        yield f"postgresql+psycopg2://{url.username}@127.0.0.1:{pooler.port}/{url.database}"
        pooler.stop()
