"""Who is alive: every scheduler and worker has a row, a lease, and an advisory lock that its session holds.

A process that dies ends its session, which frees the lock at once. One that is frozen, or cut off from the database,
lets its lease run out; so does every one that a pooler keeps from having a session.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from bayesian_jobs import __version__
from bayesian_jobs.store import locks
from bayesian_jobs.store.prepared import Prepared

INSERT = text("""
INSERT INTO processes (kind, hostname, pid, version, lease_until, has_session)
VALUES (:kind, :hostname, :pid, :version, clock_timestamp() + :lease, :has_session) RETURNING process_no
""")
# A session of ours that the server has not yet noticed to be dead would keep the lock from its successor.
END_OLD_SESSION = text("""
SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid <> pg_backend_pid()
  AND application_name = current_setting('application_name')
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint << 32) + objid::bigint = :presence + :process_no
""")
HOLD_LOCK = text("SELECT pg_advisory_lock(:presence + :process_no)")
RENEW = """
UPDATE processes SET lease_until = clock_timestamp() + %(lease)s::interval, missing_since = NULL,
    holding = %(holding)s::uuid[], queues = %(queues)s::text[]
WHERE process_no = %(process_no)s::bigint AND ended_at IS NULL
RETURNING process_no
"""
# Not together with the renewal: whoever locks the whole table of runs for a while must not keep a process from saying
# that it lives.
TO_CANCEL = """
SELECT run_id::text FROM runs
WHERE run_id = ANY(%(holding)s::uuid[]) AND worker = %(process_no)s::bigint AND state = 'running'
  AND cancel_requested_at IS NOT NULL
"""
END = text("""
UPDATE processes SET ended_at = clock_timestamp(), holding = '{}' WHERE process_no = :process_no AND ended_at IS NULL
""")
HOLDING = text("SELECT holding::text[] FROM processes WHERE process_no = :process_no AND ended_at IS NULL")
# Trying the lock of a living process fails; of a dead one it succeeds, and the lock is freed with the statement.
MISSING = text("""
WITH missing AS MATERIALIZED (
    SELECT process_no FROM processes
    WHERE ended_at IS NULL AND process_no <> :me AND has_session AND pg_try_advisory_xact_lock(:presence + process_no)
)
UPDATE processes SET missing_since = clock_timestamp()
WHERE process_no IN (SELECT process_no FROM missing) AND ended_at IS NULL AND missing_since IS NULL
""")
OTHERS = text("""
SELECT coalesce(bool_or(missing_since IS NOT NULL OR lease_until < clock_timestamp()
                        OR has_session AND pg_try_advisory_xact_lock(:presence + process_no)), false) AS any_not_well,
       coalesce(bool_or(holding <> '{}'), false) AS any_holding
FROM processes WHERE ended_at IS NULL AND process_no <> :me
""")
DEAD = """
ended_at IS NULL AND process_no <> :me
AND (lease_until < clock_timestamp() OR missing_since < clock_timestamp() - CAST(:patience AS interval))
"""
FIND_DEAD = text(f"SELECT process_no FROM processes WHERE {DEAD} ORDER BY process_no")
GIVE_UP = text(f"""
UPDATE processes SET ended_at = clock_timestamp()
WHERE process_no = (SELECT process_no FROM processes WHERE process_no = :process_no AND {DEAD} FOR UPDATE SKIP LOCKED)
RETURNING process_no, kind, hostname, pid, holding::text[] AS holding
""")
HELD_RUNS = text("""
SELECT run_id::text, scheduled_for, attempt, recoveries FROM runs
WHERE run_id = ANY(CAST(:run_ids AS uuid[])) AND worker = :process_no AND state = 'running'
""")
ALIVE = text("""
SELECT kind, count(*) FROM processes
WHERE ended_at IS NULL AND lease_until > clock_timestamp() AND missing_since IS NULL GROUP BY kind
""")
LIVING = text("""
SELECT process_no, kind, hostname, pid, version, started_at, lease_until, missing_since, has_session, queues,
       cardinality(holding) AS executing, lease_until > clock_timestamp() AND missing_since IS NULL AS alive
