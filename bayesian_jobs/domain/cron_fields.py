"""The text of a cron expression: which are accepted, and the values each field stands for.

Five fields (minute, hour, day of month, month, day of week) or @hourly, @daily, @midnight, @weekly,
@monthly, @yearly, @annually. Beyond lists, ranges, steps and names: `L` as day of month (the last), `5#2` as
day of week (the second Friday), `L5` (the last Friday). croniter reads the fields; this module is stricter
about what it is given.
"""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from croniter import CroniterError, croniter

from bayesian_jobs.errors import InvalidValue

ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
LONGEST_TEXT: Final = 1000
EVERY_HOUR: Final = frozenset(range(24))
LAST: Final = 0
"""Stands for "the last one" in DayRule.nth_weekdays."""

_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_Expanded = tuple[list[list[int | str]], dict[int, set[int | str]]]
_VALUE = r"[0-9]{1,2}|[A-Z]{3}"
_RANGE: Final = re.compile(rf"(?P<low>\*|{_VALUE})(?:-(?P<high>{_VALUE}))?(?:/(?P<step>[0-9]{{1,3}}))?")
_NTH_WEEKDAY: Final = re.compile(rf"(?P<weekday>{_VALUE})#(?P<nth>[1-5])")
_LAST_WEEKDAY: Final = re.compile(r"L(?P<weekday>[0-7])")
_CLOCK_FIELD: Final = re.compile(r"[0-9*,/-]+")


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: dict[str, int]


_FIELDS: Final = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Field("day of week", 0, 7, {name: number for number, name in enumerate(_WEEKDAYS)}),
)


class DayRule(NamedTuple):
    """Which days match. Weekdays count from Sunday = 0; `nth_weekdays` holds (weekday, 1 to 5 or LAST).

    `either`: a day matches when its day of month *or* its weekday does (cron's rule when both fields are
    restricted, that is, neither begins with `*`); otherwise both must match.
    """

    months: frozenset[int]
    days: frozenset[int]
    last_day: bool
    weekdays: frozenset[int]
    nth_weekdays: frozenset[tuple[int, int]]
    either: bool


@dataclass(frozen=True, slots=True)
class Fields:
    """The values of a cron expression; `every_hour`: the hour field begins with `*` or names all 24 hours."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    day_rule: DayRule
    every_hour: bool


def is_cron(text: object) -> bool:
    """Whether a text that says how often is meant as a cron expression rather than as a duration."""
    if not isinstance(text, str):
        return False
    words = text.split()
    if text.lstrip().startswith("@") or "*" in text or "?" in words:
        return True
    return len(words) >= 5 and all(_CLOCK_FIELD.fullmatch(word) for word in words[:2])


def normalised(expression: object) -> str:
    """The expression in one spelling: single spaces, names in capitals, `?` as `*`, no leading zeros.

    Raises InvalidValue with the reason; an expression that never fires is not noticed here.
    """
    if not isinstance(expression, str):
        raise InvalidValue('a cron expression is a text such as "*/5 * * * *"')
    if len(expression) > LONGEST_TEXT or not expression.isascii() or "\0" in expression:
        raise InvalidValue(f"a cron expression has at most {LONGEST_TEXT} ASCII characters")
    text = " ".join(expression.split())
    if text.startswith("@"):
        if text.lower() not in ALIASES:
            raise InvalidValue(f"the known short forms are {', '.join(ALIASES)}")
        return text.lower()
    words = text.upper().split(" ")
    if len(words) != len(_FIELDS):
        raise InvalidValue("a cron expression has five fields: minute, hour, day of month, month, day of week")
    return " ".join(_normalised_field(word, field) for word, field in zip(words, _FIELDS, strict=True))


def fields(expression: str) -> Fields:
    """The values of an expression that `normalised` returned."""
    text = ALIASES.get(expression, expression)
    _, hour, day, _, weekday = text.split(" ")
    try:
        expanded, nth = cast(_Expanded, croniter.expand(text))
    except CroniterError as error:
        raise InvalidValue(f"the cron expression cannot be read: {error}") from None
    values = [_values(listed, field) for listed, field in zip(expanded, _FIELDS, strict=True)]
    rule = DayRule(
        months=values[3],
        days=values[2],
        last_day="l" in expanded[2],
        weekdays=frozenset(value % 7 for value in values[4] if value not in nth),
        nth_weekdays=frozenset(
            (value, LAST if place == "l" else int(place)) for value, places in nth.items() for place in places
        ),
        either=not day.startswith("*") and not weekday.startswith("*"),
    )
    every_hour = hour.startswith("*") or values[1] == EVERY_HOUR
    return Fields(tuple(sorted(values[0])), tuple(sorted(values[1])), rule, every_hour)


def _values(listed: list[int | str], field: _Field) -> frozenset[int]:
    if listed == ["*"]:
        return frozenset(range(field.low, field.high + 1))
    return frozenset(value for value in listed if isinstance(value, int))


def _normalised_field(word: str, field: _Field) -> str:
    if word == "?" and field.name.startswith("day"):
        return "*"
    parts = [_normalised_part(part, field) for part in word.split(",")]
    if field.name == "day of week" and len({"#" in part or "L" in part for part in parts}) > 1:
        raise InvalidValue(f'{field.name} "{word}": the n-th weekday does not mix with plain weekdays')
    return ",".join(parts)


def _normalised_part(part: str, field: _Field) -> str:
    if field.name == "day of month" and part == "L":
        return part
    if field.name == "day of week" and _LAST_WEEKDAY.fullmatch(part):
        return part.replace("7", "0")
    nth = _NTH_WEEKDAY.fullmatch(part) if field.name == "day of week" else None
    if nth:
        return f"{_number(nth['weekday'], part, field) % 7}#{nth['nth']}"
    return _normalised_range(part, field)


def _normalised_range(part: str, field: _Field) -> str:
    match = _RANGE.fullmatch(part)
    if match is None or (match["low"] == "*" and match["high"]):
        raise InvalidValue(f'{field.name} "{part}" is not a value, a range or a step')
    step = _step(match["step"], part, field)
    if match["low"] == "*":
        return f"*{step}"
    low = _number(match["low"], part, field)
    if match["high"] is None:
        return f"{_spelled(match['low'])}{step}"
    high = _number(match["high"], part, field)
    if field.name == "day of week" and high == 0 < low:
        high = 7
    if low > high:
        raise InvalidValue(f'{field.name} "{part}" runs backwards: write it as two ranges')
    # croniter takes a range of equal ends for the whole field.
    if low == high:
        return _spelled(match["low"])
    return f"{_spelled(match['low'])}-{_spelled(match['high'])}{step}"


def _step(text: str | None, part: str, field: _Field) -> str:
    if text is None:
        return ""
    longest = field.high - field.low + (field.name != "day of week")
    if not 1 <= int(text) <= longest:
        raise InvalidValue(f'{field.name} "{part}": a step is 1 to {longest}')
    return f"/{int(text)}"


def _number(text: str, part: str, field: _Field) -> int:
    value = int(text) if text.isdecimal() else field.names.get(text)
    if value is None or not field.low <= value <= field.high:
        raise InvalidValue(f'{field.name} "{part}" is outside {field.low} to {field.high}')
    return value


def _spelled(value: str) -> str:
    return str(int(value)) if value.isdecimal() else value
