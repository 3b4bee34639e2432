"""What a dead process held is taken back; a living one keeps it."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.run import MAX_RECOVERIES
from bayesian_jobs.lifecycle import recover
from bayesian_jobs.presence.membership import AT_REST, HOLDING, Membership
from bayesian_jobs.store import processes
from bayesian_jobs.store.claims import claim_runs


@pytest.fixture
def queued(service):
    service.add(periodically="1 hour", kwargs={"number": 7})
    service.dispatch()
    return service


def look(service, patience=timedelta(0)):
    """A scheduler looks after the others once. Returns how many runs it took back."""
    with service.engine.connect() as connection:
        return recover.recover(connection, service.process("scheduler"), patience).runs


def test_the_runs_of_a_process_without_a_session_go_back_to_their_queues(queued):
    run = queued.claim_one()
    assert look(queued) == 1
    (row,) = queued.runs()
    assert (row["state"], row["recoveries"], row["reason"]) == ("queued", 1, reasons.LOST)
    again = queued.claim_one()
    assert (again.run_id, again.attempt) == (run.run_id, 2)


def test_a_process_whose_session_has_just_gone_keeps_its_runs_for_a_while(queued):
    queued.claim_one()
    assert [look(queued, recover.PATIENCE) for _ in range(3)] == [0, 0, 0]
    assert queued.states() == ["running"]


def test_a_process_that_has_its_session_again_keeps_its_runs(queued):
    membership = Membership(queued.engine, "worker")
    with membership.join(set()):
        process_no = membership.process_no
        run = queued.claim_one(process_no)
    assert look(queued, recover.PATIENCE) == 0
    assert queued.execute_sql("SELECT FROM processes WHERE missing_since IS NOT NULL") != []
    with membership.join({run.run_id}):
        assert membership.process_no == process_no
        assert look(queued) == 0
        assert queued.finish(run)


def test_a_process_with_a_session_is_alive(queued):
    membership = Membership(queued.engine, "worker")
    with membership.join(set()):
        queued.claim_one(membership.process_no)
        assert look(queued) == 0


def test_a_frozen_process_is_given_up_when_its_lease_is_over_though_its_session_lives(queued):
    membership = Membership(queued.engine, "worker")
    with membership.join(set()):
        queued.claim_one(membership.process_no)
        queued.execute_sql("UPDATE processes SET lease_until = now() - interval '1 second'")
        assert look(queued) == 1
        assert queued.states() == ["queued"]


def test_what_was_taken_back_the_old_process_cannot_finish(queued):
    run = queued.claim_one()
    look(queued)
    assert not queued.finish(run)
    assert queued.states() == ["queued"]


def test_a_worker_that_holds_runs_has_a_short_lease_and_one_that_holds_none_a_long_one(queued):
    membership = Membership(queued.engine, "worker")
    with membership.join(set()) as connection:
        assert membership.renew(connection) == AT_REST.renew_every
        assert lease(queued) > HOLDING.lease
        with queued.engine.begin() as claiming:
            claim = claim_runs(claiming, membership.process_no, ["default"], 1, holding=[], lease=HOLDING.lease)
        assert lease(queued) <= HOLDING.lease
        assert membership.renew(connection, [claim.started[0].run_id]) == HOLDING.renew_every
        assert lease(queued) <= HOLDING.lease


def lease(service):
    ((left,),) = service.execute_sql("SELECT lease_until - clock_timestamp() FROM processes WHERE kind = 'worker'")
    return left


def test_a_lease_outlives_several_renewals():
    assert 2 * AT_REST.renew_every < AT_REST.lease.total_seconds()
    assert 4 * HOLDING.renew_every < HOLDING.lease.total_seconds()


def test_of_two_that_look_at_once_one_takes_back(queued):
    queued.claim_one()
    look(queued, recover.PATIENCE)
    with queued.engine.begin() as first, queued.engine.begin() as second:
        (worker,) = processes.find_dead(first, 0, timedelta(0))
        assert len(processes.give_up(first, worker, 0, timedelta(0)).holding) == 1
        assert processes.give_up(second, worker, 0, timedelta(0)) is None


def test_a_run_that_kills_its_worker_again_and_again_fails_with_an_entry(queued):
    for _ in range(MAX_RECOVERIES + 1):
        queued.claim_one()
        look(queued)
    (row,) = queued.runs()
    assert (row["state"], row["attempt"]) == ("failed", MAX_RECOVERIES + 1)
    assert row["reason"] == reasons.LOST_TOO_OFTEN
    (entry,) = queued.execute_sql("SELECT kwargs FROM jobs WHERE handler = 'ErrorHandler'")
    assert entry.kwargs["failed_handler_kwargs"] == {"number": 7}
    assert entry.kwargs["exc_str"] == reasons.LOST_TOO_OFTEN


def test_a_claim_whose_reply_was_lost_goes_back_when_the_process_joins_again(queued):
    membership = Membership(queued.engine, "worker")
    with membership.join(set()):
        queued.claim_one(membership.process_no)
    with membership.join(set()):
        assert queued.states() == ["queued"]
        assert queued.claim_one().attempt == 2


def test_a_process_that_was_given_up_joins_as_a_new_one(service):
    membership = Membership(service.engine, "worker")
    with membership.join(set()):
        first = membership.process_no
    look(service)
    with membership.join(set()):
        assert membership.process_no != first


def test_a_half_open_session_of_its_own_does_not_keep_a_process_from_joining_again(service):
    membership = Membership(service.engine, "worker")
    with membership.join(set()), membership.join(set()):
        ((holders,),) = service.execute_sql(
            "SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database"
            " WHERE locktype = 'advisory' AND datname = current_database()"
        )
        assert holders == 1


def test_looking_writes_nothing_while_all_are_well(service):
    membership = Membership(service.engine, "worker")
    with membership.join(set()):
        me = service.process("scheduler")
        with service.engine.connect() as connection:
            assert not processes.look_at_others(connection, me).any_not_well
            assert connection.execute(text("SELECT pg_current_xact_id_if_assigned()")).scalar() is None


def test_only_the_living_are_counted_as_alive(service):
    membership = Membership(service.engine, "worker")
    with membership.join(set()) as connection:
        service.process("worker", lease=timedelta(seconds=-1))
        assert alive(service) == {"worker": 1}
        membership.end(connection)
        assert alive(service) == {}


def alive(service):
    with service.engine.connect() as connection:
        return processes.alive(connection)


def test_a_process_says_that_it_lives_though_somebody_has_locked_the_table_of_runs(service):
    process_no = service.process()
    with service.engine.begin() as locking:
        locking.execute(text("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE"))
        with service.engine.begin() as connection:
            held = ["01a20f94-692a-7dd1-9c6b-96da8927f84c"]
            assert processes.renew_lease(connection, process_no, timedelta(seconds=30), held, ["default"])
