"""The account that runs the server: our own, or, since PostgreSQL refuses root, a lesser one."""

import os
import pwd
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bayesian_jobs.errors import EmbeddedPostgresError

_LESSER_ACCOUNTS = ("postgres", "nobody")
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Account:
    """Who the server is to the operating system. `lesser`: we are root and become this for its programs."""

    uid: int
    gid: int
    lesser: bool

    @classmethod
    def choose(cls, owner: int | None = None) -> "Account":
        """Ourselves; for root the owner of the existing cluster, else `postgres`, else `nobody`."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), lesser=False)
        entry = _entry_of(owner) if owner else _first_lesser_account()
        return cls(entry.pw_uid, entry.pw_gid, lesser=True)

    def run(
        self, *command: str | Path, timeout: float = 60, keep: tuple[int, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this account, out of Ctrl-C's reach and with next to no environment.

        `keep` are open files that it inherits. When we are told to stop (Ctrl-C, SIGTERM) it is awaited all the
        same: half a start would be a server that nobody knows of. Raises EmbeddedPostgresError when it cannot be
        started, or takes longer than `timeout` seconds.
        """
        program = partial(
            subprocess.run,
            command,
            check=False,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            env=_environment(),
            start_new_session=True,
            pass_fds=keep,
            user=self.uid if self.lesser else None,
            group=self.gid if self.lesser else None,
            extra_groups=[] if self.lesser else None,
        )
        try:
            with ThreadPoolExecutor(1) as aside:  # What a signal interrupts is the main thread's waiting for it.
                return aside.submit(program).result()
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedPostgresError(f"{command[0]} could not be run as user {self.uid}: {error}") from error

    def may_use(self, path: Path) -> bool:
        """Whether this account can enter this directory, or execute this file."""
        return not self.lesser or self.run("test", "-x", path).returncode == 0

    def take(self, directory: Path) -> None:
        """Make a directory of ours this account's own."""
        if self.lesser:
            os.chown(directory, self.uid, self.gid)


def own_name() -> str:
    """The name by which the kernel's word about us (peer authentication) is looked up."""
    return _entry_of(os.geteuid()).pw_name


def _entry_of(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError as error:
        raise EmbeddedPostgresError(
            f"PostgreSQL cannot run for user id {uid}, which has no entry in /etc/passwd: add one, or set DATABASE_URL"
        ) from error


def _first_lesser_account() -> pwd.struct_passwd:
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in _LESSER_ACCOUNTS:
        if name in known:
            return known[name]
    raise EmbeddedPostgresError("PostgreSQL refuses to run as root, and there is no user 'postgres' or 'nobody'")


def _environment() -> dict[str, str]:
    # PG* variables would change what the programs do, and root's secrets are none of the server's business.
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {"PATH": os.defpath} | kept | {"LC_ALL": "C", "TZ": "UTC"}
