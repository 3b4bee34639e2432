"""Processes are killed and frozen in the middle of their work: nothing is lost, nothing is done twice."""

import signal

import pytest

pytestmark = pytest.mark.timeout(180)


def test_the_run_of_a_killed_worker_is_done_by_another(fleet):
    fleet.start_ready("scheduler")
    workers = {worker.pid: worker for worker in (fleet.start_ready("worker"), fleet.start_ready("worker"))}
    fleet.add(1, kwargs='{"seconds": 2}')
    fleet.wait_until(lambda: fleet.marks("begin"), "the run has begun")
    first = workers.pop(fleet.marks("begin")[0].pid)
    (second,) = workers.values()
    fleet.kill(first)
    fleet.wait_until_all_ended()
    begun, again = fleet.marks("begin")
    assert (begun.pid, begun.attempt) == (first.pid, 1)
    assert (again.pid, again.attempt, again.run_id) == (second.pid, 2, begun.run_id)
    assert [mark.attempt for mark in fleet.marks("end")] == [2]
    assert fleet.states() == {"succeeded": 1}
    fleet.check_each_effect_once()


def test_what_a_frozen_worker_held_is_done_by_another_and_its_own_late_end_changes_nothing(fleet):
    fleet.start_ready("scheduler")
    frozen = fleet.start_ready("worker")
    fleet.add(1, kwargs='{"seconds": 0.5}')
    fleet.wait_until(lambda: fleet.marks("working"), "the run is at work")
    fleet.kill(frozen, signal.SIGSTOP)
    fleet.start_ready("worker")
    fleet.wait_until_all_ended()
    fleet.kill(frozen, signal.SIGCONT)
    fleet.wait_until(lambda: len(fleet.marks("end")) == 2, "the frozen worker's handler has ended too")
    fleet.wait_until(
        lambda: len(fleet.sql("SELECT FROM processes WHERE pid = :pid", pid=frozen.pid)) == 2, "it has joined anew"
    )
    assert fleet.sql("SELECT state, attempt FROM runs") == [("succeeded", 2)]
    fleet.check_each_effect_once()


def test_a_handler_that_kills_its_worker_fails_in_the_end(fleet):
    fleet.start_ready("scheduler")
    fleet.add(1, "KillItself")
    while fleet.sql("SELECT FROM runs WHERE state = 'failed'") == []:
        fleet.start_ready("worker").wait(30)
        fleet.wait_until(lambda: fleet.sql("SELECT FROM runs WHERE state = 'running'") == [], "it was taken back")
    ((attempt, recoveries),) = fleet.sql("SELECT attempt, recoveries FROM runs")
    assert (attempt, recoveries) == (4, 3)
    assert len(fleet.sql("SELECT FROM jobs WHERE handler = 'ErrorHandler'")) == 1


def test_a_worker_whose_files_a_handler_has_closed_ends_or_goes_on_but_does_not_stay_without_working(fleet):
    fleet.start_ready("scheduler")
    worker = fleet.start_ready("worker")
    fleet.add(1, "CloseFiles")
    fleet.wait_until(lambda: fleet.sql("SELECT FROM runs WHERE attempt > 0") != [], "the run has begun")
    fleet.add(1)
    fleet.wait_until(lambda: worker.poll() is not None or fleet.marks("end"), "the worker has ended, or goes on")
    fleet.sql("UPDATE jobs SET handler = 'Mark', version = version + 1")
    fleet.start_ready("worker")
    fleet.wait_until_all_ended()
    assert fleet.states() == {"succeeded": 2}
    assert len(fleet.marks("end")) in (1, 2), "the run that closed the files may have been recorded in time"


def test_a_child_that_comes_back_from_a_handler_does_not_go_on_as_the_worker(fleet):
    worker = fleet.start_ready("worker")
    fleet.add(1, "ReturnsTwice")
    fleet.add(7)
    fleet.start_ready("scheduler")
    fleet.wait_until_all_ended()
    assert fleet.states() == {"succeeded": 8}
    assert {mark.pid for mark in fleet.marks("begin")} == {worker.pid}
    fleet.check_each_effect_once()


def test_with_two_schedulers_and_two_workers_one_of_each_killed_nothing_is_lost_or_doubled(fleet):
    schedulers = [fleet.start_ready("scheduler") for _ in range(2)]
    workers = [fleet.start_ready("worker") for _ in range(2)]
    fleet.add(100, period="1 second", kwargs='{"seconds": 0.05}')
    fleet.wait_until(lambda: fleet.states().get("succeeded", 0) > 100, "the work has begun")
    fleet.kill(schedulers[0])
    fleet.kill(workers[0])
    fleet.wait_until(lambda: fleet.states().get("succeeded", 0) > 500, "the others go on")
    fleet.sql("UPDATE jobs SET state = 'paused'")
    fleet.wait_until(lambda: not {"queued", "running"} & set(fleet.states()), "all runs have ended")
    fleet.check_each_fire_time_once()
    fleet.check_each_effect_once()
    assert {state for state in fleet.states()} <= {"succeeded", "missed", "skipped", "cancelled"}


def test_schedulers_that_are_killed_over_and_over_create_each_run_exactly_once(fleet):
    for _ in range(4):
        fleet.add(3000)  # each time, since a fast machine dispatches them all before it is killed
        before = fleet.states().get("queued", 0)
        scheduler = fleet.start("scheduler")
        fleet.wait_until(lambda before=before: fleet.states().get("queued", 0) > before, "it dispatches")
        fleet.kill(scheduler)
    fleet.start_ready("scheduler")
    fleet.wait_until(lambda: fleet.states().get("queued") == 4 * 3000, "all are dispatched")
    fleet.check_each_fire_time_once()


def test_a_worker_that_is_told_to_stop_ends_its_runs_and_loses_none(fleet):
    fleet.start_ready("scheduler")
    stopping = fleet.start_ready("worker")
    fleet.add(20, kwargs='{"seconds": 0.5}')
    fleet.wait_until(lambda: fleet.marks("begin"), "the runs have begun")
    fleet.kill(stopping, signal.SIGTERM)
    assert stopping.wait(30) == 0
    assert len(fleet.marks("begin")) == len(fleet.marks("end"))
    assert fleet.states().get("running") is None
    fleet.start_ready("worker")
    fleet.wait_until_all_ended()
    assert fleet.states() == {"succeeded": 20}
    assert {mark.attempt for mark in fleet.marks("end")} == {1}


def test_all_go_on_when_every_database_session_is_ended(fleet):
    fleet.start_ready("scheduler")
    fleet.start_ready("worker")
    fleet.add(50, period="1 second")
    for _ in range(3):
        before = fleet.states().get("succeeded", 0)
        fleet.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'bayesian-jobs%'"
        )
        fleet.wait_until(lambda before=before: fleet.states().get("succeeded", 0) > before + 50, "they go on")
    fleet.sql("UPDATE jobs SET state = 'paused'")
    fleet.wait_until(lambda: not {"queued", "running"} & set(fleet.states()), "all runs have ended")
    fleet.check_each_fire_time_once()
    fleet.check_each_effect_once()
