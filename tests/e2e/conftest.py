"""The real processes: `python -m bayesian_jobs up` in a place of its own, on a free port."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ports import free_port

ROOT = Path(__file__).parents[2]


class Up:
    """One `up` after another in one place; every process of theirs can be found by the place's name."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.command = [sys.executable, "-m", "bayesian_jobs"]
        self.cwd = ROOT
        self.port = free_port()
        self.log_file = place / "up.log"
        self.settings = {
            "JOBS_PORT": str(self.port),
            "JOBS_DATA_DIR": str(place / "data"),
            "JOBS_ACTORS": str(ROOT / "examples/core_worker.py"),
            "JOBS_FLOWS": str(ROOT / "examples/flows.yaml"),
            "CORE_RESULTS_DIR": str(place / "results"),
            "npm_config_offline": "true",
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, verb: str = "up", **settings: str) -> subprocess.Popen[bytes]:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.place), "LANG": "C.UTF-8", **self.settings}
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(
                [*self.command, *verb.split()],
                cwd=self.cwd,
                env={**environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def start_and_wait(self, **settings: str) -> subprocess.Popen[bytes]:
        """Started, and its banner is written."""
        banners = self.log.count("is ready after")
        process = self.start(**settings)
        self.wait_until(lambda: self.log.count("is ready after") > banners or process.poll() is not None, "ready")
        assert process.poll() is None, self.log
        return process

    def wait_until(self, condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """The first true answer of the condition."""
        give_up = time.monotonic() + seconds
        while not (answer := condition()):
            assert time.monotonic() < give_up, f"not within {seconds} s: {what}; the log:\n{self.log}"
            time.sleep(0.05)
        return answer

    @property
    def log(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    @property
    def base(self) -> str:
        return f"http://localhost:{self.port}/api/v1"

    def get(self, path: str) -> Any:
        """The JSON of a 200, None for any other answer or none at all."""
        try:
            with urllib.request.urlopen(f"{self.base}{path}", timeout=10) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def post(self, path: str) -> Any:
        """The JSON of the answer to an empty JSON object."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.base}{path}", b"{}", headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def child(self, name: str) -> int | None:
        """The newest process id of a child, as the log tells it."""
        banners = [line for line in self.log.splitlines() if line.startswith(" Processes")]
        restarts = [line for line in self.log.splitlines() if f"{name} started again (pid " in line]
        if restarts:
            return int(restarts[-1].rpartition("pid ")[2].rstrip(")"))
        words = banners[-1].replace(",", "").split() if banners else []
        return int(words[words.index(name) + 1]) if name in words else None

    def processes(self) -> dict[int, str]:
        """Everything that `up` started and that still runs: its processes and the embedded server."""
        own = {pid: line for pid, line in command_lines().items() if self._is_ours(pid)}
        server = self.postgres()
        return own | ({server: "postgres"} if server else {})

    def postgres(self) -> int | None:
        """The process id of the embedded server."""
        home = (self.place / "data/postgres").resolve()
        for file in home.glob("pg*/postmaster.pid"):
            pid = file.read_text().split("\n")[0]  # empty for a moment while the server starts
            if pid and str(file.parent) in command_lines().get(int(pid), ""):
                return int(pid)
        return None

    def _is_ours(self, pid: int) -> bool:
        try:
            return f"JOBS_DATA_DIR={self.place}/data\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False

    def end(self) -> None:
        """Leaves nothing running, however the test went; the server is stopped by an `up` that adopts it."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(30)
        if self.postgres():
            from bayesian_jobs.embedded.server import EmbeddedPostgres

            EmbeddedPostgres.start(self.place / "data").stop()


def command_lines() -> dict[int, str]:
    """The arguments of every process that runs; zombies have none."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_text(errors="replace").replace("\0", " ").strip()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if line:
                found[int(entry.name)] = line
    return found


def make_up() -> Iterator[Up]:
    # not pytest's tmp_path, whose parents are closed to the account that runs root's PostgreSQL
    place = Path(tempfile.mkdtemp(prefix="bayesian-jobs-e2e-"))
    place.chmod(0o711)
    one = Up(place)
    try:
        yield one
    finally:
        one.end()
        shutil.rmtree(place)


@pytest.fixture
def up() -> Iterator[Up]:
    """A place for `up` that this test starts and stops itself."""
    yield from make_up()


@pytest.fixture(scope="module")
def service() -> Iterator[Up]:
    """A running `up` for the tests of one file that leave it running."""
    for one in make_up():
        one.start_and_wait()
        yield one
