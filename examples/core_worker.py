"""A core worker: plain Dramatiq, as a fleet that analyses packages would write it, without bayesian_jobs.

`bayesianFlow` takes one package's coordinates, works out its package URL, asks this machine's own package
client what it knows about the package, and keeps that as `<results>/<ecosystem>/<name>/<version>.json`.
"""

import hashlib
import json
import logging
import os
import re
import selectors
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import dramatiq

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 20.0
ANSWER_BYTES = 4_000_000
NPM_FIELDS = ("name", "version", "description", "license", "homepage", "dependencies", "dist.integrity")
PYPI_FIELDS = ("name", "version", "summary", "license", "requires_python", "requires_dist")
EXACT_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]*")


@dramatiq.actor(
    actor_name="bayesianFlow",
    queue_name="core",
    max_retries=3,
    time_limit=120_000,
    notify_shutdown=True,
    throws=ValueError,  # coordinates that cannot be used are no better the next time
)
def bayesian_flow(*, ecosystem: str, name: str, version: str, job_id: str, force: bool = False) -> None:
    """Analyse one package; a result that is there already is kept unless `force` is set.

    The same message may come twice: a result is replaced as a whole, so the second time does no harm.
    Raises ValueError for coordinates that name no package, RuntimeError when the client was killed.
    """
    purl = package_url(ecosystem, name, version)
    target = result_path(results_dir(os.environ), ecosystem, name, version)
    if target.exists() and not force:
        logger.info("%s: has a result already (job %s)", purl, job_id)
        return
    metadata, missing = metadata_of(ecosystem, name, version)
    coordinates = {"ecosystem": ecosystem, "name": name, "version": version, "purl": purl}
    analysis = {"metadata": metadata, "metadata_missing": missing, "job_id": job_id}
    keep(target, coordinates | analysis | {"analysed_at": datetime.now(UTC).isoformat(timespec="seconds")})
    logger.info("%s: %s; kept in %s (job %s)", purl, missing or "metadata found", target, job_id)


class Unanswered(Exception):
    """This machine cannot tell the package's metadata; the text says why. The analysis goes on without."""


# Package URLs: https://github.com/package-url/purl-spec


def package_url(ecosystem: str, name: str, version: str) -> str:
    """`pkg:npm/%40angular/core@1.0.0` and the like. Raises ValueError if they name no package."""
    if ecosystem not in ECOSYSTEMS:
        raise ValueError(f"unknown ecosystem {ecosystem!a} (known: {', '.join(ECOSYSTEMS)})")
    known = ECOSYSTEMS[ecosystem]
    if not (isinstance(name, str) and len(name) <= 500 and known.names.fullmatch(name)):
        raise ValueError(f"not the name of a package of {ecosystem}: {str(name)[:100]!a}")
    if not (isinstance(version, str) and 0 < len(version) <= 200 and version.isprintable()):
        raise ValueError(f"not a version: {str(version)[:100]!a}")
    path = "/".join(encoded(segment) for segment in known.segments(name))
    return f"pkg:{ecosystem}/{path}@{encoded(version)}"


def encoded(text: str) -> str:
    return quote(text, safe=":")  # the one reserved character that the specification leaves as it is


# What this machine's package clients know


def metadata_of(ecosystem: str, name: str, version: str) -> tuple[dict[str, Any] | None, str | None]:
    """The metadata and None, or None and the reason why this machine cannot tell."""
    try:
        return ECOSYSTEMS[ecosystem].metadata(name, version), None
    except Unanswered as reason:
        return None, str(reason)


def npm_metadata(name: str, version: str) -> dict[str, Any]:
    options = ["--json", "--fetch-retries=0", "--fetch-timeout=10000"]
    view = ask("npm", ["view", *options, "--", f"{name}@{exact(version)}", *NPM_FIELDS])
    if not isinstance(view, dict) or view.get("version") != version:
        raise Unanswered(f"npm knows no version {version} of {name}")
    return view


def pypi_metadata(name: str, version: str) -> dict[str, Any]:
    # a dry run that takes wheels only: nothing is installed, and no package's own code is executed
    options = ["--dry-run", "--no-deps", "--ignore-installed", "--only-binary=:all:", "--report=-", "--quiet"]
    network = ["--no-input", "--disable-pip-version-check", "--retries=0", "--timeout=10"]
    report = ask("pip", ["install", *options, *network, "--", f"{name}=={exact(version)}"])
    try:
        metadata = report["install"][0]["metadata"]
    except (LookupError, TypeError) as error:
        raise Unanswered(f"pip's report does not tell of {name} {version}") from error
    return {field: metadata[field] for field in PYPI_FIELDS if field in metadata}


