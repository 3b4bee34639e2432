"""Values on their way into prepared statements."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.exc import DataError

from bayesian_jobs.domain.run import RunState
from bayesian_jobs.store.prepared import Prepared

TEXTS = ["", " ", "NULL", "null", ",", "{}", '"', "\\", '\\"', "'", "%s", "a\nb\tc", "{a,b}", "ß…😀", None]
TIMES = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(2026, 11, 27, 8, 15, 0, 123456, UTC),
    datetime(2026, 3, 29, 2, 30, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
    None,
]
SPANS = [
    timedelta(0),
    timedelta(microseconds=1),
    timedelta(microseconds=-1),
    timedelta(days=-3, seconds=5),
    timedelta(days=99999, seconds=86399, microseconds=999999),
    None,
]
ARRAYS = [
    ("text", TEXTS),
    ("timestamptz", TIMES),
    ("interval", SPANS),
    ("bigint", [0, -1, 2**63 - 1, None]),
    ("bool", [True, False, None]),
    ("text", []),
]


@pytest.mark.parametrize(("of", "values"), ARRAYS)
def test_an_array_arrives_as_it_was_sent(service, of, values):
    statement = Prepared(f"array_of_{of}", f"SELECT u.each FROM unnest(%(values)s::{of}[]) AS u(each)")
    with service.engine.begin() as connection:
        assert [row.each for row in statement.run(connection, {"values": values})] == values
        assert statement.tuples(connection, {"values": values}) == [(value,) for value in values]


def test_a_state_arrives_as_its_text(service):
    statement = Prepared("states", "SELECT (%(values)s::text[])[1] AS first")
    with service.engine.begin() as connection:
        assert statement.run(connection, {"values": [RunState.SUCCEEDED]}) == [("succeeded",)]


@pytest.mark.parametrize("unsendable", ["a\0b", "\ud800"])
def test_what_the_driver_cannot_send_is_an_error_in_the_data(service, unsendable):
    statement = Prepared("texts", "SELECT %(values)s::text[]")
    with service.engine.connect() as connection, pytest.raises(DataError):
        statement.run(connection, {"values": [unsendable]})


def test_an_element_of_which_nobody_knows_how_it_is_written_is_refused(service):
    statement = Prepared("objects", "SELECT %(values)s::text[]")
    with service.engine.connect() as connection, pytest.raises(TypeError, match="no element of an array"):
        statement.run(connection, {"values": [object()]})
