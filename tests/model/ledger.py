"""What the service is to do, in memory and without SQL: jobs, their fire times and their runs, one step at a time."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

PUNCTUAL = timedelta(minutes=1)
MAX_RECOVERIES = 3
Row = tuple[datetime, str, datetime | None, int | None, int]
"""Of the ledger: fire time, state, last one and count of a missed or skipped record, attempt."""


@dataclass
class Run:
    at: datetime
    queued_at: datetime
    claim_at: datetime
    requested: bool = False
    state: str = "queued"
    attempt: int = 0
    begun: bool = False
    recoveries: int = 0
    process: int | None = None
    cancel_requested: bool = False

    @property
    def is_open(self) -> bool:
        return self.state in ("queued", "running")

    def go_back(self, at: datetime, begun: bool = True) -> None:
        if self.cancel_requested:
            self.state = "cancelled"
        else:
            self.state, self.claim_at, self.begun = "queued", at, self.begun or begun

    def end(self, state: str) -> None:
        self.state = "cancelled" if state == "failed" and self.cancel_requested else state


@dataclass
class Job:
    job_no: int
    job_id: str
    start: datetime
    period: timedelta | None
    end: datetime | None
    grace: timedelta | None
    catch_up: str
    overlap: str
    max_runs: int
    next: datetime | None
    state: str = "running"
    paused_at: datetime | None = None
    last_at: datetime | None = None
    waiting: bool = False
    deleted: bool = False
    runs: list[Run] = field(default_factory=list)
    passed_over: list[tuple[datetime, str, datetime, int]] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        runs = [(run.at, run.state, None, None, run.attempt) for run in self.runs]
        return sorted([*runs, *((first, state, last, n, 0) for first, state, last, n in self.passed_over)])

    @property
    def open_runs(self) -> int:
        return sum(run.is_open for run in self.runs)

    @property
    def is_over(self) -> bool:
        return self.next is None and self.open_runs == 0

    def due(self, now: datetime) -> list[datetime]:
        """The fire times up to now that nothing accounts for yet."""
        times = []
        at = self.next
        while at is not None and at <= now:
            times.append(at)
            at = self.after(at)
        return times

    def after(self, at: datetime) -> datetime | None:
        following = None if self.period is None else at + self.period
        return None if following is None or (self.end is not None and following > self.end) else following

    def is_known(self, at: datetime) -> bool:
        return any(row[0] == at for row in self.rows)

    def pass_over(self, state: str, times: list[datetime]) -> None:
        if times and not self.is_known(times[0]):
            self.passed_over.append((times[0], state, times[-1], len(times)))

    def dispatch(self, now: datetime) -> None:
        times = self.due(now)
        if self.state != "running" or self.waiting or not times:
            return
        if self.catch_up == "all":
            late = [at for at in times if self.grace is not None and at + self.grace < now]
            times = times[: min(len(late), len(times) - 1) + 1]
        last = times[-1]
        if (self.grace is not None and last + self.grace < now) or (self.catch_up == "none" and last + PUNCTUAL < now):
            self.pass_over("missed", times)
        elif self.open_runs < self.max_runs:
            self.pass_over("missed", times[:-1])
            if not self.is_known(last):
                self.add_run(Run(last, now, max(last, now)))
        elif self.overlap == "queue_one" or self.catch_up == "all":
            self.waiting = True
            return
        else:
            self.pass_over("skipped", times)
        self.next = self.after(last)

    def add_run(self, run: Run) -> None:
        self.runs.append(run)
        self.last_at = run.at

    def close(self) -> None:
        if self.waiting and self.open_runs < self.max_runs:
            self.waiting = False
        if self.is_over and self.state in ("running", "paused"):
            self.state = "finished"

    def may_start(self, run: Run, now: datetime) -> bool:
        if self.grace is None or run.begun:
            return True
        delayed = run.claim_at if run.attempt == 0 and run.claim_at > run.queued_at else run.at
        return max(run.at, delayed) + self.grace >= now

    def cancel_queued(self) -> None:
        for run in self.runs:
            if run.state == "queued":
                run.state = "cancelled"

    def pause(self, now: datetime) -> None:
        if self.state == "paused" and not (self.last_at and self.paused_at and self.last_at > self.paused_at):
            return
        self.state, self.paused_at, self.waiting = "paused", now, False
        self.cancel_queued()

    def resume(self, now: datetime) -> None:
        if self.state != "paused":
            return
        if self.period is not None:
            self.skip_due(now)
        self.state, self.paused_at, self.waiting = "finished" if self.is_over else "running", None, False

    def skip_due(self, now: datetime) -> None:
        if times := self.due(now):
            self.pass_over("skipped", times)
            self.next = self.after(times[-1])

    def change_grace(self, grace: timedelta | None) -> None:
        if grace != self.grace:
            self.grace, self.waiting = grace, False

    def change_period(self, period: timedelta, now: datetime) -> None:
        if period == self.period:
            return
        self.skip_due(now)
        self.period, self.waiting = period, False
        self.next = self.start + max(0, -((self.start - now) // period)) * period

    def take_back(self, process: int, now: datetime) -> None:
        for run in self.runs:
            if run.state == "running" and run.process == process:
                if run.recoveries >= MAX_RECOVERIES:
                    run.end("failed")
                else:
                    run.go_back(now)
                    run.recoveries += 1
