"""A PostgreSQL of the rig's own, which it may restart, stop, shift in time and let run out of disk."""

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg2
from ports import free_port

from bayesian_jobs.embedded.account import Account
from bayesian_jobs.embedded.binaries import find_binaries
from rig.clocks import Clock

DATABASE = "torture"
DISK_MB = 800
SPARED = 8 << 20
"""Bytes that are filled by writing, since others may take some at the same time."""

# No power is cut here, only processes are killed: what the kernel was given is kept, and so fsync would only cost time.
# A commit must have reached the kernel all the same before it is answered.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "on",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "log_line_prefix": "%m [%p] %a ",
    "log_checkpoints": "off",
}


class Postgres:
    """One server on a free port of 127.0.0.1, open to everybody there; its data on a small disk of its own if this
    user may mount one."""

    def __init__(self, place: Path, clock: Clock) -> None:
        self.place = place
        self.clock = clock
        self.binaries = find_binaries()
        self.account = Account.choose()
        self.port = free_port()
        self.small_disk = self._mount()
        self.data = place / "data"
        self.data.mkdir(mode=0o700)
        self.account.take(self.data)
        self.restarts = 0

    @property
    def url(self) -> str:
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        """The same database, seen through another port."""
        return f"postgresql://rig@127.0.0.1:{port}/{DATABASE}?sslmode=disable&gssencmode=disable"

    def make(self) -> None:
        self._run("initdb", "-D", self.data, "-U", "rig", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        lines = [f"{name} = '{value}'\n" for name, value in SETTINGS.items()]
        with (self.data / "postgresql.conf").open("a") as config:
            config.writelines([*lines, f"port = {self.port}\n", f"unix_socket_directories = '{self.data}'\n"])
        self.start()
        maintenance = psycopg2.connect(self.url.replace(f"/{DATABASE}?", "/postgres?"))
        maintenance.autocommit = True
        maintenance.cursor().execute(f"CREATE DATABASE {DATABASE}")
        maintenance.close()

    def start(self) -> None:
        self._pg_ctl("start", "-l", self.data / "log")

    def stop(self, mode: str) -> None:
        """`mode`: fast, or immediate, which is what a crash is."""
        self._pg_ctl("stop", "-m", mode)

    def restart(self, mode: str) -> None:
        if self.is_running():
            self.stop(mode)
        self.start()
        self.restarts += 1

    def is_running(self) -> bool:
        return self._call("pg_ctl", "status", "-D", self.data).returncode == 0

    def connect(self) -> Any:
        """A session of the rig's own, past all proxies, in autocommit. Raises psycopg2.OperationalError."""
        session = psycopg2.connect(self.url, connect_timeout=3, application_name="rig")
        session.autocommit = True
        return session

    def fill_disk(self) -> None:
        """Leave no room on its small disk."""
        free = os.statvfs(self.place).f_bavail * os.statvfs(self.place).f_frsize
        with self._ballast.open("wb", buffering=0) as ballast:
            try:
                os.posix_fallocate(ballast.fileno(), 0, max(free - SPARED, 1))  # much faster than writing
                ballast.seek(0, os.SEEK_END)
                while ballast.write(bytes(1 << 20)):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def free_disk(self) -> None:
        """And start it again, should it have given up."""
        self._ballast.unlink(missing_ok=True)
        if not self.is_running():
            self.start()

    def remove(self) -> None:
        """All but its log, which is kept beside its place."""
        if self.is_running():
            self.stop("immediate")
        if (log := self.data / "log").exists():
            shutil.copyfile(log, self.place.with_suffix(".log"))
        if self.small_disk:
            subprocess.run(["umount", "--lazy", self.place], check=True)

    @property
    def _ballast(self) -> Path:
        return self.place / "ballast"

    def _mount(self) -> bool:
        """Whether a disk of limited size could be mounted for it, which only root may."""
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0711", "torture", self.place]
        return os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0

    def _pg_ctl(self, verb: str, *options: Any) -> None:
        self._run("pg_ctl", verb, "-D", self.data, "-w", "-t", "120", *options)

    def _run(self, program: str, *arguments: Any) -> None:
        done = self._call(program, *arguments)
        if done.returncode != 0:
            log = self.data / "log"
            said = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise RuntimeError(f"{program} {' '.join(map(str, arguments))}: {done.stdout}\n{said}")

    def _call(self, program: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
        # To a file of its own, and not to a pipe: the server would inherit it, and nobody would see its end.
        with (self.place / "said").open("w+") as said:
            done = subprocess.run(
                [self.binaries / program, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC", **self.clock.environment},
                start_new_session=True,
                user=self.account.uid if self.account.lesser else None,
                group=self.account.gid if self.account.lesser else None,
                extra_groups=[] if self.account.lesser else None,
                check=False,
            )
            said.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, said.read())
