"""Default jobs: one YAML file each, registered at every start-up by any number of processes at once.

A job remembers which file it comes from and the options that the file held. An unchanged file changes nothing; of a
changed one, what has changed in it is applied; whatever else an operator has done to the job meanwhile survives. A job
that nobody made from a file is never taken over, and one whose file is gone is removed only when that is asked for.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from logging import Logger
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.domain.audit import DEFAULT_FILES
from bayesian_jobs.domain.job import JobState
from bayesian_jobs.domain.json_values import as_kept, same_json
from bayesian_jobs.errors import Fault, InvalidOptions
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle import define, edit
from bayesian_jobs.lifecycle.default_files import DefaultFile, Directory, read_directory
from bayesian_jobs.lifecycle.options import ARGUMENTS, DEFAULTS, TRIGGER, parse_changes
from bayesian_jobs.lifecycle.yaml_files import Flaw, UnusableFile, shown
from bayesian_jobs.store import jobs as store
from bayesian_jobs.store.audit import Signed
from bayesian_jobs.store.engine import Transactions, database_now, is_lost


@dataclass(frozen=True, slots=True)
class Orphan:
    """A job, and the file that defined it and does so no more."""

    job_id: str
    file: str


@dataclass(slots=True)
class Report:
    """What became of each job, and what is wrong with each file that cannot be used. `refusal`: why no orphaned job
    was removed although that was asked for."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    orphaned: list[Orphan] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    rejected: list[Flaw] = field(default_factory=list)
    refusal: str | None = None


def register(engine: Engine, registry: Registry, directory: Path, *, prune: bool = False) -> Report:
    """Register every file of the directory. One that cannot be used is reported; the others still load.

    `prune`: remove the orphaned jobs, unless a file cannot be used or there is none.
    """
    found = read(engine, registry, directory)
    report = Report(rejected=list(found.flaws))
    signed = Signed(engine, DEFAULT_FILES)
    for file in found.files:
        try:
            with signed.begin() as connection:
                outcome = register_file(connection, registry, file)
        except UnusableFile as error:
            report.rejected.extend(error.flaws)
        else:
            getattr(report, outcome).append(file.spec.job_id)
    with engine.connect() as connection:
        report.orphaned = orphans(connection, found, report.rejected)
    if prune and report.orphaned:
        report.refusal = why_not_certain(found, report.rejected)
        if report.refusal is None:
            remove_orphans(signed, registry, directory, report)
    return report


def read(engine: Engine, registry: Registry, directory: Path) -> Directory:
    with engine.connect() as connection:
        now = database_now(connection)
    return read_directory(directory, registry, now)


def register_file(connection: Connection, registry: Registry, file: DefaultFile) -> str:
    """Lock the file's job and make it what the file asks for. Returns what was done: added, changed or unchanged.

    Raises UnusableFile.
    """
    try:
        while (job := store.lock_job(connection, file.spec.job_id)) is None:
            if define.add(connection, registry, file.spec, file.read_at, origin_of(file)):
                return "added"
        return apply(connection, registry, job, file)
    except InvalidOptions as error:
        raise file.unusable(error.faults) from error
    except DBAPIError as error:
        if is_lost(error):
            raise
        reason = f"the database does not take it: {' '.join(str(error.orig).split())}"
        raise file.unusable([Fault("job_id", file.spec.job_id, reason)]) from error


def origin_of(file: DefaultFile) -> dict[str, Any]:
    return {"source": file.name, "source_options": as_kept(dict(file.options))}


def apply(connection: Connection, registry: Registry, job: define.Job, file: DefaultFile) -> str:
    """Bring what has changed in the file to its locked job. Raises InvalidOptions."""
    if job["source"] is None:
        reason = "exists already and comes from no file: delete that job, or give the one of the file another job_id"
        raise InvalidOptions([Fault("job_id", job["job_id"], reason)])
    changes = changes_of(file, job, registry.get(file.spec.handler).queue)
    if changes:
        edit.check_changeable(job)
        change(connection, registry, job, changes)
    if changes or job["source"] != file.name or job["source_options"] is None:
        store.change_origin(connection, job["job_no"], origin_of(file))
    return "changed" if changes else "unchanged"


