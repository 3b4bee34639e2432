"""Which of the fire times that have passed run, and which are recorded as missed.

Every fire time from the first that is not accounted for yet up to now ends in exactly one of the two.
Several of them collapse into one run, for the latest, when that is still within the job's grace time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from bayesian_jobs.domain.trigger import LATEST, Cron, Interval, Once, Trigger, fire_times

MISSED_COALESCED: Final = "A later fire time of the job was due as well, and they are not run one by one."
MISSED_LATE: Final = "It was already later than the job's misfire_grace_time allows."


@dataclass(frozen=True, slots=True)
class Account:
    """The fire times `first` to `last`, `count` of them, all due; with the neighbours that a judgement needs.

    `previous` is the fire time before `last`, None when count is 1. `next` is the first fire time after
    `last`: later than now, or not when the account was cut at its limit; None when there is no further one.
    """

    first: datetime
    previous: datetime | None
    last: datetime
    next: datetime | None
    count: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of an account: one run or none, one missed record (first, last, count) or none."""

    run: datetime | None
    missed: tuple[datetime, datetime, int] | None
    missed_reason: str | None
    next: datetime | None


def account(trigger: Trigger, first: datetime, now: datetime, limit: int | None = 1000) -> Account:
    """The fire times of `trigger` from `first` to `now`, both inclusive.

    `first` is taken for a fire time whatever the trigger says (a new time zone database may have moved it)
    and must not lie after `now`. An interval is counted at once; of a cron at most `limit` fire times are
    walked, so that a year of missed minutes is settled in slices (None: all of them).
    """
    if first > now:
        raise ValueError("the first fire time of an account is due")
    if limit is not None and limit < 1:
        raise ValueError("an account holds at least one fire time")
    match trigger:
        case Once():
            return Account(first, None, first, None, 1)
        case Interval():
            return _counted(trigger, first, now)
        case Cron():
            return _walked(trigger, first, now, limit)


def judge(account: Account, now: datetime, grace: timedelta | None) -> Judgement:
    """The last fire time runs if it is at most `grace` ago (None: always), all others are missed.

    An account that was cut (its next fire time is due as well) runs nothing: the later ones take its place.
    """
    everything = (account.first, account.last, account.count)
    if account.next is not None and account.next <= now:
        return Judgement(None, everything, MISSED_COALESCED, account.next)
    if grace is not None and now - account.last > grace:
        return Judgement(None, everything, MISSED_LATE, account.next)
    if account.previous is None:
        return Judgement(account.last, None, None, account.next)
    earlier = (account.first, account.previous, account.count - 1)
    return Judgement(account.last, earlier, MISSED_COALESCED, account.next)


def _counted(trigger: Interval, first: datetime, now: datetime) -> Account:
    periods = (now - first) // trigger.period
    last = first + periods * trigger.period
    previous = last - trigger.period if periods else None
    following = last + trigger.period if last + trigger.period <= LATEST else None
    return Account(first, previous, last, following, periods + 1)


def _walked(trigger: Cron, first: datetime, now: datetime, limit: int | None) -> Account:
    previous, last, count = None, first, 1
    for following in islice(fire_times(trigger, first), limit):
        if following > now or count == limit:
            return Account(first, previous, last, following, count)
        previous, last, count = last, following, count + 1
    return Account(first, previous, last, None, count)
