"""What is measured is what is so: in the ledger, of the processes, and by the doctor."""

from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError

from bayesian_jobs.lifecycle import metrics
from bayesian_jobs.lifecycle.doctor import CHECKS
from bayesian_jobs.store import doctor as store

AGO = "clock_timestamp() - interval '90 seconds'"


@pytest.fixture
def measured(service):
    """Measures; returns the value of a metric, or of its sample with this label."""

    def value(name, **labels):
        (found,) = [each for each in metrics.measure(service.engine) if each.name == f"bayesian_jobs_{name}"]
        (sample,) = [each for each in found.samples if each.labels == labels]
        return sample.value

    return value


def test_jobs_that_are_due_are_counted_and_how_late_the_schedulers_are(service, measured):
    assert (measured("due_jobs"), measured("due_jobs_oldest_seconds")) == (0, 0)
    service.add("late", periodically="1 hour")
    service.add("soon", periodically="1 hour", when="2999-01-01")
    service.execute_sql(f"UPDATE jobs SET next_run_at = {AGO} WHERE job_id = 'late'")
    assert measured("due_jobs") == 1
    assert 90 <= measured("due_jobs_oldest_seconds") < 190
    service.dispatch()
    assert (measured("due_jobs"), measured("due_jobs_oldest_seconds")) == (0, 0)


def test_runs_are_counted_while_they_wait_and_while_they_execute(service, measured):
    worker = service.process("worker")
    service.execute_sql("UPDATE processes SET queues = '{default,idle}'")
    service.add("here")
    service.add("elsewhere", "OtherQueue")
    service.dispatch()
    service.execute_sql(f"UPDATE runs SET claim_at = {AGO} WHERE queue = 'other'")
    assert [measured("queued_runs", queue=queue) for queue in ("default", "idle", "other")] == [1, 0, 1]
    assert [measured("queue_workers", queue=queue) for queue in ("default", "idle", "other")] == [1, 1, 0]
    assert 90 <= measured("queued_runs_oldest_seconds", queue="other") < 190
    assert measured("executing_runs") == 0

    service.claim_one(worker)
    assert (measured("queued_runs", queue="default"), measured("executing_runs")) == (0, 1)
    service.execute_sql("UPDATE runs SET claim_at = clock_timestamp() + interval '1 hour' WHERE queue = 'other'")
    assert (measured("queued_runs", queue="other"), measured("queued_runs_oldest_seconds", queue="other")) == (0, 0)


def test_processes_are_counted_while_they_are_alive(service, measured):
    assert [measured("processes", kind=kind) for kind in ("scheduler", "worker")] == [0, 0]
    for kind in ("scheduler", "worker", "worker"):
        service.process(kind)
    assert [measured("processes", kind=kind) for kind in ("scheduler", "worker")] == [1, 2]
    service.execute_sql("UPDATE processes SET lease_until = now() WHERE kind = 'scheduler'")
    assert [measured("processes", kind=kind) for kind in ("scheduler", "worker")] == [0, 2]


def test_a_paused_service_and_the_database_s_clock_are_told(service, measured):
    assert measured("service_paused") == 0
    service.execute_sql("UPDATE service SET state = 'paused'")
    assert measured("service_paused") == 1
    before = service.now().timestamp()
    assert before <= measured("measured_timestamp_seconds") <= service.now().timestamp()


def test_each_check_of_the_doctor_has_a_count_that_is_0_where_it_finds_nothing(service, measured):
    names = list(CHECKS)
    assert len(names) > 10
    assert {name: measured("doctor_found", check=name) for name in names} == {
        name: int(name in ("schedulers", "workers")) for name in names
    }
    service.execute_sql(
        f"INSERT INTO jobs (job_id, handler, created_at) SELECT 'p' || n, 'Noop', {AGO} FROM generate_series(1, 7) AS n"
    )
    assert measured("doctor_found", check="pending-jobs") == 7


def test_of_very_many_it_counts_one_more_than_it_counts(service, measured):
    service.execute_sql(
        f"INSERT INTO jobs (job_id, handler, created_at) SELECT 'p' || n, 'Noop', {AGO}"
        f" FROM generate_series(1, {store.MOST_COUNTED + 10}) AS n"
    )
    assert measured("doctor_found", check="pending-jobs") == store.MOST_COUNTED + 1


def test_a_look_that_takes_too_long_is_given_up(service, monkeypatch):
    monkeypatch.setattr(store, "DUE_JOBS", "SELECT pg_sleep(20)::text AS name, now() AS since")
    monkeypatch.setattr(store, "BRIEF", timedelta(milliseconds=50))
    with pytest.raises(OperationalError, match="statement timeout"):
        metrics.measure(service.engine)