def changes_of(file: DefaultFile, job: define.Job, queue: str) -> dict[str, Any]:
    """The options that the file sets otherwise than when it was last applied to the locked job, None standing for an
    option's default; one that is written out is the same as none. `queue`: that of the handler.

    A trigger is taken as a whole, and so are a handler and its kwargs: mixed with what an operator has set, their parts
    might not fit each other.
    """
    before = job["source_options"]
    if before is None and job["source_digest"] == digest(file.options):  # by a version that did not keep them
        return {}
    if before is None:
        before = {"job_id": file.spec.job_id, "state": file.options.get("state")}
    names = {*before, *file.options}
    named = {name for name in names if not same_json(said(before, name, queue), said(file.options, name, queue))}
    for together in (TRIGGER, ARGUMENTS):
        if not named.isdisjoint(together):
            named.update(together)
    options = {**edit.anchored(file.options, job), "state": file.spec.state}
    return {name: options.get(name) for name in named}


def said(options: Mapping[str, Any], name: str, queue: str) -> Any:
    """What an option is; None: left out, and its default cannot be written out."""
    value = options.get(name)
    return {**DEFAULTS, "queue": queue}.get(name) if value is None else value


def digest(options: Mapping[str, Any]) -> str:
    """As earlier versions have made it."""
    return sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()


def change(connection: Connection, registry: Registry, job: define.Job, changes: Mapping[str, Any]) -> None:
    """Raises InvalidOptions."""
    definition = {name: value for name, value in changes.items() if name != "state"}
    spec = parse_changes(edit.spec_of(job, registry), definition, registry, database_now(connection))
    edit.become(connection, registry, job, spec)
    if "state" in changes and job["state"] != JobState.FINISHED:
        define.set_state(connection, spec.job_id, changes["state"])


def orphans(connection: Connection, found: Directory, flaws: Sequence[Flaw]) -> list[Orphan]:
    """The jobs that come from a file which no longer defines them. One that cannot be used today may well do so."""
    if not found.readable:
        return []
    unusable = {flaw.file for flaw in flaws}
    return [
        Orphan(job_id, source)
        for job_id, source in store.jobs_from_files(connection)
        if job_id not in found.job_ids and source not in unusable
    ]


def why_not_certain(found: Directory, flaws: Sequence[Flaw]) -> str | None:
    """Why it cannot be told for certain that no file defines a job; None: it can."""
    if flaws:
        return f"{shown(flaws[0].file)} cannot be used, and what it is to define is not known"
    return None if found.files else "the directory holds no default job at all, which may be a mistake"


def remove_orphans(engine: Transactions, registry: Registry, directory: Path, report: Report) -> None:
    """Remove the orphaned jobs of the report, as long as that they are is certain.

    The directory is read anew under the lock of each job: a process that has found its file unchanged before had read
    the file earlier still, and so it is seen here; one that comes later finds no job, and adds it again.
    """
    for orphan in list(report.orphaned):
        with engine.begin() as connection:
            job = store.lock_job(connection, orphan.job_id)
            found = read_directory(directory, registry, database_now(connection))
            report.refusal = why_not_certain(found, found.flaws)
            if report.refusal is not None:
                return
            if job is None or job["source"] != orphan.file or orphan.job_id in found.job_ids:
                report.orphaned.remove(orphan)
                continue
            define.remove(connection, job)
        report.orphaned.remove(orphan)
        report.removed.append(orphan.job_id)


def tell(report: Report, log: Logger) -> None:
    """Log what was done, and warn of what somebody should look at."""
    for word in ("added", "changed", "removed"):
        for job_id in getattr(report, word):
            log.info("default job %s %s", job_id, word)
    for flaw in report.rejected:
        log.warning("default job not used: %s: %s", shown(flaw.file), flaw)
    for orphan in report.orphaned:
        log.warning("default job %s: %s defines it no more", orphan.job_id, orphan.file)
