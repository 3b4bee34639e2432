"""The API over a real database and two handlers of its own."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import pytest
from api_steps import client_on
from falcon import testing
from raw_http import Server, serving
from sqlalchemy import Connection, Engine, create_engine, text

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


@pytest.fixture(scope="module")
def shared_database(new_database: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The URL of the database that the tests of this module share."""
    with new_database() as url:
        yield url


@pytest.fixture(scope="module")
def server(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(shared_database, tmp_path_factory.mktemp("server"), seconds=60) as found:
        yield found


@pytest.fixture
def jobs(shared_database: str) -> Iterator[Callable[[], int]]:
    """Tells how many jobs there are; none at first."""
    engine = create_engine(shared_database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("DELETE FROM jobs"))
        yield lambda: connection.execute(text("SELECT count(*) FROM jobs")).scalar_one()
    engine.dispose()
