"""The scheduler's tick: one duty that cannot be done does not keep the others from being done."""

import time
from datetime import timedelta

import pytest
from sqlalchemy import text

from bayesian_jobs.lifecycle import define
from bayesian_jobs.lifecycle.recover import LOOK_AT_REST_EVERY, LOOK_EVERY
from bayesian_jobs.presence.bell import Bell
from bayesian_jobs.presence.membership import POLL_EVERY, Membership
from bayesian_jobs.scheduler import Scheduler
from bayesian_jobs.store import partitions, prepared
from bayesian_jobs.store.closing import close_left_open
from bayesian_jobs.store.notifications import HELD

WEEK = timedelta(weeks=1)


@pytest.fixture
def scheduler(service):
    return Scheduler(service.engine, service.registry)


@pytest.fixture
def tick(scheduler):
    with scheduler._membership.join(set()) as connection:
        yield lambda: scheduler.tick(connection)


@pytest.fixture
def statements(monkeypatch):
    """The names of the prepared statements that are run."""
    names, run = [], prepared.Prepared.run

    def count(statement, connection, values):
        names.append(statement._name)
        return run(statement, connection, values)

    monkeypatch.setattr(prepared.Prepared, "run", count)
    return names


def seconds_until(duty):
    return duty.at - time.monotonic()


def tick_until(service, tick, condition):
    give_up = service.now() + timedelta(seconds=10)
    while not condition():
        assert service.now() < give_up
        tick()


def sweep(service):
    with service.engine.begin() as connection:
        close_left_open(connection)


def drop_partitions(service):
    with service.engine.begin() as connection:
        for name in partitions.existing(connection):
            connection.execute(text(f"DROP TABLE {name}"))


def test_a_tick_dispatches_what_is_due(service, tick):
    service.add(periodically="1 hour")
    tick()
    assert service.states() == ["queued"]


def test_a_scheduler_that_expects_nothing_only_asks_when_something_will_be_due(scheduler, tick, statements):
    tick()
    statements.clear()
    scheduler._dispatching.at = 0.0
    tick()
    assert statements == ["bayesian_jobs_coming"]


def test_what_became_due_unnoticed_is_dispatched_by_the_poll(service, scheduler, tick):
    tick()
    service.add(periodically="1 hour")  # the notification is never read
    scheduler._dispatching.at = 0.0
    tick_until(service, tick, lambda: service.states() == ["queued"])


def test_while_the_service_is_paused_nothing_is_expected(service, scheduler, tick, statements):
    service.add(periodically="1 hour")
    service.execute_sql("UPDATE service SET state = 'paused'")
    tick()
    assert not scheduler._expecting
    assert seconds_until(scheduler._dispatching) > POLL_EVERY / 2


def test_at_rest_a_scheduler_rarely_looks_after_the_others(scheduler, tick):
    tick()
    assert seconds_until(scheduler._recovering) > LOOK_AT_REST_EVERY.total_seconds() / 2


def test_a_claim_makes_the_schedulers_look_soon(service, scheduler, tick):
    service.add(periodically="1 hour")
    tick()
    scheduler._membership.notified()
    service.claim_one()
    assert HELD in heard(scheduler)
    assert seconds_until(scheduler._recovering) <= LOOK_EVERY.total_seconds()


def heard(scheduler):
    bell = Bell()
    bell.sleep(10, scheduler._membership.session)
    bell.close()
    notified = scheduler._membership.notified()
    scheduler._heed(notified)
    return notified


def test_a_scheduler_looks_often_for_as_long_as_somebody_holds_runs(service, scheduler, tick):
    living = Membership(service.engine, "worker")
    service.add(periodically="1 hour")
    service.dispatch()
    with living.join(set()) as connection:
        service.claim_one(living.process_no)
        tick()
        assert seconds_until(scheduler._recovering) <= LOOK_EVERY.total_seconds()
        living.renew(connection)
        scheduler._watchful_until = scheduler._recovering.at = 0.0
        tick()
        assert seconds_until(scheduler._recovering) > LOOK_AT_REST_EVERY.total_seconds() / 2


def test_a_scheduler_looks_often_for_as_long_as_somebody_seems_to_be_dead(service, scheduler, tick):
    service.process()
    tick()
    assert service.execute_sql("SELECT FROM processes WHERE missing_since IS NOT NULL") != []
    assert seconds_until(scheduler._recovering) <= LOOK_EVERY.total_seconds()


