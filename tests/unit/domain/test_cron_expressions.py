"""Which cron expressions are accepted, and what they mean in UTC."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice

import pytest
from cron_oracle import Oracle, field_values
from croniter import croniter
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bayesian_jobs.domain.cron_fields import fields
from bayesian_jobs.domain.trigger import Cron, fire_times, is_cron, next_after, parse_cron, parse_timezone
from bayesian_jobs.errors import InvalidValue

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("*/5 * * * *", "*/5 * * * *"),
        ("  0\t09  *  jan-mar MON ", "0 9 * JAN-MAR MON"),
        ("0 0 ? * 5#2", "0 0 * * 5#2"),
        ("0 0 l * ?", "0 0 L * *"),
        ("0 0 * * L7", "0 0 * * L0"),
        ("0 0 * * FRI-SUN", "0 0 * * FRI-SUN"),
        ("5-5 * * * *", "5 * * * *"),
        ("5/15 * * * *", "5/15 * * * *"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("@Daily", "@daily"),
        ("@hourly", "@hourly"),
        ("@midnight", "@midnight"),
        ("@weekly", "@weekly"),
        ("@monthly", "@monthly"),
        ("@yearly", "@yearly"),
        ("@annually", "@annually"),
    ],
)
def test_an_expression_is_normalised_and_stays_what_it_is(text: str, normalised: str) -> None:
    assert parse_cron(text) == normalised
    assert parse_cron(normalised) == normalised


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("0 0 1 1 * 2027 0", "five fields"),
        ("@reboot", "@daily"),
        ("@every 5m", "@daily"),
        ("H * * * *", "minute"),
        ("R(1-5) * * * *", "minute"),
        ("٣ * * * *", "ASCII"),
        ("0\u00a00 * * *", "ASCII"),
        ("0 0 * * *\0", "ASCII"),
        ("0 0 " + "1," * 600 + "1 * *", "1000"),
        ("*/90 * * * *", "a step is 1 to 60"),
        ("*/0 * * * *", "a step is 1 to 60"),
        ("0 */25 * * *", "a step is 1 to 24"),
        ("0 22-2 * * *", "backwards"),
        ("0 0 * NOV-FEB *", "backwards"),
        ("0 0 * * SAT-MON", "backwards"),
        ("60 * * * *", "outside 0 to 59"),
        ("0 24 * * *", "outside 0 to 23"),
        ("0 0 0 * *", "outside 1 to 31"),
        ("0 0 * 13 *", "outside 1 to 12"),
        ("0 0 * * 8", "outside 0 to 7"),
        ("0 0 * FOO *", "outside 1 to 12"),
        ("-1 * * * *", "not a value"),
        ("1,,2 * * * *", "not a value"),
        ("? * * * *", "not a value"),
        ("*-5 * * * *", "not a value"),
        ("0 0 15W * *", "not a value"),
        ("0 0 * * 1#6", "not a value"),
        ("0 0 * * 1#1,3", "does not mix"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 2,4,6,9,11 *", "never fires"),
        (5, "text"),
        (None, "text"),
    ],
)
def test_an_expression_that_cannot_be_used_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason):
        parse_cron(text)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "Etc/GMT+5", "America/Argentina/Ushuaia"])
def test_a_time_zone_of_the_database_is_taken(name: str) -> None:
    assert parse_timezone(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "Mars/Olympus", "CEST", "+01:00", "America", "../../etc/passwd", "/etc/localtime", "localtime"),
        *("right/UTC", "posixrules", "Europe/Berlin\0", "Zürich", "x" * 5000, "a/" * 2000, None, 7),
    ],
)
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidValue, match="time zone"):
        parse_timezone(name)
    with pytest.raises(InvalidValue, match="time zone"):
        parse_cron("@daily", name)


@pytest.mark.parametrize(
    "text", ["*/5 * * * *", "@daily", "@nonsense", "0 9 1 1 1", "0 9 * *", "0 9 1 JAN MON", "0 0 ? 1 1"]
)
def test_a_text_of_cron_fields_is_meant_as_cron(text: str) -> None:
    assert is_cron(text)


@pytest.mark.parametrize(
    "text",
    ["1 week", "1 week 2 days 3 hours", "1h 2m 3s 4d 5w", "1 h 2 m 3 s", "5:00:00", "1 day, 0:30:00", "90", "", None],
)
def test_a_duration_is_not_meant_as_cron(text: str) -> None:
    assert not is_cron(text)


def test_each_short_form_is_the_expression_it_stands_for() -> None:
    for short, long in (("@hourly", "0 * * * *"), ("@weekly", "0 0 * * SUN"), ("@annually", "0 0 1 1 *")):
        assert fields(short) == fields(parse_cron(long))


@pytest.mark.parametrize(
    ("position", "low", "high"),
    [(0, 0, 59), (1, 0, 23), (2, 1, 31), (3, 1, 12), (4, 0, 7)],
    ids=["minute", "hour", "day", "month", "weekday"],
)
def test_every_range_with_every_small_step_holds_exactly_its_values(position: int, low: int, high: int) -> None:
    for first in range(low, high + 1, 1 if high < 13 else 7):
        for last in range(first, high + 1, 1 if high < 13 else 5):
            for step in (1, 2, 5):
                words = ["*"] * 5
                words[position] = f"{first}-{last}/{step}"
                parsed = fields(parse_cron(" ".join(words)))
                rule = parsed.day_rule
                values = (parsed.minutes, parsed.hours, rule.days, rule.months, rule.weekdays)
                expected = field_values(words[position], low, high)
                if position == 4:
                    expected = {value % 7 for value in expected}
                assert set(values[position]) == expected, words


_SETS = {
    "minute": st.sampled_from(["0", "*", "*/15", "5,35", "10-20/3", "59"]),
    "hour": st.sampled_from(["*", "0", "9-17", "*/6", "23", "1,13"]),
    "day": st.sampled_from(["*", "1", "31", "29", "10-20", "1,15", "25-31/2", "L"]),
    "month": st.sampled_from(["*", "2", "JAN-MAR", "*/3", "4,6,9,11", "12"]),
    "weekday": st.sampled_from(["*", "0", "7", "MON-FRI", "SUN", "5-7", "L5"]),
}


@settings(max_examples=80, deadline=None)
@given(**_SETS, start=st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1)))  # noqa: DTZ001 - the bounds of a strategy
def test_in_utc_fire_times_are_those_of_croniter(
    minute: str, hour: str, day: str, month: str, weekday: str, start: datetime
) -> None:
    # croniter takes "the last Friday" beside a day of month for "both"; and 31 February is refused here.
    assume(not ("L" in weekday + day and "*" not in (day, weekday)))
    assume(not (day == "31" and month in ("2", "4,6,9,11") and weekday == "*"))
    start = start.replace(tzinfo=UTC)
    expression = f"{minute} {hour} {day} {month} {weekday}"
    trigger = Cron(expression=parse_cron(expression), timezone="UTC", start=start)
    reference = croniter(expression, start, datetime)
    expected = [reference.get_next() for _ in range(8)]
    assert list(islice(fire_times(trigger, start), 8)) == expected


@pytest.mark.parametrize(
    "expression",
    ["0 0 29 2 *", "0 0 31 * 1", "0 0 1-7 * */7", "0 0 */2 * 1-5", "0 0 13 * FRI", "0 0 1 1,7 *", "0 0 29 2 */3"],
)
def test_dates_are_those_of_a_calendar_read_day_by_day(expression: str) -> None:
    oracle = Oracle(expression)
    start = datetime(2023, 12, 31, 23, 59, tzinfo=UTC)
    days = (date(2024, 1, 1) + timedelta(days=count) for count in range(45 * 366))
    expected = list(islice((day for day in days if oracle.matches_date(day)), 40))
    times = fire_times(Cron(expression=expression, timezone="UTC", start=start), start)
    assert [time.date() for time in islice(times, len(expected))] == expected


def test_no_fire_time_lies_before_the_start() -> None:
    start = datetime(2027, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    trigger = Cron(expression="0 0 * * *", timezone="UTC", start=start)
    assert next_after(trigger, NOW) == datetime(2027, 1, 2, tzinfo=UTC)
    assert next_after(
        Cron(expression="@daily", timezone="UTC", start=datetime(2027, 1, 1, tzinfo=UTC)), NOW
    ) == datetime(2027, 1, 1, tzinfo=UTC)


def test_fire_times_end_with_the_year_9000() -> None:
    start = datetime(9000, 12, 30, 12, tzinfo=UTC)
    times = list(fire_times(Cron(expression="@daily", timezone="Pacific/Auckland", start=start), start))
    assert times == [datetime(9000, 12, 31, 11, tzinfo=UTC)]
    assert next_after(Cron(expression="0 0 29 2 *", timezone="UTC", start=start), start) is None
