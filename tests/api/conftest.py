"""The API over a real database and two handlers of its own."""

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from api_steps import client_on
from falcon import testing
from sqlalchemy import Connection, Engine, create_engine

from bayesian_jobs.handlers.base import BaseHandler
from bayesian_jobs.handlers.registry import Registry


class Greeting(BaseHandler):
    """Greet somebody.

    Args:
        name: whom
    """

    example: ClassVar[dict[str, Any]] = {"name": "world"}

    def execute(self, name: str, times: int = 1, tags: list[str] = []) -> None: ...  # noqa: B006


class ErrorHandler(BaseHandler):
    internal = True

    def execute(self, **kwargs: Any) -> None: ...


@pytest.fixture
def registry() -> Registry:
    return Registry([Greeting, ErrorHandler])


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def client(engine: Engine, registry: Registry) -> testing.TestClient:
    return client_on(engine, registry)


@pytest.fixture
def offline(registry: Registry) -> testing.TestClient:
    """The API over a database that does not answer, for requests that must not get that far."""
    return client_on(create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none"), registry)


@pytest.fixture
def offline_at_127_0_0_2(registry: Registry) -> testing.TestClient:
    """The same, listening on another address of this machine."""
    return client_on(create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none"), registry, host="127.0.0.2")


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A connection that commits each statement."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection
