"""The settings of a process: read once, from the environment, by whoever starts it."""

import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from bayesian_jobs.domain.durations import parse_duration
from bayesian_jobs.errors import InvalidValue, SettingsError
from bayesian_jobs.urls import broker_url, database_url, quotable, without_password


def setting(variable: str, meaning: str, *, read: Callable[[str], Any], default: Any) -> Any:
    """A field of Settings: the environment variable it is read from, what it means, and how its text is read."""
    metadata = {"variable": variable, "meaning": meaning, "read": read}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def port(text: str) -> int:
    return whole_number(text, 1, 65535)


def threads(text: str) -> int:
    return whole_number(text, 1, 1000)


def whole_number(text: str, lowest: int, highest: int) -> int:
    if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
        raise InvalidValue(f"must be a whole number from {lowest} to {highest}")
    return int(text)


def names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.replace(",", " ").split() if name)


def log_level(text: str) -> str:
    if text.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise InvalidValue("must be one of DEBUG, INFO, WARNING, ERROR")
    return text.upper()


def yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise InvalidValue("must be yes or no")
    return text == "yes"


def auth(text: str) -> str:
    if text not in ("none", "tokens"):
        raise InvalidValue("must be none or tokens")
    return text


def path(text: str) -> Path:
    """With `~` expanded: no shell does it in a .env file or a unit file."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InvalidValue("no such user's home directory is known") from error


def directory(text: str) -> Path:
    found = path(text)
    if not os.path.isdir(found):
        raise InvalidValue("is not a directory")
    return found


def own_data_dir() -> Path:
    """Where this user's data lives by default (XDG); root's in /var/lib."""
    if os.geteuid() == 0:
        return Path("/var/lib/bayesian-jobs")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "bayesian-jobs"


def own_default_jobs_dir() -> Path:
    """`default_jobs/` of the installed package, or of the checkout it is imported from."""
    package = Path(__file__).parent
    installed = package / "default_jobs"
    return installed if installed.is_dir() else package.parent / "default_jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    database_url: str | None = setting(
        "DATABASE_URL",
        "the PostgreSQL server, as postgresql://user:password@host/name; unset: an embedded one is started",
        read=database_url,
        default=None,
    )
    database_pooled: bool = setting(
        "DATABASE_POOLED",
        "yes: at DATABASE_URL answers a pooler, such as PgBouncer, in session or transaction mode; or no",
        read=yes_or_no,
        default=False,
    )
    broker_url: str | None = setting(
        "BROKER_URL",
        "the Redis or RabbitMQ that takes messages to the workers, as redis://host or amqp://user:password@host;"
        " unset: PostgreSQL does",
        read=broker_url,
        default=None,
    )
    host: str = setting("JOBS_HOST", "the address that the API listens on", read=str, default="127.0.0.1")
    port: int = setting("JOBS_PORT", "the port that the API listens on", read=port, default=34000)
    auth: str = setting(
        "JOBS_AUTH",
        "whom the API answers: none (everybody, but on loopback only) or tokens (who sends a token)",
        read=auth,
        default="none",
    )
    rate_limit: int = setting(
        "JOBS_RATE_LIMIT",
        "how many requests a minute one token, or one address without, may send to one process of the API",
        read=lambda text: whole_number(text, 1, 10_000_000),
        default=6000,
    )
    data_dir: Path = setting(
        "JOBS_DATA_DIR", "where the embedded PostgreSQL keeps its data", read=path, default=own_data_dir
    )
    default_jobs_dir: Path = setting(
        "JOBS_DEFAULT_JOBS_DIR",
        "the directory of the default jobs' YAML files",
        read=directory,
        default=own_default_jobs_dir,
    )
    handlers: tuple[str, ...] = setting(
        "JOBS_HANDLERS", "further packages with handlers, separated by commas", read=names, default=()
    )
    queues: tuple[str, ...] = setting(
        "JOBS_QUEUES",
        "further queues that jobs may name, and that the workers of the handlers consume; separated by commas",
        read=names,
        default=(),
    )
    flows_file: Path | None = setting(
        "JOBS_FLOWS",
        "the YAML file that says which flows exist, their tasks, and where these run",
        read=path,
        default=None,
    )
    actors: tuple[str, ...] = setting(
        "JOBS_ACTORS",
        "modules or files with Dramatiq actors of your own, for which `up` runs a worker of their own",
        read=names,
        default=(),
    )
    worker_threads: int = setting(
        "JOBS_WORKER_THREADS", "how many runs one worker process executes at once", read=threads, default=8
    )
    drain: timedelta = setting(
        "JOBS_DRAIN",
        "how long a worker that is told to stop lets executing runs end before it hands them back",
        read=parse_duration,
        default=timedelta(seconds=25),
    )
    retention: timedelta = setting(
        "JOBS_RETENTION",
        "how long ended runs, failure entries and finished jobs are kept",
        read=parse_duration,
        default=timedelta(days=30),
    )
    log_level: str = setting("JOBS_LOG_LEVEL", "DEBUG, INFO, WARNING or ERROR", read=log_level, default="INFO")

    def check_bind(self) -> None:
        """Refuse to serve anything but this machine without authentication.

        Raises SettingsError.
        """
        if self.auth == "none" and self.host != "localhost" and not is_loopback(self.host):
            raise SettingsError(
                "JOBS_HOST",
                self.host,
                "without authentication the API listens on loopback addresses only (127.0.0.1, ::1): make a token by"
                " `bayesian-jobs token create NAME --scope admin`, and set JOBS_AUTH=tokens",
            )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(environ: Mapping[str, str]) -> Settings:
    """The settings that `environ` holds; an unset or empty variable takes its default.

    Raises SettingsError, which names the variable and its value (a password in a URL is never quoted).
    """
    values = {}
    for each in fields(Settings):
        variable = each.metadata["variable"]
        if text := environ.get(variable, ""):
            try:
                values[each.name] = each.metadata["read"](text)
            except InvalidValue as error:
                shown = quotable(text) if variable in ("DATABASE_URL", "BROKER_URL") else without_password(text)
                raise SettingsError(variable, shown, str(error)) from error
    settings = Settings(**values)
    if settings.database_pooled and settings.database_url is None:
        raise SettingsError("DATABASE_POOLED", "yes", "no pooler is in front of the embedded server: set DATABASE_URL")
    return settings


def default_of(each: Any) -> Any:
    """The default of one field of Settings, made if it has to be made."""
    return each.default if each.default is not MISSING else each.default_factory()
