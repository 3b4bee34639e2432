"""Random histories of the whole service on PostgreSQL, by a clock that the test sets: after each step the ledger is
what a small model says that it is to be, row by row."""

import os
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from clock import Clock, engine_by_clock
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledger import Job, Run
from sqlalchemy import Engine, text

from bayesian_jobs.handlers.base import BaseHandler
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle import define, edit, request
from bayesian_jobs.lifecycle import service as service_state
from bayesian_jobs.lifecycle.dispatch import dispatch_batch
from bayesian_jobs.lifecycle.recover import recover_from
from bayesian_jobs.store import processes
from bayesian_jobs.store.claimed import ClaimedRun
from bayesian_jobs.store.claims import claim_runs, reject_runs
from bayesian_jobs.store.closing import close_left_open
from bayesian_jobs.store.endings import Ending, Return, finish_runs, requeue_runs

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "25"))
STEPS = int(os.environ.get("MODEL_STEPS", "40"))
"""The suite's; others than its examples are tried when either is set."""

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
BETWEEN_CALLS = timedelta(milliseconds=1)
BEGINS = timedelta(milliseconds=200)
"""After a claim: what has been claimed has begun by then, and nobody waits for it."""
LEASE = timedelta(days=1)
START = datetime.now(UTC).replace(microsecond=0)

PERIODS = st.sampled_from([10 * SECOND, MINUTE, 90 * SECOND, HOUR])
GRACES = st.sampled_from([None, 5 * SECOND, MINUTE, HOUR])
CLEAN = """
DELETE FROM runs; DELETE FROM jobs; DELETE FROM processes; DELETE FROM audit_log;
UPDATE service SET state = 'running', paused_until = NULL, paused_reason = NULL;
"""
ROWS = text("SELECT job_no, scheduled_for, state, missed_until, missed_count, attempt FROM runs ORDER BY scheduled_for")
JOBS = text("SELECT job_no, state, next_run_at, handler FROM jobs")


class Noop(BaseHandler):
    """Does nothing."""

    def execute(self) -> None: ...


REGISTRY = Registry([Noop])


