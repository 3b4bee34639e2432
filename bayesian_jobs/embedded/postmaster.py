"""PostgreSQL's own programs: make a cluster, start its server, find it, stop it."""

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bayesian_jobs.embedded.account import Account, own_name
from bayesian_jobs.embedded.binaries import major_of
from bayesian_jobs.embedded.config import ROLE, write_config
from bayesian_jobs.embedded.place import SOCKET_NAME, Place
from bayesian_jobs.errors import EmbeddedPostgresError

START_SECONDS = 60
STOP_SECONDS = 60

# What the server says when another one is just starting, or what a killed one left behind has not ended yet.
_SOON_OVER = ("already exists", "still in use")


@dataclass(frozen=True, slots=True)
class Postmaster:
    """One cluster and the programs for it. The caller holds the gate: nobody else starts or stops it."""

    binaries: Path
    account: Account
    place: Place
    durable: bool

    def make_cluster(self, gate: int) -> None:
        """initdb, all or nothing. It inherits the gate: if we are killed, the next one waits for its end."""
        staged = self.place.cluster.with_suffix(".new")
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(mode=0o700)
        self.account.take(staged)
        options = [
            f"--username={ROLE}",
            "--auth-local=peer",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale=C",
        ]
        options += ["--data-checksums"] if self.durable else ["--no-sync"]
        if major_of(self.binaries) >= 17:
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        made = self.account.run(self.binaries / "initdb", "-D", staged, *options, timeout=300, keep=(gate,))
        _require_success(made, "PostgreSQL's data directory could not be made")
        staged.rename(self.place.cluster)
        _sync_directory(self.place.home)

    def process_id(self) -> int | None:
        """Of the server that runs on this cluster, None when there is none, whatever an old pid file says."""
        try:
            pid = int(self._pid_file.read_text().split("\n")[0])
        except (FileNotFoundError, ValueError):
            return None
        return pid if str(self.place.cluster) in _command_line(pid) else None

    def start(self) -> bool:
        """Start the server and wait until it answers; False when it must be tried again shortly.

        Only for a cluster without a server: an old pid file, whose number may be another process's by now, is
        removed. That is safe: while a process of its predecessor still uses the shared memory, the server
        refuses to start.
        """
        self._pid_file.unlink(missing_ok=True)
        for leftover in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
            (self.place.socket_dir / leftover).unlink(missing_ok=True)
        self._start_log.unlink(missing_ok=True)
        config = write_config(self.place, own_name(), durable=self.durable)
        options = f"-c config_file={shlex.quote(str(config))}"
        started = self._pg_ctl("start", "-l", self._start_log, "-o", options, seconds=START_SECONDS)
        if started.returncode == 0:
            return True
        said = _text_of(self._start_log)
        if any(phrase in said for phrase in _SOON_OVER):
            return False
        last_words = _last_lines(_text_of(self._newest_log()) or said or started.stdout)
        raise EmbeddedPostgresError(f"PostgreSQL did not start ({self.place.cluster}): {last_words}")

    def stop(self) -> None:
        """Stop the server, whoever is connected, and wait until it has ended. Harmless if it does not run."""
        if self.process_id() is None:
            return
        stopped = self._pg_ctl("stop", "-m", "fast" if self.durable else "immediate", seconds=STOP_SECONDS)
        if self.process_id() is not None:
            _require_success(stopped, "PostgreSQL did not stop")

    def _pg_ctl(self, verb: str, *options: str | Path, seconds: int) -> subprocess.CompletedProcess[str]:
        command = (
            self.binaries / "pg_ctl",
            verb,
            "-D",
            self.place.cluster,
            "-w",
            "-t",
            str(seconds),
            *options,
        )
        return self.account.run(*command, timeout=seconds + 30)

    def _newest_log(self) -> Path:
        """Where the server wrote since it opened log files of its own, if it came that far."""
        own = self.place.cluster.glob("log/*.log")
        began = self._start_log.stat().st_mtime if self._start_log.exists() else 0
        newer = (path for path in own if path.stat().st_mtime >= began)
        return max(newer, key=lambda path: path.stat().st_mtime, default=self._start_log)

    @property
    def _pid_file(self) -> Path:
        return self.place.cluster / "postmaster.pid"

    @property
    def _start_log(self) -> Path:
        return self.place.cluster / "start.log"


def _command_line(pid: int) -> str:
    """The arguments of a process, empty when it is gone or a zombie."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="surrogateescape")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603


def _text_of(log: Path) -> str:
    return log.read_text(errors="replace") if log.exists() else ""


def _require_success(done: subprocess.CompletedProcess[str], failure: str) -> None:
    if done.returncode != 0:
        raise EmbeddedPostgresError(f"{failure}: {_last_lines(done.stdout)}")


def _last_lines(text: str, count: int = 5) -> str:
    return " / ".join(line.strip() for line in text.strip().splitlines()[-count:]) or "it said nothing"


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
