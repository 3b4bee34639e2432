"""The URLs of databases and brokers: as settings give them, and as they may be shown."""

from urllib.parse import quote_plus

import psycopg2
from psycopg2.extensions import make_dsn
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from bayesian_jobs.errors import InvalidValue

BROKERS = {"redis": "Redis", "rediss": "Redis", "amqp": "RabbitMQ", "amqps": "RabbitMQ"}
"""Scheme of a BROKER_URL → what it speaks to."""


def database_url(text: str) -> str:
    """The URL with its driver named: SQLAlchemy 2.1 takes a bare `postgresql://` for psycopg 3."""
    url = url_of(text)
    if url is None:
        raise InvalidValue(
            "is not a URL like postgresql://user:password@host:5432/name (an @ in a password is written %40)"
        )
    if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg2"):
        raise InvalidValue("the scheme must be postgresql://")
    url = url.set(drivername="postgresql+psycopg2")
    check_parameters(url)
    return url.render_as_string(hide_password=False)


def broker_url(text: str) -> str:
    url = url_of(text)
    if url is None:
        raise InvalidValue(
            "is not a URL like redis://:password@host:6379/0 or amqp://user:password@host:5672/name"
            " (an @ in a password is written %40)"
        )
    if url.drivername not in BROKERS:
        raise InvalidValue(
            "the scheme must be redis://, rediss://, amqp:// or amqps:// (unset: messages travel in PostgreSQL)"
        )
    return text


def url_of(text: str) -> URL | None:
    """None for what is no URL, or where a part of a password would be taken for the host."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: of the port, and of brackets
        return None
    return None if "@" in (url.host or "") else url


def check_parameters(url: URL) -> None:
    """Raises InvalidValue for what libpq would refuse before it connects, such as an unknown parameter."""
    try:
        _, arguments = url.get_dialect()().create_connect_args(url)
        make_dsn(**arguments)
    except (ArgumentError, psycopg2.Error) as error:
        raise InvalidValue(f"PostgreSQL's client refuses it: {' '.join(str(error).split())}") from error


def without_password(text: str) -> str:
    """The text of a setting as it may be shown: in a URL, passwords and where they are kept are replaced by ***."""
    if "://" not in text:
        return text
    url = url_of(text)
    if url is None:
        return text.split("://", 1)[0] + "://***"
    secret = {name: "***" for name in url.query if "pass" in name.lower()}  # password, sslpassword, passfile
    shown = url.update_query_dict(secret).render_as_string(hide_password=True)
    return shown.replace(quote_plus("***"), "***")


def quotable(text: str) -> str:
    """What should have been a URL, as an error may quote it: whatever else it is may be a password, too."""
    return without_password(text) if "://" in text else "***"