class World(RuleBasedStateMachine):
    engine: ClassVar[Engine]
    clock: ClassVar[Clock]
    done: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []
        self.granted: list[tuple[ClaimedRun, Job, Run]] = []
        self.paused = False
        self.processes: list[int] = []
        with self.engine.begin() as connection:
            connection.exec_driver_sql(CLEAN)
        self.clock.set(START)

    @property
    def now(self) -> datetime:
        return self.clock.now

    def go_on(self, duration: timedelta) -> None:
        self.clock.set(self.now + duration)

    def call(self) -> None:
        """Somebody asks for something; not in the very microsecond of a fire time."""
        self.go_on(BETWEEN_CALLS)

    @initialize()
    def begin(self) -> None:
        self.done["examples"] += 1
        self.start_processes()

    def start_processes(self) -> None:
        with self.engine.begin() as connection:
            while len(self.processes) < 2:
                self.processes.append(processes.register(connection, "worker", LEASE))

    # What users do.

    @rule(
        data=st.data(),
        period=st.none() | PERIODS,
        grace=GRACES,
        catch_up=st.sampled_from(["latest", "latest", "all", "none"]),
        overlap=st.sampled_from(["skip", "queue_one"]),
        max_runs=st.sampled_from([1, 1, 2]),
        delay=st.sampled_from([timedelta(0), 5 * SECOND, MINUTE]),
        ends=st.booleans(),
    )
    @precondition(lambda self: len(self.live) < 4)
    def add(self, data, period, grace, catch_up, overlap, max_runs, delay, ends) -> None:
        if catch_up == "all":
            grace = grace or HOUR
        overlap = "skip" if period is None or catch_up == "none" else overlap
        start = self.now + delay
        end = start + 3 * period if ends and period else None
        options = {
            "handler": "Noop", "when": start.isoformat(), "catch_up": catch_up, "max_concurrent_runs": max_runs,
        }  # fmt: skip
        options |= {"periodically": words(period), "overlap": overlap} if period else {}
        options |= {"end": end.isoformat()} if end else {}
        options |= {"misfire_grace_time": words(grace)} if grace else {}
        job = define.create(self.engine, REGISTRY, options)
        self.jobs.append(
            Job(job["job_no"], job["job_id"], start, period, end, grace, catch_up, overlap, max_runs, next=start)
        )

    @property
    def live(self) -> list[Job]:
        return [job for job in self.jobs if not job.deleted and not job.is_over]

    def any_job(self, data: st.DataObject) -> Job:
        return data.draw(st.sampled_from(self.live))

    @rule(data=st.data())
    @precondition(lambda self: self.live)
    def pause(self, data) -> None:
        self.call()
        job = self.any_job(data)
        define.change_state(self.engine, job.job_id, "paused")
        job.pause(self.now)

    @rule(data=st.data())
    @precondition(lambda self: any(job.state == "paused" for job in self.live))
    def resume(self, data) -> None:
        self.call()
        job = data.draw(st.sampled_from([job for job in self.live if job.state == "paused"]))
        define.change_state(self.engine, job.job_id, "running")
        job.resume(self.now)

    @rule(data=st.data(), grace=GRACES)
    @precondition(lambda self: self.live)
    def change_grace(self, data, grace) -> None:
        self.call()
        job = self.any_job(data)
        if job.catch_up == "all":
            grace = grace or HOUR
        change = {"misfire_grace_time": grace and words(grace)}
        edit.patch(self.engine, REGISTRY, job.job_id, change)
        job.change_grace(grace)

    @rule(data=st.data(), period=PERIODS)
    @precondition(lambda self: any(job.period and job.next and not job.end for job in self.live))
    def change_period(self, data, period) -> None:
        self.call()
        job = data.draw(st.sampled_from([job for job in self.live if job.period and job.next and not job.end]))
        edit.patch(self.engine, REGISTRY, job.job_id, {"periodically": words(period)})
        job.change_period(period, self.now)

    @rule(data=st.data())
    @precondition(lambda self: self.live)
    def delete(self, data) -> None:
        self.call()
        job = self.any_job(data)
        define.delete(self.engine, job.job_id)
        job.cancel_queued()
        job.deleted = True

    @rule(data=st.data())
    @precondition(lambda self: any(job.open_runs < job.max_runs for job in self.live))
    def run_now(self, data) -> None:
        self.call()
        job = data.draw(st.sampled_from([job for job in self.live if job.open_runs < job.max_runs]))
        request.run_now(self.engine, job.job_id)
        job.add_run(Run(self.now, self.now, self.now, requested=True))

    @rule(data=st.data())
    @precondition(lambda self: any(job.open_runs for job in self.jobs))
    def cancel(self, data) -> None:
        self.call()
        job, run = data.draw(st.sampled_from([(job, run) for job in self.jobs for run in job.runs if run.is_open]))
        with self.engine.connect() as connection:
            run_id = connection.execute(
                text("SELECT run_id::text FROM runs WHERE job_no = :job_no AND scheduled_for = :at"),
                {"job_no": job.job_no, "at": run.at},
            ).scalar_one()
        request.cancel(self.engine, run_id)
        run.cancel_requested = True
        if run.state == "queued":
            run.state = "cancelled"

    @rule()
    def pause_or_resume_service(self) -> None:
        self.call()
        self.paused = not self.paused
        service_state.change_state(self.engine, "paused" if self.paused else "running")

    # What schedulers do.

    @rule()
    def tick(self) -> None:
        with self.engine.begin() as connection:
            close_left_open(connection)
        with self.engine.connect() as connection:
            dispatch_batch(connection)
        for job in self.jobs:
            if not job.deleted:
                job.close()
                if not self.paused:
                    job.dispatch(self.now)
        with self.engine.begin() as connection:
            close_left_open(connection)
        for job in self.jobs:
            job.close()
        self.compare_states()

    @rule(data=st.data())
    def lose_worker(self, data) -> None:
        process = data.draw(st.sampled_from(self.processes))
        self.lose(process)
        self.start_processes()

    def lose(self, process: int) -> None:
        with self.engine.begin() as connection:
            values = {"no": process, "at": self.now - SECOND}
            connection.execute(text("UPDATE processes SET lease_until = :at WHERE process_no = :no"), values)
        with self.engine.connect() as connection:
            recover_from(connection, process, 0, timedelta(0))
        self.processes.remove(process)
        for job in self.jobs:
            job.take_back(process, self.now)

    # What workers do.

    @rule(data=st.data(), limit=st.sampled_from([1, 10]))
    def claim(self, data, limit) -> None:
        self.claim_by(data.draw(st.sampled_from(self.processes)), limit)

    def claim_by(self, process: int, limit: int) -> None:
        holding = [token.run_id for token, _, run in self.granted if run.state == "running" and run.process == process]
        with self.engine.begin() as connection:
            claim = claim_runs(connection, process, ["default"], limit, holding=holding, lease=LEASE)
        claimable = [
            (job, run)
            for job in self.jobs
            for run in job.runs
            if run.state == "queued" and run.claim_at <= self.now and not self.paused
        ]
        assert len(claim.started) + len(claim.rejected) == min(len(claimable), limit)
        for token in claim.started:
            job, run = self.find(claimable, token.job_no, token.scheduled_for)
            assert job.may_start(run, self.now)
            run.state, run.attempt, run.process = "running", run.attempt + 1, process
            assert token.attempt == run.attempt
            self.granted.append((token, job, run))
        if claim.rejected:
            with self.engine.begin() as connection:
                reject_runs(connection, claim.rejected, late="late", cancelled="cancelled")
        started = {(token.job_no, token.scheduled_for) for token in claim.started}
        late = {at for _, at in claim.rejected}
        for job, run in claimable:
            if (job.job_no, run.at) not in started and run.at in late and not job.may_start(run, self.now):
                run.state = "missed"
        self.go_on(BEGINS)

    def find(self, claimable: list[tuple[Job, Run]], job_no: int | None, at: datetime) -> tuple[Job, Run]:
        (found,) = [(job, run) for job, run in claimable if job.job_no == job_no and run.at == at]
        return found

    @rule(data=st.data(), state=st.sampled_from(["succeeded", "failed"]))
    @precondition(lambda self: self.granted)
    def finish(self, data, state) -> None:
        """Any attempt that was ever granted: also one that was overtaken, and one that has ended already."""
        token, _, run = data.draw(st.sampled_from(self.granted[-6:]))
        with self.engine.begin() as connection:
            accepted = bool(finish_runs(connection, [Ending(token, state)]))
        assert accepted == self.is_held(token, run)
        if accepted:
            run.end(state)

    @rule(data=st.data(), delay=st.sampled_from([timedelta(0), SECOND]))
    @precondition(lambda self: self.granted)
    def try_again(self, data, delay) -> None:
        token, _, run = data.draw(st.sampled_from(self.granted[-6:]))
        back = Return(token.run_id, token.scheduled_for, token.attempt, "again", delay, failed=True)
        with self.engine.begin() as connection:
            accepted = bool(requeue_runs(connection, [back]))
        assert accepted == self.is_held(token, run)
        if accepted:
            run.go_back(self.now + delay)

    def is_held(self, token: ClaimedRun, run: Run) -> bool:
        return run.state == "running" and run.attempt == token.attempt

    # What the clock does.

    @rule(duration=st.sampled_from([SECOND, 10 * SECOND, MINUTE, 10 * MINUTE]))
    def wait(self, duration) -> None:
        self.go_on(duration)

    @rule(data=st.data(), late=st.sampled_from([timedelta(0), timedelta(microseconds=1)]))
    @precondition(lambda self: any(job.next for job in self.live))
    def wait_for_the_edge_of_a_grace(self, data, late) -> None:
        edges = [job.next + (job.grace or timedelta(0)) + late for job in self.live if job.next]
        self.clock.set(max(self.now, data.draw(st.sampled_from(edges))))

    # What must hold after each step.

    @invariant()
    def the_ledger_is_what_the_model_says(self) -> None:
        self.done["steps"] += 1
        with self.engine.connect() as connection:
            rows = connection.execute(ROWS).all()
            jobs = {job.job_no: job for job in connection.execute(JOBS)}
        entries = sum(job.handler == "ErrorHandler" for job in jobs.values())
        assert entries == sum(run.state == "failed" for job in self.jobs for run in job.runs)
        for job in self.jobs:
            assert [tuple(row[1:]) for row in rows if row.job_no == job.job_no] == job.rows
            assert (job.job_no in jobs) != job.deleted
            if not job.deleted:
                assert jobs[job.job_no].next_run_at == job.next
            assert job.open_runs <= job.max_runs
        assert {row.job_no for row in rows} <= {job.job_no for job in self.jobs}

    def compare_states(self) -> None:
        with self.engine.connect() as connection:
            states = {job.job_no: job.state for job in connection.execute(JOBS)}
        assert {job.job_no: job.state for job in self.jobs if not job.deleted} == {
            job_no: state for job_no, state in states.items() if job_no in {job.job_no for job in self.jobs}
        }

    def teardown(self) -> None:
        """In the end all is done: what dead workers held, too."""
        if self.paused:
            self.pause_or_resume_service()
        for process in [*self.processes]:
            self.lose(process)
        self.start_processes()
        for _ in range(20):
            self.go_on(SECOND)
            self.tick()
            self.claim_by(self.processes[0], 100)
            for token, _, run in self.granted:
                if self.is_held(token, run):
                    with self.engine.begin() as connection:
                        assert finish_runs(connection, [Ending(token, "succeeded")])
                    run.end("succeeded")
            if not any(job.open_runs for job in self.jobs) and not any(self.is_behind(job) for job in self.live):
                break
        self.the_ledger_is_what_the_model_says()
        assert not any(job.open_runs for job in self.jobs)

    def is_behind(self, job: Job) -> bool:
        return (
            job.state == "running" and job.catch_up != "all" and job.next is not None and job.next <= self.now - MINUTE
        )


def words(duration: timedelta) -> str:
    return f"{duration // SECOND} seconds"


@pytest.mark.timeout(3600)
def test_random_histories_leave_the_ledger_that_the_model_says(database_url, capsys):
    World.clock, World.engine = Clock(database_url), engine_by_clock(database_url)
    own = "MODEL_EXAMPLES" in os.environ or "MODEL_STEPS" in os.environ
    try:
        run_state_machine_as_test(
            World,
            settings=settings(
                max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, derandomize=not own, database=None,
                suppress_health_check=list(HealthCheck), print_blob=True,
                phases=[Phase.generate, Phase.shrink],
            ),
        )  # fmt: skip
    finally:
        World.engine.dispose()
        World.clock.engine.dispose()
        with capsys.disabled():
            sys.stdout.write(f"\nmodel: {World.done['examples']} examples, {World.done['steps']} steps\n")
