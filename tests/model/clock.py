"""A database whose clock a test sets: sessions find a `clock_timestamp()` of the test's before PostgreSQL's own."""

from datetime import datetime
from typing import Any

from sqlalchemy import Engine, event, text

from bayesian_jobs.store.engine import make_engine

SET_UP = """
CREATE SCHEMA clock;
CREATE TABLE clock.reading (at timestamptz NOT NULL);
INSERT INTO clock.reading VALUES (now());
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT at FROM clock.reading';
"""


class Clock:
    def __init__(self, url: str) -> None:
        self.engine = make_engine(url, "clock")
        with self.engine.begin() as connection:
            connection.exec_driver_sql(SET_UP)
        self.now: datetime

    def set(self, now: datetime) -> None:
        self.now = now
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE clock.reading SET at = :now"), {"now": now})


def engine_by_clock(url: str) -> Engine:
    """A hot engine, made after the clock, whose sessions read it."""
    engine = make_engine(url, "model", hot=True)

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        options["options"] += " -c search_path=clock,pg_catalog,public"

    return engine
