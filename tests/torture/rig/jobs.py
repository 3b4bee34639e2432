"""The jobs of a torture, as plain SQL inserts them: the schedulers admit them."""

from collections.abc import Iterator
from random import Random
from typing import Any

from rig.handlers import DEADLY, MILD

INSERT = """
INSERT INTO jobs (job_id, handler, kwargs, period, cron, starts_at, misfire_grace_time)
SELECT u.job_id, u.handler, u.kwargs::jsonb, u.period::interval, u.cron,
       date_trunc('second', now()) + make_interval(secs => u.after), u.grace::interval
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::float8[], %s::text[])
    AS u(job_id, handler, kwargs, period, cron, after, grace)
"""
MANAGED = 20
"""Jobs that clients change while the faults go on: managed-0 and so on."""

Row = tuple[str, str, str, str | None, str | None, float, str | None]
"""job_id, handler, kwargs, period, cron, seconds until starts_at, grace."""


def draw(seed: int, number: int, soon: float, seconds: float) -> list[Row]:
    """Jobs of all kinds that are due from `soon` on; most of them again and again, for a twentieth of `number`."""
    random = Random(seed)
    rows = [*frequent(random, soon), *managed(random, soon), *misbehaving(random, soon, seconds)]
    return [*rows, *steady(random, soon, max(number // 20, 50))]


def bulk(seed: int, number: int, seconds: float) -> list[Row]:
    """`number` jobs that are all due within one minute, in the middle of so many seconds from now."""
    random = Random(seed)
    begin, minute = max(seconds / 2 - 30, 0), min(60, seconds / 3)
    return [one_of_bulk(random, n, begin + random.uniform(0, minute)) for n in range(number)]


def frequent(random: Random, soon: float) -> Iterator[Row]:
    for n in range(10):
        yield f"second-{n}", worker(random), kwargs(random, 0.3), "1 second", None, soon, grace(random)
    for n in range(10):
        yield f"minute-{n}", "Work", kwargs(random, 0.2), None, "* * * * *", soon, grace(random)


def managed(random: Random, soon: float) -> Iterator[Row]:
    for n in range(MANAGED):
        period = f"{random.choice([2, 3, 5])} seconds"
        yield f"managed-{n}", "Work", kwargs(random, 0.2), period, None, soon, None


def misbehaving(random: Random, soon: float, seconds: float) -> Iterator[Row]:
    for n in range(max(int(seconds // 2), 20)):
        yield f"mild-{n}", MILD[n % len(MILD)], "{}", None, None, soon + random.uniform(0, seconds), None
    for n in range(max(int(seconds // 20), 1)):
        yield f"deadly-{n}", DEADLY[n % len(DEADLY)], "{}", None, None, soon + random.uniform(0, seconds), None


def steady(random: Random, soon: float, number: int) -> Iterator[Row]:
    for n in range(number):
        period, after = f"{random.choice([10, 20, 30])} seconds", soon + random.uniform(0, 10)
        yield f"steady-{n}", worker(random), kwargs(random, 0.5), period, None, after, grace(random)


def one_of_bulk(random: Random, n: int, after: float) -> Row:
    period = random.choice(["1 hour", None])
    return f"bulk-{n}", worker(random), kwargs(random, 0.02), period, None, round(after, 3), None


def worker(random: Random) -> str:
    return random.choice(["Work", "Plain"])


def kwargs(random: Random, longest: float) -> str:
    return f'{{"seconds": {random.uniform(0, longest):.3f}}}'


def grace(random: Random) -> str | None:
    return random.choice([None, "2 seconds", "5 seconds", "30 seconds"])


def insert(sql: Any, rows: list[Row]) -> None:
    for begin in range(0, len(rows), 1000):
        sql(INSERT, *map(list, zip(*rows[begin : begin + 1000], strict=True)))
