"""The directory of default jobs: one YAML file each. What cannot be used is told, all of it at once."""

import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bayesian_jobs.domain.job import JobSpec
from bayesian_jobs.errors import Fault, InvalidOptions, shortened
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle.options import parse_options
from bayesian_jobs.lifecycle.yaml_files import Document, Flaw, UnusableFile, read_yaml

SUFFIXES = (".yaml", ".yml")
REQUIRED = ("job_id", "handler", "kwargs")


@dataclass(frozen=True, slots=True)
class DefaultFile:
    """A file whose options can be used, and the job that they ask for; `read_at` is the `when` that it leaves out."""

    name: str
    document: Document
    spec: JobSpec
    read_at: datetime

    @property
    def options(self) -> Mapping[str, Any]:
        options: Mapping[str, Any] = self.document.value
        return options

    def unusable(self, faults: Sequence[Fault]) -> UnusableFile:
        return UnusableFile(*flaws_of(self.name, self.document, faults))


@dataclass(slots=True)
class Directory:
    """What lies in a directory now. `job_ids`: of every job that a file names, usable or not."""

    files: list[DefaultFile] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    job_ids: set[str] = field(default_factory=set)
    readable: bool = True


def read_directory(directory: Path, registry: Registry, now: datetime) -> Directory:
    """Read every `*.yaml` and `*.yml` file whose name does not begin with a dot, in the order of their names."""
    found = Directory()
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(SUFFIXES) and name[0] != ".")
    except OSError as error:
        return Directory(flaws=[Flaw(os.fspath(directory), f"cannot be read: {error.strerror}")], readable=False)
    documents = read_documents(directory, names, found.flaws)
    for name, flaws in doubles(documents).items():
        found.job_ids.add(documents.pop(name).value["job_id"])
        found.flaws.extend(flaws)
    for name, document in documents.items():
        if isinstance(job_id := document.value.get("job_id"), str):
            found.job_ids.add(job_id)
        try:
            found.files.append(read_file(name, document, registry, now))
        except UnusableFile as error:
            found.flaws.extend(error.flaws)
    found.flaws.sort(key=lambda flaw: (flaw.file, flaw.line or sys.maxsize))
    return found


def read_documents(directory: Path, names: Sequence[str], flaws: list[Flaw]) -> dict[str, Document]:
    """The mapping of options in each file, by its name; what is wrong with the others is added to `flaws`."""
    documents = {}
    for name in names:
        try:
            documents[name] = read_mapping(directory / name)
        except UnusableFile as error:
            flaws.extend(error.flaws)
    return documents


def read_mapping(path: Path) -> Document:
    """Raises UnusableFile."""
    if not path.name.isprintable():
        raise UnusableFile(Flaw(path.name, "the name of the file holds characters that cannot be shown"))
    document = read_yaml(path)
    if not isinstance(document.value, dict):
        raise UnusableFile(Flaw(path.name, "must hold the options of one job, as key: value", document.line_of("")))
    return document


def doubles(documents: Mapping[str, Document]) -> dict[str, list[Flaw]]:
    """What is wrong with the files that define a job of the same job_id: which one is meant cannot be told."""
    names = defaultdict(list)
    for name, document in documents.items():
        if isinstance(job_id := document.value.get("job_id"), str):
            names[job_id].append(name)
    return {
        name: [Flaw(name, f"{shortened(job_id)}: {', '.join(others)} defines this job, too", line, "job_id")]
        for job_id, same in names.items()
        for name in same
        if (others := [other for other in same if other != name])
        if (line := documents[name].line_of("job_id"))
    }


def read_file(name: str, document: Document, registry: Registry, now: datetime) -> DefaultFile:
    """Raises UnusableFile, with everything that is wrong with the options."""
    options = document.value
    missing = [key for key in REQUIRED if options.get(key) is None]
    faults: Sequence[Fault] = ()
    try:
        spec = parse_options(options, registry, now)
    except InvalidOptions as error:
        faults = [fault for fault in error.faults if fault.option not in missing]
    if missing or faults:
        absent = [Flaw(name, "is required in a default-job file", document.line_of(key), key) for key in missing]
        raise UnusableFile(*absent, *flaws_of(name, document, faults))
    return DefaultFile(name, document, spec, now)


def flaws_of(name: str, document: Document, faults: Sequence[Fault]) -> list[Flaw]:
    return [
        Flaw(name, f"{shortened(fault.value)}: {fault.reason}", document.line_of(fault.option), fault.option)
        for fault in faults
    ]
