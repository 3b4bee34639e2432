"""The directories of one server, all of them ours alone, wherever its account can reach them.

<data_dir>/postgres   `home`: settings and access rules; a link to /var/lib/bayesian-jobs/<key of data_dir>
                            when the server's account cannot enter data_dir
<home>/pg18                 the cluster, named by PostgreSQL's major version; belongs to the server's account
<home>/socket               the socket's directory, or one in /tmp when that path is too long for a socket
"""

import hashlib
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bayesian_jobs.embedded.account import Account
from bayesian_jobs.errors import EmbeddedPostgresError

REACHABLE = Path("/var/lib/bayesian-jobs")
SOCKET_NAME = ".s.PGSQL.5432"
# PostgreSQL's programs hand paths to a shell, in double quotes; its client takes a host with a comma for two hosts
_UNUSABLE = re.compile(r'["$`\\,\x00-\x1f]')
_LONGEST_SOCKET_PATH = 103  # bytes: macOS allows this many, Linux four more


@dataclass(frozen=True, slots=True)
class Place:
    home: Path
    cluster: Path
    socket_dir: Path


def make_data_dir(data_dir: Path) -> Path:
    """The data directory, resolved; made if need be. Root's lets the server's account pass through."""
    resolved = data_dir.resolve()
    if _UNUSABLE.search(str(resolved)):
        raise EmbeddedPostgresError(
            f'PostgreSQL cannot work in {str(data_dir)!r}, which has a control character or one of " $ ` \\ , in it: '
            "name another directory in JOBS_DATA_DIR"
        )
    if resolved == resolved.parent:
        raise EmbeddedPostgresError(f"PostgreSQL cannot be kept in {resolved}: name another directory in JOBS_DATA_DIR")
    if resolved.exists() and not resolved.is_dir():
        raise EmbeddedPostgresError(
            f"PostgreSQL cannot be kept in {data_dir}, which is not a directory: name another one in JOBS_DATA_DIR"
        )
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    _make(data_dir, 0o711 if os.geteuid() == 0 else 0o700)
    return data_dir.resolve()


def find_home(link: Path) -> Path | None:
    """Where the server that this data directory belongs to keeps its files, None when there is none yet."""
    return link.resolve() if link.exists() else None


def make_home(link: Path, account: Account) -> Path:
    """`link` as a directory, or what it points to. The first decision stays, so that the data does, too."""
    home = find_home(link)
    if home is None:
        home = _lay(link, account)
    if not account.may_use(home):
        raise EmbeddedPostgresError(
            f"User id {account.uid}, as which PostgreSQL must run, can no longer enter {home}: "
            "open its parent directories to it (chmod a+x), or name another one in JOBS_DATA_DIR"
        )
    return home


def place_in(home: Path, major: int, account: Account) -> Place:
    return Place(home, home / f"pg{major}", _socket_dir(home, account))


def majors_in(home: Path) -> list[int]:
    """The major versions whose data lies here, newest first."""
    found = (path.name.removeprefix("pg") for path in home.glob("pg*"))
    return sorted((int(name) for name in found if name.isdigit()), reverse=True)


def reachable_binaries(directory: Path, version: str, account: Account) -> Path:
    """`directory`, or a copy of the installation around it where the account can execute it."""
    if account.may_use(directory / "postgres"):
        return directory
    _make_reachable_root()
    copy = REACHABLE / f"postgresql-{version}"
    installation = directory.parent
    if not copy.exists():
        _copy_installation(installation, copy)
    return copy / installation.parent.name / installation.name / directory.name


def _lay(link: Path, account: Account) -> Path:
    mode = 0o711 if account.lesser else 0o700
    if account.may_use(link.parent):
        _make(link, mode)
        return link
    _make_reachable_root()
    home = REACHABLE / hashlib.sha256(os.fsencode(link)).hexdigest()[:16]
    _make(home, mode)
    link.unlink(missing_ok=True)
    link.symlink_to(home)
    return home


def _socket_dir(home: Path, account: Account) -> Path:
    inside = home / "socket"
    if len(os.fsencode(inside / SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
        return _private(inside, account)
    key = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    # not tempfile.gettempdir(): processes with another TMPDIR have to find the same one
    return _private(Path(f"/tmp/bayesian-jobs-{account.uid}-{key}"), account)  # noqa: S108


def _private(directory: Path, account: Account) -> Path:
    """Make it, or make sure that it is a real directory which only the account can enter."""
    try:
        directory.mkdir(mode=0o700)
        account.take(directory)
    except FileExistsError:
        found = directory.lstat()
        if found.st_uid == 0 == os.geteuid() and stat.S_ISDIR(found.st_mode):  # killed between the two steps above
            account.take(directory)
            found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid or found.st_mode & 0o077:
            raise EmbeddedPostgresError(
                f"{directory} is not a private directory of user id {account.uid}: remove it"
            ) from None
    return directory


def _make_reachable_root() -> None:
    _make(REACHABLE, 0o711)
    if REACHABLE.stat().st_uid != 0:
        raise EmbeddedPostgresError(f"{REACHABLE} does not belong to root: type: chown root {REACHABLE}")


def _make(directory: Path, mode: int) -> None:
    """Make a directory that has its mode from the moment it can be seen, whatever the umask."""
    if directory.is_dir():
        return
    staged = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    staged.chmod(mode)
    try:
        staged.rename(directory)
    except OSError:
        staged.rmdir()
        if not directory.is_dir():  # somebody else was faster: theirs is as good
            raise


def _copy_installation(installation: Path, copy: Path) -> None:
    staged = Path(tempfile.mkdtemp(prefix=f".{copy.name}.", dir=copy.parent))
    package = installation.parent
    shutil.copytree(installation, staged / package.name / installation.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")  # a wheel's programs look for theirs beside the package
    if libraries.is_dir():
        shutil.copytree(libraries, staged / libraries.name)
    for path in (staged, *staged.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if mode & stat.S_IXUSR else 0))
    try:
        staged.rename(copy)
    except OSError:
        shutil.rmtree(staged)
        if not copy.exists():
            raise
