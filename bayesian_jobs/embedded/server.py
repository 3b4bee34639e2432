"""The life of the embedded server: the first user starts it, all share it, the last one stops it."""

import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg2
from psycopg2.extensions import make_dsn

from bayesian_jobs.embedded.account import Account
from bayesian_jobs.embedded.binaries import find_binaries, major_of, version_of
from bayesian_jobs.embedded.config import PORT, ROLE
from bayesian_jobs.embedded.locks import Membership, gate
from bayesian_jobs.embedded.place import (
    find_home,
    majors_in,
    make_data_dir,
    make_home,
    place_in,
    reachable_binaries,
)
from bayesian_jobs.embedded.postmaster import START_SECONDS, Postmaster
from bayesian_jobs.errors import EmbeddedPostgresError

DATABASE = "bayesian_jobs"
_POLL_SECONDS = 0.05


class EmbeddedPostgres:
    """This process's use of the server of one data directory, until stop(). Also a context manager.

    A server whose users were all killed keeps running; the next user adopts it. A server that was killed is
    started again by the next user, or by ensure_running().
    """

    def __init__(self, data_dir: Path, *, durable: bool) -> None:
        self._durable = durable
        self._data_dir = make_data_dir(data_dir)
        self._link = self._data_dir / ("postgres" if durable else "throw-away")
        self._membership: Membership | None = None
        self._postmaster: Postmaster | None = None

    @classmethod
    def start(cls, data_dir: Path, *, durable: bool = True) -> Self:
        """Be counted as a user of this data directory's server, which is made and started if need be.

        `durable=False` is for tests: fast instead of safe, never started twice, deleted with its last user.
        Raises EmbeddedPostgresError, then nothing that was started here is left running.
        """
        try:
            server = cls(data_dir, durable=durable)
            server._enter()
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links
            raise EmbeddedPostgresError(f"PostgreSQL cannot be kept in {data_dir} (JOBS_DATA_DIR): {error}") from error
        return server

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the database; only the user who started the server can connect."""
        host = quote(str(self._running.place.socket_dir))
        return f"postgresql+psycopg2://{ROLE}@/{DATABASE}?host={host}&port={PORT}"

    @property
    def dsn(self) -> str:
        """The same as libpq's programs take it, such as psql."""
        return make_dsn(host=str(self._running.place.socket_dir), user=ROLE, dbname=DATABASE)

    def ensure_running(self) -> None:
        """Start the server again if it was killed. Raises EmbeddedPostgresError."""
        with gate(self._link.with_suffix(".lock")):
            self._run()

    def stop(self) -> bool:
        """Use the server no longer; stop it when nobody else does, and say so. Harmless if repeated."""
        if self._membership is None:
            return False
        with gate(self._link.with_suffix(".lock")):
            return self._leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _running(self) -> Postmaster:
        if self._membership is None or self._postmaster is None:
            raise EmbeddedPostgresError("The embedded PostgreSQL is not in use: start() it first")
        return self._postmaster

    def _enter(self) -> None:
        with gate(self._link.with_suffix(".lock")) as lock:
            self._membership = Membership(self._link.with_suffix(".users"))
            try:
                self._postmaster = _postmaster_for(self._link, durable=self._durable)
                self._make_cluster(lock)
                self._run()
                self._make_database()
            except BaseException:  # Ctrl-C included: no server without a user
                self._leave()
                raise

    def _leave(self) -> bool:
        assert self._membership is not None
        try:
            last = self._membership.is_last()
            if last and self._postmaster is not None:
                self._postmaster.stop()
                if not self._durable:
                    self._delete()
            return last
        finally:
            self._membership.leave()
            self._membership = None

    def _make_cluster(self, lock: int) -> None:
        postmaster = self._running
        if not self._durable and postmaster.process_id() is None:
            shutil.rmtree(postmaster.place.cluster, ignore_errors=True)
        if not postmaster.place.cluster.exists():
            postmaster.make_cluster(lock)

    def _run(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while (refusal := self._refusal()) is not None:
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"PostgreSQL does not answer after {START_SECONDS} seconds: {refusal}")
            if self._running.process_id() is None and self._running.start():
                continue
            time.sleep(_POLL_SECONDS)

    def _refusal(self) -> str | None:
        """Why the server lets nobody in; None when it does."""
        try:
            self._connect().close()
        except psycopg2.OperationalError as error:
            return str(error).strip()
        return None

    def _make_database(self) -> None:
        connection = self._connect()
        try:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,))
            if cursor.rowcount == 0:
                cursor.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            connection.close()

    def _connect(self) -> "psycopg2.extensions.connection":
        host = str(self._running.place.socket_dir)
        return psycopg2.connect(host=host, port=PORT, user=ROLE, dbname="postgres", connect_timeout=5)

    def _delete(self) -> None:
        place = self._running.place
        shutil.rmtree(place.socket_dir)
        shutil.rmtree(place.home)
        self._link.unlink(missing_ok=True)


def _postmaster_for(link: Path, *, durable: bool) -> Postmaster:
    """The programs that fit the data that is there, and its owner; without data the first ones found."""
    home = find_home(link)
    majors = majors_in(home) if home else []
    binaries = find_binaries(majors[0] if majors else None)
    owner = (home / f"pg{majors[0]}").stat().st_uid if home and majors else None
    account = Account.choose(owner)
    place = place_in(make_home(link, account), major_of(binaries), account)
    return Postmaster(reachable_binaries(binaries, version_of(binaries), account), account, place, durable)
