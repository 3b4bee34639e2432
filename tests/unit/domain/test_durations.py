"""Durations, read and written."""

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pytimeparse import parse as timeparse

from bayesian_jobs.domain.durations import format_duration, parse_duration
from bayesian_jobs.errors import InvalidValue

LONGEST = timedelta(days=99_999)
durations = st.timedeltas(timedelta(microseconds=1), LONGEST)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 week", timedelta(weeks=1)),
        ("5:00:00", timedelta(hours=5)),
        ("1 day", timedelta(days=1)),
        ("99999 days", LONGEST),
        ("1 hour", timedelta(hours=1)),
        ("1 day, 0:30:00", timedelta(days=1, minutes=30)),
        ("90 seconds", timedelta(seconds=90)),
        ("1.5 hours", timedelta(minutes=90)),
        ("2w 3d 4h 5m 6s", timedelta(weeks=2, days=3, hours=4, minutes=5, seconds=6)),
        ("1 Week, 2 Days 3 hrs", timedelta(weeks=1, days=2, hours=3)),
        ("  10 mins ", timedelta(minutes=10)),
        ("0.000001 seconds", timedelta(microseconds=1)),
        ("0:00:00.25", timedelta(milliseconds=250)),
        ("100:00:00", timedelta(hours=100)),
        ("2399976:00:00", LONGEST),
        ("0.1 seconds", timedelta(milliseconds=100)),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 month", "no fixed length"),
        ("3 months 1 day", "no fixed length"),
        ("1 year", "no fixed length"),
        ("90", "needs a unit"),
        ("1.5", "needs a unit"),
        ("", "empty"),
        ("   ", "empty"),
        ("-1 day", "longer than zero"),
        ("0 seconds", "longer than zero"),
        ("0:00:00", "longer than zero"),
        ("1:30", "hours and minutes or minutes and seconds"),
        ("100000 days", "at most 99999 days"),
        ("99999 days, 0:00:00.000001", "at most 99999 days"),
        ("9" * 90 + " weeks", "at most 99999 days"),
        ("1 day" + " " * 100, "100 characters"),
        ("1 day\0", "ASCII"),
        ("٣ days", "ASCII"),
        ("1\u00a0day", "ASCII"),
        ("0.0000001 seconds", "whole number of microseconds"),
        ("1 fortnight", "not a duration"),
        ("1 day 1 day", "not a duration"),
        ("1 hour 1 day", "not a duration"),
        ("1 day,", "not a duration"),
        ("1 day,, 2 hours", "not a duration"),
        (", 1 day", "not a duration"),
        ("5:60:00", "not a duration"),
        ("5:00:60", "not a duration"),
        ("1e3 seconds", "not a duration"),
        ("+1 day", "not a duration"),
        ("day", "not a duration"),
        ("inf days", "not a duration"),
        ("PT1H", "not a duration"),
        ("1_000 days", "not a duration"),
        (90, "text"),
        (None, "text"),
        (timedelta(days=1), "text"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason):
        parse_duration(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(weeks=1), "1 week"),
        (timedelta(days=2), "2 days"),
        (timedelta(days=14), "2 weeks"),
        (timedelta(hours=5), "5 hours"),
        (timedelta(minutes=30), "30 minutes"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(seconds=90), "90 seconds"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(seconds=3661), "1:01:01"),
        (timedelta(milliseconds=1500), "1.5 seconds"),
        (timedelta(microseconds=1), "0.000001 seconds"),
        (timedelta(days=1, minutes=30), "1 day, 0:30:00"),
        (timedelta(days=8, microseconds=1), "8 days, 0:00:00.000001"),
        (LONGEST, "99999 days"),
    ],
)
def test_a_duration_is_written_in_its_canonical_form(value: timedelta, text: str) -> None:
    assert format_duration(value) == text


@given(durations)
@example(LONGEST)
@example(timedelta(microseconds=1))
def test_every_duration_is_read_back_exactly(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value


@given(st.integers(1, 99_999 * 86_400).map(lambda seconds: timedelta(seconds=seconds)))
def test_pytimeparse_reads_what_is_written_here_as_the_same_length(value: timedelta) -> None:
    assert timeparse(format_duration(value)) == value.total_seconds()
    assert timeparse(str(value)) == parse_duration(str(value)).total_seconds()


@given(st.text(max_size=30) | st.text("0123456789:., wdhms", max_size=20))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        value = parse_duration(text)
    except InvalidValue:
        return
    assert timedelta(0) < value <= LONGEST
    # Whatever is accepted, pytimeparse reads it the same way, as far as its floats reach.
    assert timeparse(text) == pytest.approx(value.total_seconds(), abs=1)