def maven_metadata(name: str, version: str) -> dict[str, Any]:
    raise Unanswered("Maven's client has no command that shows a package's metadata")


def exact(version: str) -> str:
    """The version, provided that no client takes it for a range or an address."""
    if not EXACT_VERSION.fullmatch(version):
        raise Unanswered(f"{version!a} is not an exact version")
    return version


def ask(client: str, arguments: Sequence[str]) -> Any:
    """What the client prints as JSON. Raises Unanswered; RuntimeError if a signal ended the client."""
    if not (program := shutil.which(client)):
        raise Unanswered(f"{client} is not installed here")
    status, output = run([program, *arguments])
    if status < 0:
        raise RuntimeError(f"{client} was ended by signal {-status}")
    try:
        answer = json.loads(output)
    except ValueError as error:
        raise Unanswered(f"{client} gave no answer (its exit status: {status})") from error
    if status > 0:
        fault = answer.get("error") if isinstance(answer, dict) else None
        code = fault.get("code") if isinstance(fault, dict) else None
        raise Unanswered(f"{client} does not know: {code or 'no reason given'} (its exit status: {status})")
    return answer


def run(command: Sequence[str]) -> tuple[int, bytes]:
    """Exit status and output of a program, which is killed when it takes too long or prints too much.

    It works in an empty directory, so that no project's configuration is picked up by accident.
    """
    deadline = time.monotonic() + ANSWER_SECONDS
    with (
        tempfile.TemporaryDirectory() as place,
        subprocess.Popen(  # noqa: S603 - a list, never a shell; names and versions were checked
            command, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as program,
    ):
        try:
            output = read(program.stdout.fileno() if program.stdout else -1, deadline)
            return program.wait(max(deadline - time.monotonic(), 0.1)), output
        except subprocess.TimeoutExpired as error:
            raise Unanswered(f"no answer within {ANSWER_SECONDS:g} s") from error
        finally:
            program.kill()


def read(pipe: int, deadline: float) -> bytes:
    output = bytearray()
    with selectors.DefaultSelector() as readable:
        readable.register(pipe, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            # short waits: between two of them Dramatiq can raise its time limit or a shutdown in this thread
            if not readable.select(timeout=0.2):
                continue
            if not (chunk := os.read(pipe, 65536)):
                return bytes(output)
            output += chunk
            if len(output) > ANSWER_BYTES:
                raise Unanswered(f"an answer of more than {ANSWER_BYTES} bytes")
    raise Unanswered(f"no answer within {ANSWER_SECONDS:g} s")


# Results


def results_dir(environ: Mapping[str, str]) -> Path:
    """`CORE_RESULTS_DIR`, or `core-results` in the service's data directory, or else in this one."""
    return Path(environ.get("CORE_RESULTS_DIR") or Path(environ.get("JOBS_DATA_DIR", "")) / "core-results")


def result_path(root: Path, ecosystem: str, name: str, version: str) -> Path:
    return root / file_name(ecosystem) / file_name(name) / f"{file_name(version)}.json"


def file_name(text: str) -> str:
    """A file's name for any text: different for different texts, never `.`, `..` or hidden."""
    name = quote(text, safe="@:+")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) > 180:
        name = f"{name[:120]}~{hashlib.sha256(text.encode()).hexdigest()}"
    return name


def keep(target: Path, result: Mapping[str, Any]) -> None:
    """Write the result so that a reader, also one after a crash, sees all of it or the one before."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=target.parent, prefix=".draft-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2, sort_keys=True)
            file.flush()
            os.fsync(descriptor)
        os.replace(draft, target)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(draft)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class Ecosystem(NamedTuple):
    names: re.Pattern[str]
    segments: Callable[[str], list[str]]  # of a name, as its package URL has them
    metadata: Callable[[str, str], dict[str, Any]]


NPM_NAME = re.compile(r"(?:@[\w~!*'()-][\w.~!*'()-]*/)?[\w~!*'()-][\w.~!*'()-]*", re.ASCII)
MAVEN_NAME = re.compile(r"[\w.-]+:[\w.-]+", re.ASCII)
PYPI_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?", re.ASCII)
ECOSYSTEMS = {
    "npm": Ecosystem(NPM_NAME, lambda name: name.lower().split("/"), npm_metadata),
    "maven": Ecosystem(MAVEN_NAME, lambda name: name.split(":"), maven_metadata),
    "pypi": Ecosystem(PYPI_NAME, lambda name: [re.sub("[-_.]+", "-", name).lower()], pypi_metadata),
}