def test_a_job_whose_fire_times_cannot_be_computed_is_set_aside_and_the_others_are_dispatched(service, tick):
    service.add("good", periodically="* * * * *")
    service.add("bad", periodically="* * * * *")
    service.execute_sql("UPDATE jobs SET timezone = 'Mars/Olympus' WHERE job_id = 'bad'")
    for job_id in ("good", "bad"):
        service.execute_sql("UPDATE jobs SET next_run_at = now() WHERE job_id = :job_id", job_id=job_id)
    tick()
    assert [run["job_id"] for run in service.runs()] == ["good"]
    assert service.job("bad")["state"] == "paused"
    (entry,) = service.execute_sql("SELECT kwargs FROM jobs WHERE handler = 'ErrorHandler'")
    assert entry.kwargs["failed_job_id"] == "bad"
    assert "Mars/Olympus" in entry.kwargs["exc_str"]


def test_a_reader_that_holds_the_runs_for_long_keeps_nothing_from_being_dispatched(service, tick):
    drop_partitions(service)
    service.add(periodically="1 hour")
    with service.engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM runs"))
        tick()
        assert service.states() == ["queued"]


def test_a_job_that_somebody_has_locked_delays_only_itself(service, tick):
    service.add("held", periodically="1 hour")
    service.dispatch()
    service.claim_one()
    service.execute_sql("UPDATE processes SET lease_until = now() - interval '1 second' WHERE kind = 'worker'")
    service.add("other", periodically="1 hour")
    with service.engine.connect() as holder:
        holder.execute(text("SELECT FROM jobs WHERE job_id = 'held' FOR UPDATE"))
        tick()
        assert {run["job_id"]: run["state"] for run in service.runs()} == {"held": "running", "other": "queued"}
        holder.rollback()
    tick_until(service, tick, lambda: set(service.states()) == {"queued"})


def test_partitions_are_made_ahead(service, tick):
    drop_partitions(service)
    tick()
    with service.engine.connect() as connection:
        weeks = sorted(partitions.existing(connection).values())
    first = partitions.week_of(service.now())
    assert weeks == [first + number * WEEK for number in range(partitions.AHEAD + 1)]


def test_what_was_recorded_while_there_was_no_partition_moves_into_the_new_one(service, tick):
    drop_partitions(service)
    service.add(periodically="1 hour")
    service.dispatch()
    assert service.execute_sql("SELECT count(*) FROM runs_past") == [(1,)]
    tick()
    assert service.execute_sql("SELECT count(*) FROM runs_past") == [(0,)]
    run = service.claim_one()
    assert service.finish(run)
    assert service.execute_sql("SELECT state FROM runs WHERE job_no IS NOT NULL") == [("succeeded",)]


def test_the_indexes_and_constraints_of_a_partition_are_those_of_the_table(service, tick):
    made_by_migration = described(service)
    drop_partitions(service)
    tick()
    assert described(service) == made_by_migration


def described(service):
    """Definitions of indexes and constraints of this week's partition, without its name."""
    name = f"runs_p{partitions.week_of(service.now()):%Y%m%d}"
    indexes = service.execute_sql("SELECT indexdef FROM pg_indexes WHERE tablename = :name", name=name)
    constraints = service.execute_sql(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = CAST(:name AS regclass)", name=name
    )
    options = service.execute_sql("SELECT reloptions FROM pg_class WHERE relname = :name", name=name)
    keys = {row[0].split(" USING ")[1] for row in indexes}
    return keys, {row[0] for row in constraints}, options


def test_old_partitions_are_dropped_unless_a_run_in_them_is_open(service):
    now = service.now()
    with service.engine.begin() as connection:
        for ago in (10, 11):
            partitions.make_ahead(connection, now - ago * WEEK)
    service.execute_sql(
        "INSERT INTO runs (run_id, actor, queue, scheduled_for, state) VALUES"
        " (gen_random_uuid(), 'x', 'x', :ended, 'succeeded'), (gen_random_uuid(), 'x', 'x', :open, 'running')",
        ended=now - 10 * WEEK,
        open=now - 11 * WEEK,
    )
    with service.engine.begin() as connection:
        dropped = partitions.drop_behind(connection, now - 9 * WEEK)
    assert f"runs_p{partitions.week_of(now - 10 * WEEK):%Y%m%d}" in dropped
    assert f"runs_p{partitions.week_of(now - 11 * WEEK):%Y%m%d}" not in dropped
    assert service.states() == ["running"]


def test_a_one_off_job_whose_run_was_cancelled_is_finished_by_the_sweep(service):
    service.add()
    service.dispatch()
    define.change_state(service.engine, "job", "paused")
    sweep(service)
    assert service.job()["state"] == "finished"


def test_a_one_off_job_whose_run_is_open_is_left_alone_by_the_sweep(service):
    service.add()
    service.dispatch()
    sweep(service)
    run = service.claim_one()
    sweep(service)
    assert service.job()["state"] == "running"
    with service.engine.connect() as holder:
        holder.execute(text("SELECT FROM jobs FOR UPDATE"))
        assert service.finish(run), "a finish waits for nobody"
        holder.rollback()
    assert service.job()["state"] == "running"
    sweep(service)
    assert service.job()["state"] == "finished"
