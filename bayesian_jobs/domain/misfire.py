"""Which of the fire times that have passed run, and which are recorded as missed.

Every fire time from the first that is not accounted for yet up to now ends in exactly one of the two.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bayesian_jobs.domain.described import Described
from bayesian_jobs.domain.trigger import LATEST, Cron, Interval, Once, Trigger, fire_times

MISSED_COALESCED: Final = "A later fire time of the job was due as well, and they are not run one by one."
MISSED_LATE: Final = "It was already later than the job's misfire_grace_time allows."
MISSED_PASSED: Final = "It had passed for more than a minute, and the job does not catch up."

PUNCTUAL: Final = timedelta(minutes=1)
"""How late the run of a job that does not catch up may be queued: a busy service, not a downtime."""


class CatchUp(Described):
    """What becomes of several fire times that are due at once."""

    LATEST = "latest", "one run, for the latest of them"
    ALL = "all", "one run for each that is within `misfire_grace_time`, one after the other"
    NONE = "none", "no run: what has passed for more than a minute does not run any more"


@dataclass(frozen=True, slots=True)
class Account:
    """The fire times `first` to `last`, `count` of them, all due; with the neighbours that a judgement needs.

    `previous` is the fire time before `last`, None when count is 1. `next` is the first fire time after `last`, None
    when there is no further one. `cut`: more of them are due, and the account was cut at its limit.
    """

    first: datetime
    previous: datetime | None
    last: datetime
    next: datetime | None
    count: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of an account: one run or none, one missed record (first, last, count) or none."""

    run: datetime | None
    missed: tuple[datetime, datetime, int] | None
    missed_reason: str | None
    next: datetime | None


def account(
    trigger: Trigger, first: datetime, now: datetime, limit: int | None = 1000, since: datetime | None = None
) -> Account:
    """The fire times of `trigger` from `first` to `now`, both inclusive; with `since`, for catching up all, only up to
    the first that is not before it.

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
            return _counted(trigger, first, now, since)
        case Cron():
            return _walked(trigger, first, now, limit, since)


def judge(account: Account, now: datetime, grace: timedelta | None, catch_up: CatchUp = CatchUp.LATEST) -> Judgement:
    """The last fire time runs if it is at most `grace` ago (None: always), all others are missed.

    An account that was cut runs nothing: the later fire times take its place.
    """
    everything = (account.first, account.last, account.count)
    earlier_reason = MISSED_LATE if catch_up == CatchUp.ALL else MISSED_COALESCED
    if account.cut:
        return Judgement(None, everything, earlier_reason, account.next)
    if grace is not None and now - account.last > grace:
        return Judgement(None, everything, MISSED_LATE, account.next)
    if catch_up == CatchUp.NONE and now - account.last > PUNCTUAL:
        return Judgement(None, everything, MISSED_PASSED, account.next)
    if account.previous is None:
        return Judgement(account.last, None, None, account.next)
    earlier = (account.first, account.previous, account.count - 1)
    return Judgement(account.last, earlier, earlier_reason, account.next)


def _counted(trigger: Interval, first: datetime, now: datetime, since: datetime | None) -> Account:
    until = min(now, trigger.end or now)
    periods = max(0, (until - first) // trigger.period)
    if since is not None:
        periods = min(periods, max(0, -((first - since) // trigger.period)))
    last = first + periods * trigger.period
    previous = last - trigger.period if periods else None
    following = last + trigger.period
    is_over = following > min(LATEST, trigger.end or LATEST)
    return Account(first, previous, last, None if is_over else following, periods + 1)


def _walked(trigger: Cron, first: datetime, now: datetime, limit: int | None, since: datetime | None) -> Account:
    previous, last, count = None, first, 1
    for following in fire_times(trigger, first):
        reached = since is not None and last >= since
        if following > now or reached or count == limit:
            return Account(first, previous, last, following, count, cut=following <= now and not reached)
        previous, last, count = last, following, count + 1
    return Account(first, previous, last, None, count)
