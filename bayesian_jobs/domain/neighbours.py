"""The fire times around a time: looking back as well, which a trigger by itself does not."""

from datetime import datetime, timedelta
from typing import Final

from bayesian_jobs.domain.trigger import LATEST, Cron, Interval, Once, Trigger, next_after

INSTANT: Final = timedelta(microseconds=1)
FIRST_REACH: Final = timedelta(hours=1)


def latest_before(trigger: Trigger, at: datetime) -> datetime | None:
    """The last fire time of `trigger` before `at`, in UTC; None: there is none."""
    match trigger:
        case Once():
            return trigger.at if trigger.at < at else None
        case Interval():
            periods = (min(at - INSTANT, trigger.end or LATEST) - trigger.start) // trigger.period
            return trigger.start + periods * trigger.period if periods >= 0 else None
        case Cron():
            found = _any_before(trigger, at)
            return None if found is None else _last_from(trigger, found, at)


def _any_before(trigger: Cron, at: datetime) -> datetime | None:
    """A fire time before `at`, not far from it: looked for further and further back."""
    reach = FIRST_REACH
    while at > trigger.start:
        reach = min(reach, at - trigger.start)
        found = next_after(trigger, at - reach, inclusive=True)
        if found is not None and found < at:
            return found
        if reach == at - trigger.start:
            return None
        reach *= 4
    return None


def _last_from(trigger: Cron, found: datetime, at: datetime) -> datetime:
    """The last fire time before `at`, by halving the time between the last one that is known, `found`, and the time
    from which on there is none."""
    empty_from = at
    while (following := next_after(trigger, found)) is not None and following < at:
        middle = found + (empty_from - found) / 2
        candidate = next_after(trigger, middle, inclusive=True)
        if candidate is not None and candidate < at:
            found = max(following, candidate)
        else:
            found, empty_from = following, middle
    return found
