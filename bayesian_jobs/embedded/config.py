"""The server's settings and access rules, written anew before every start; `ALTER SYSTEM` overrides them."""

import os
import tempfile
from pathlib import Path

from bayesian_jobs.embedded.place import Place

ROLE = "bayesian_jobs"
PORT = 5432

_SETTINGS: dict[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] %a ",
    "log_min_error_statement": "panic",  # a statement carries users' data
}
_DURABLE: dict[str, str] = {
    "max_wal_size": "1GB",
    # seven files, one a weekday, each emptied a week later
    "logging_collector": "on",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
}
_THROW_AWAY: dict[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


def write_config(place: Place, user: str, *, durable: bool) -> Path:
    """Write the three files that belong to `user`, who alone will be let in; the path of the main one."""
    access = _write(place.home / "pg_hba.conf", f"local all {ROLE} peer map=owner\n")
    identity = _write(place.home / "pg_ident.conf", f'owner "{user}" {ROLE}\n')
    settings = _SETTINGS | (_DURABLE if durable else _THROW_AWAY)
    settings["unix_socket_directories"] = '"' + str(place.socket_dir).replace('"', '""') + '"'
    settings["hba_file"] = str(access)
    settings["ident_file"] = str(identity)
    lines = (f"{name} = '{_escaped(value)}'\n" for name, value in settings.items())
    return _write(place.home / "postgresql.conf", "".join(lines))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _write(path: Path, text: str) -> Path:
    """Replace the file as a whole; the server's account may read it, not write it."""
    descriptor, staged = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    os.chmod(staged, 0o644)
    os.replace(staged, path)
    return path