FROM processes WHERE ended_at IS NULL ORDER BY process_no LIMIT :most
""")
MOST_LISTED = 1000
PRUNE = text("DELETE FROM processes WHERE ended_at < clock_timestamp() - CAST(:retention AS interval)")

renew_statement = Prepared("renew", RENEW)
to_cancel_statement = Prepared("to_cancel", TO_CANCEL)


@dataclass(frozen=True, slots=True)
class Others:
    """Whether some other process seems to be dead, and whether some other one notes that it holds runs."""

    any_not_well: bool
    any_holding: bool


@dataclass(frozen=True, slots=True)
class DeadProcess:
    process_no: int
    kind: str
    hostname: str
    pid: int
    holding: list[str]


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A run that is recorded as running on a process."""

    run_id: str
    scheduled_for: datetime
    attempt: int
    recoveries: int


def register(connection: Connection, kind: str, lease: timedelta, *, has_session: bool = True) -> int:
    """Enter this process, alive until `lease` has passed; if it `has_session`, as long as that holds its advisory lock.
    Returns its process_no."""
    values = {
        "kind": kind,
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "version": __version__,
        "lease": lease,
        "has_session": has_session,
    }
    process_no: int = connection.execute(INSERT, values).scalar_one()
    return process_no


def hold_presence(connection: Connection, process_no: int) -> None:
    """Take the session's advisory lock that says that this process lives; it lasts as long as the session. An older
    session of the process that still holds it is ended."""
    values = {"presence": locks.PRESENCE, "process_no": process_no}
    connection.execute(END_OLD_SESSION, values)
    connection.execute(HOLD_LOCK, values)


def renew_lease(
    connection: Connection,
    process_no: int,
    lease: timedelta,
    holding: Sequence[str] = (),
    queues: Sequence[str] = (),
) -> bool:
    """Say that the process is alive, which runs it executes, and from which queues it takes more. False: it has been
    given up for dead."""
    values = {"process_no": process_no, "lease": lease, "holding": list(holding), "queues": list(queues) or None}
    return bool(renew_statement.run(connection, values))


def runs_to_cancel(connection: Connection, process_no: int, holding: Sequence[str]) -> list[str]:
    """Which of the runs that the process executes somebody has asked to cancel."""
    rows = to_cancel_statement.run(connection, {"process_no": process_no, "holding": list(holding)})
    return [row.run_id for row in rows]


def end(connection: Connection, process_no: int) -> None:
    connection.execute(END, {"process_no": process_no})


def read_holding(connection: Connection, process_no: int) -> list[str] | None:
    """The runs that are noted as held by the process; None if it has been given up for dead."""
    holding: list[str] | None = connection.execute(HOLDING, {"process_no": process_no}).scalar()
    return holding


def look_at_others(connection: Connection, me: int) -> Others:
    """Writes nothing."""
    return Others(*connection.execute(OTHERS, {"presence": locks.PRESENCE, "me": me}).one())


def note_missing(connection: Connection, me: int) -> None:
    """Note which processes have no session now. One that has a session again clears the note itself."""
    connection.execute(MISSING, {"presence": locks.PRESENCE, "me": me})


def find_dead(connection: Connection, me: int, patience: timedelta) -> list[int]:
    """The processes whose lease has run out, or whose session has been missing for longer than `patience` (so that
    one that reconnects after a restart of the database keeps its runs)."""
    return list(connection.execute(FIND_DEAD, {"me": me, "patience": patience}).scalars())


def give_up(connection: Connection, process_no: int, me: int, patience: timedelta) -> DeadProcess | None:
    """End a process if it is dead, as `find_dead` has it, and if nobody else does so."""
    row = connection.execute(GIVE_UP, {"process_no": process_no, "me": me, "patience": patience}).first()
    return DeadProcess(row.process_no, row.kind, row.hostname, row.pid, row.holding) if row else None


def held_runs(connection: Connection, process_no: int, run_ids: Sequence[str]) -> list[HeldRun]:
    """Those of `run_ids` that are recorded as running on the process."""
    rows = connection.execute(HELD_RUNS, {"run_ids": list(run_ids), "process_no": process_no})
    return [HeldRun(row.run_id, row.scheduled_for, row.attempt, row.recoveries) for row in rows]


def alive(connection: Connection) -> Mapping[str, int]:
    """How many processes of each kind are alive."""
    rows = connection.execute(ALIVE)
    return {kind: number for kind, number in rows}


def list_living(connection: Connection) -> list[Mapping[str, Any]]:
    """The schedulers and workers that have neither ended nor been given up, the oldest first; MOST_LISTED at most."""
    return [row._asdict() for row in connection.execute(LIVING, {"most": MOST_LISTED})]


def prune(connection: Connection, retention: timedelta) -> int:
    """Forget processes that ended longer than `retention` ago."""
    return connection.execute(PRUNE, {"retention": retention}).rowcount
