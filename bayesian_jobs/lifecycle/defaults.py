"""Default jobs: one YAML file each, registered at every start-up by any number of processes at once.

A job remembers which file it comes from and a digest of the options it held. An unchanged file changes nothing; what
an operator has done to the job meanwhile (paused it) survives, as far as a changed file does not say otherwise.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from bayesian_jobs.errors import Fault, InvalidOptions
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle import define, edit
from bayesian_jobs.lifecycle.options import parse_options
from bayesian_jobs.lifecycle.yaml_files import UnusableFile, read_options
from bayesian_jobs.store import jobs as store
from bayesian_jobs.store.engine import database_now

REQUIRED = ("job_id", "handler", "kwargs")


@dataclass(frozen=True, slots=True)
class Report:
    """What became of each file: job_ids, and for a file that cannot be used its name and the reason."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)


def register(engine: Engine, registry: Registry, directory: Path) -> Report:
    """Register every file of the directory. A file that cannot be used is reported; the others still load."""
    return read_all(directory, lambda name, options: register_file(engine, registry, name, options))


def check(registry: Registry, directory: Path, now: datetime) -> Report:
    """Read every file of the directory, and store nothing: one that can be used is reported as unchanged."""
    return read_all(directory, lambda _, options: ("unchanged", parse_options(options, registry, now).job_id))


def read_all(directory: Path, use: Callable[[str, Mapping[str, Any]], tuple[str, str]]) -> Report:
    """What `use` makes of the name and the options of each file: what was done, and to which job."""
    report = Report()
    taken: dict[str, str] = {}
    for path in sorted([*directory.glob("*.yaml"), *directory.glob("*.yml")]):
        try:
            options, lines = read_options(path, REQUIRED)
            other = taken.setdefault(str(options["job_id"]), path.name)
            if other != path.name:
                raise UnusableFile(f"{other} defines this job already", key="job_id")
            outcome, job_id = use(path.name, options)
            getattr(report, outcome).append(job_id)
        except UnusableFile as error:
            report.rejected.append((path.name, str(error)))
        except InvalidOptions as error:
            report.rejected.append((path.name, "; ".join(with_line(fault, lines) for fault in error.faults)))
    return report


def with_line(fault: Fault, lines: Mapping[str, int]) -> str:
    line = lines.get(fault.option.split(".")[0])
    return f"line {line}: {fault}" if line else str(fault)


def register_file(engine: Engine, registry: Registry, name: str, options: Mapping[str, Any]) -> tuple[str, str]:
    """Returns what was done (added, changed, unchanged) and the job_id. Raises InvalidOptions."""
    origin = {"source": name, "source_digest": digest(options)}
    with engine.connect() as connection:
        now = database_now(connection)
    spec = parse_options(options, registry, now)
    with engine.begin() as connection:
        while (job := store.lock_job(connection, spec.job_id)) is None:
            if define.add(connection, registry, spec, now, origin):
                return "added", spec.job_id
        if job["source_digest"] == origin["source_digest"]:
            return "unchanged", spec.job_id
        changed = parse_options(edit.anchored(options, job), registry, now)
        edit.replace(connection, registry, job, changed, origin)
        return "changed", spec.job_id


def digest(options: Mapping[str, Any]) -> str:
    return sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()
