"""A real gunicorn with the API, for tests that speak to it over sockets."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving import listening_address

ROOT = Path(__file__).parents[2]
DEADLINE = 30
LIVENESS = b"GET /api/v1/liveness HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
JOB = b'{"handler": "PruneHistory", "when": "2999-01-01"}'


@contextmanager
def serving(database_url: str, directory: Path, seconds: float, **environment: str) -> Iterator["Server"]:
    """An API with two threads that gives a request, and an answer, so many seconds. It must log no traceback."""
    configuration = directory / "conf.py"
    configuration.write_text(
        f"exec(open({str(ROOT / 'gunicorn.conf.py')!r}).read())\n"
        "from bayesian_jobs.api import patience\n"
        f"patience.REQUEST_SECONDS = patience.ANSWER_SECONDS = {seconds}\n"
    )
    environment = {**os.environ, "DATABASE_URL": database_url, "JOBS_API_THREADS": "2", **environment}
    command = [sys.executable, "-m", "gunicorn", "--config", str(configuration), "--bind", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            address = listening_address(server.stderr)
            yield Server(int(address.rpartition(":")[2]), server.pid)
        finally:
            server.terminate()
            log = server.communicate(timeout=DEADLINE)[1]
    assert "Traceback" not in log, log


class Server:
    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        client = socket.socket()
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(DEADLINE)
        client.connect(("127.0.0.1", self.port))
        return client

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to one request; the connection stays open until it is there."""
        with self.connect() as client:
            client.sendall(request)
            return read_answer(client)

    def is_alive(self) -> bool:
        return self.ask(LIVENESS)[0] == 200

    def peak_memory(self) -> int:
        """Bytes that its largest process has used since the last look."""
        found = []
        for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            found.append(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0])
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew at what it uses now
        return max(map(int, found)) * 1024


def read_answer(client: socket.socket) -> tuple[int, bytes]:
    answer = b""
    while b"\r\n\r\n" not in answer:
        got = client.recv(1 << 16)
        assert got, f"closed after {answer!r}"
        answer += got
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length[1]):
        got = client.recv(1 << 16)
        assert got, f"closed after {len(body)} of {length[1]!r}"
        body += got
    return int(head.split()[1]), body


def read_to_the_end(client: socket.socket) -> bytes:
    """All that comes until the server closes, be it by a reset after what it had to say."""
    answer = b""
    try:
        while got := client.recv(1 << 16):
            answer += got
    except ConnectionResetError:
        pass
    return answer
