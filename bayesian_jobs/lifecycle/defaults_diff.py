"""What registering the default jobs would do now, and where a job is not what its file says. Nothing is stored.

Each file is registered in a transaction that is rolled back: what is told is what registering comes to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from bayesian_jobs.domain.durations import format_duration
from bayesian_jobs.domain.job import JobSpec
from bayesian_jobs.domain.json_values import same_json
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle import edit
from bayesian_jobs.lifecycle.default_files import DefaultFile
from bayesian_jobs.lifecycle.defaults import Orphan, orphans, read, register_file
from bayesian_jobs.lifecycle.options import parse_options, with_trigger
from bayesian_jobs.lifecycle.yaml_files import Flaw, UnusableFile
from bayesian_jobs.store import jobs as store
from bayesian_jobs.store.engine import database_now

Options = Mapping[str, Any]
"""The options of a job, as people write them."""

Changes = Mapping[str, tuple[Any, Any]]
"""Options by name: what they are, and what they are elsewhere or would become."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one file: `outcome` is what registering it would do to its job (added, changed, unchanged), `changes` what it
    would make of the job's options (now, then), and `kept` what somebody changed at run time and stays so (in the
    file, in the job)."""

    job_id: str
    file: str
    outcome: str
    changes: Changes
    kept: Changes


@dataclass(slots=True)
class Diff:
    files: list[Difference] = field(default_factory=list)
    orphaned: list[Orphan] = field(default_factory=list)
    rejected: list[Flaw] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether the files and the database differ in anything."""
        differing = (each for each in self.files if each.outcome != "unchanged" or each.kept)
        return bool(self.orphaned or self.rejected or any(differing))


def diff(engine: Engine, registry: Registry, directory: Path) -> Diff:
    """Compare the files of the directory with the database. Locks the job of each file for the moment."""
    found = read(engine, registry, directory)
    result = Diff(rejected=list(found.flaws))
    for file in found.files:
        with engine.connect() as connection:
            try:
                result.files.append(difference(connection, registry, file))
            except UnusableFile as error:
                result.rejected.extend(error.flaws)
            finally:
                connection.rollback()
    with engine.connect() as connection:
        result.orphaned = orphans(connection, found, result.rejected)
    return result


def difference(connection: Connection, registry: Registry, file: DefaultFile) -> Difference:
    """Registers the file; whoever calls rolls back. Raises UnusableFile."""
    before = store.lock_job(connection, file.spec.job_id)
    outcome = register_file(connection, registry, file)
    after = store.lock_job(connection, file.spec.job_id)
    assert after is not None, "it was locked or added"
    job = options_of(edit.spec_of(after, registry))
    asked = parse_options(edit.anchored(file.options, after), registry, database_now(connection))
    return Difference(
        file.spec.job_id,
        file.name,
        outcome,
        changes=changed(options_of(edit.spec_of(before, registry)), job) if before else {},
        kept=changed(options_of(asked), job),
    )


def options_of(spec: JobSpec) -> Options:
    """The options that make this job."""
    options = {each.name: readable(getattr(spec, each.name)) for each in fields(spec) if each.name != "trigger"}
    return {**options, **with_trigger(spec.trigger, {})}


def readable(value: Any) -> Any:
    return format_duration(value) if isinstance(value, timedelta) else value


def changed(one: Options, other: Options) -> Changes:
    names = sorted({*one, *other})
    pairs = {name: (one.get(name), other.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if not same_json(*pair)}
