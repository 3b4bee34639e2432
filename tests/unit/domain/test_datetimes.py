"""Points in time, read and written."""

import calendar
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesian_jobs.domain.datetimes import format_datetime, parse_datetime
from bayesian_jobs.errors import InvalidValue

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
instants = st.datetimes(datetime(1970, 1, 1), datetime(9000, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - the bounds of a strategy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23", "2026-11-23T00:00:00Z"),
        ("2026-11-23T05:00", "2026-11-23T05:00:00Z"),
        ("2026-11-23 05:00:01", "2026-11-23T05:00:01Z"),
        ("2026-11-23t05:00:01z", "2026-11-23T05:00:01Z"),
        ("2026-11-23T05:00:01.5Z", "2026-11-23T05:00:01.500000Z"),
        ("2026-11-23 05:00:00 +01:00", "2026-11-23T04:00:00Z"),
        ("2026-11-23T05:00:00-0530", "2026-11-23T10:30:00Z"),
        ("20261123T050000Z", "2026-11-23T05:00:00Z"),
        ("1970-01-01", "1970-01-01T00:00:00Z"),
        ("9000-12-31T23:59:59Z", "9000-12-31T23:59:59Z"),
        ("Feb 20, 14:56", "2027-02-20T14:56:00Z"),
        ("Mon Feb 20, 14:56", "2034-02-20T14:56:00Z"),  # 20 February is a Monday in 2023, 2034, …
        ("Sat Feb 20, 14:56", "2027-02-20T14:56:00Z"),
        ("Mon Nov 23, 12:00", "2026-11-23T12:00:00Z"),  # now itself
        ("Nov 23, 11:59", "2027-11-23T11:59:00Z"),
        ("Feb 29, 00:00", "2028-02-29T00:00:00Z"),
        ("Mon Feb 29, 00:00", "2044-02-29T00:00:00Z"),
        ("Saturday, February 20th 2027 at 2:56 pm", "2027-02-20T14:56:00Z"),
        ("20 Feb 2027 12:00 AM UTC", "2027-02-20T00:00:00Z"),
        ("Mon, 20 Feb 2023 14:56:00 +0100", "2023-02-20T13:56:00Z"),
        ("Mon Feb 20 14:56:00 2023", "2023-02-20T14:56:00Z"),
        ("  Mon   Feb 20,   14:56 ", "2034-02-20T14:56:00Z"),
        ("Nov 23, 12:30 +01:00", "2027-11-23T11:30:00Z"),
        ("Nov 23, 11:30 -01:00", "2026-11-23T12:30:00Z"),
    ],
)
def test_a_time_is_read_as_people_write_it(text: str, expected: str) -> None:
    assert format_datetime(parse_datetime(text, NOW)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("1", "bare number"),
        ("2026", "bare number"),
        ("20261123", "bare number"),
        ("1700000000.5", "bare number"),
        ("Mon", "not a time"),
        ("now", "not a time"),
        ("tomorrow", "not a time"),
        ("14:56", "not a time"),
        ("Feb 20", "not a time"),
        ("Feb 2027", "not a time"),
        ("Feb 20 2027", "not a time"),
        ("02/03/2026", "told apart"),
        ("02/03/2026 14:56", "told apart"),
        ("02.03.26", "told apart"),
        ("Mon Feb 20, 14:56 CET", "time zone"),
        ("2026-11-23T05:00:00 Europe/Berlin", "time zone"),
        ("2026-11-23T23:59:60Z", "no such time"),
        ("Nov 23, 23:59:60", "no such time"),
        ("Nov 23, 24:00", "no such time"),
        ("2026-02-30", "no such time"),
        ("2026-11-23T05:00:00+25:00", "no such time: an offset is shorter than a day$"),
        ("Nov 23, 12:00 +25:00", "not an offset"),
        ("Nov 23, 13:00 pm", "1 to 12"),
        ("Feb 30, 14:56", "no such date"),
        ("30 Feb 2027 14:56", "no such date"),
        ("20 Feb 0000 14:56", "no such date"),
        ("Tue Feb 20 2023, 14:56", "a Monday"),
        ("1969-12-31T23:59:59Z", "1970 to 9000"),
        ("1970-01-01T00:30+01:00", "1970 to 9000"),
        ("9001-01-01", "1970 to 9000"),
        ("294000-01-01 00:00:00+00", "1970 to 9000"),
        ("0044-03-15 00:00:00+00 BC", "1970 to 9000"),
        ("9999-12-31T23:59:59-23:00", "1970 to 9000"),
        ("0001-01-01T00:00:00+23:00", "1970 to 9000"),
        ("2026-11-23T05:00:00.1234567Z", "not a time"),
        ("٢٠٢٦-11-23", "ASCII"),
        ("2026-11-23\0", "ASCII"),
        ("2026-11-23" + " " * 100, "100 characters"),
        (20261123, "text"),
        (None, "text"),
        (NOW, "text"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason):
        parse_datetime(text, NOW)


def test_the_year_is_that_of_the_offset_it_is_written_with() -> None:
    new_year = datetime(2027, 1, 1, 0, 30, tzinfo=UTC)
    assert parse_datetime("Dec 31, 23:00 -05:00", new_year) == datetime(2027, 1, 1, 4, tzinfo=UTC)


@given(instants)
def test_every_time_is_read_back_exactly(value: datetime) -> None:
    assert parse_datetime(format_datetime(value), NOW) == value


@given(instants, st.integers(-23 * 60, 23 * 60))
def test_an_offset_changes_the_spelling_and_not_the_time(value: datetime, minutes: int) -> None:
    offset = timezone(timedelta(minutes=minutes))
    if value.year in (1970, 9000):
        return
    local = value.astimezone(offset)
    assert parse_datetime(local.isoformat(), NOW) == value
    assert parse_datetime(f"{local:%a %b %d} {local.year:04} {local:%H:%M:%S.%f}{local:%z}", NOW) == value
    assert format_datetime(local) == format_datetime(value)


@given(
    now=st.datetimes(datetime(1971, 1, 1), datetime(2400, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the bounds of a strategy
    month=st.integers(1, 12),
    day=st.integers(1, 31),
    minute=st.integers(0, 1439),
    weekday=st.none() | st.integers(0, 6),
)
def test_without_a_year_it_is_the_next_such_date(
    now: datetime, month: int, day: int, minute: int, weekday: int | None
) -> None:
    said = f"{calendar.month_name[month]} {day}, {minute // 60}:{minute % 60:02}"
    text = said if weekday is None else f"{calendar.day_name[weekday]} {said}"
    expected = None
    for year in range(now.year, now.year + 29):
        if day <= calendar.monthrange(year, month)[1] and weekday in (None, calendar.weekday(year, month, day)):
            found = datetime(year, month, day, minute // 60, minute % 60, tzinfo=UTC)
            if found >= now:
                expected = found
                break
    if expected is None:
        with pytest.raises(InvalidValue, match="no such date"):
            parse_datetime(text, now)
    else:
        assert parse_datetime(text, now) == expected


@given(st.text(max_size=40) | st.text("0123456789-:TZ+ .,MonFeb", max_size=30))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        value = parse_datetime(text, NOW)
    except InvalidValue:
        return
    assert value.tzinfo is UTC
    assert 1970 <= value.year <= 9000
