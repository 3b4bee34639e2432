"""How long a process that ended has to wait."""

from bayesian_jobs.up.restarts import NEVER, Restarts


def test_the_delay_doubles_up_to_half_a_minute():
    restarts = Restarts()
    assert [restarts.plan("worker", ran_for=0, now=0) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_a_process_that_ran_for_a_minute_is_forgiven():
    restarts = Restarts()
    for _ in range(5):
        restarts.plan("worker", ran_for=0, now=0)
    assert restarts.plan("worker", ran_for=60, now=0) == 1
    assert restarts.plan("worker", ran_for=0, now=0) == 2


def test_processes_do_not_share_their_delays():
    restarts = Restarts()
    restarts.plan("worker", ran_for=0, now=0)
    restarts.plan("worker", ran_for=0, now=0)
    assert restarts.plan("api", ran_for=0, now=0) == 1


def test_a_restart_is_due_once_when_its_time_has_come():
    restarts = Restarts()
    restarts.plan("worker", ran_for=0, now=10)
    assert restarts.next_due() == 11
    assert restarts.take_due(10.9) == []
    assert restarts.take_due(11) == ["worker"]
    assert restarts.take_due(12) == []
    assert restarts.next_due() == NEVER


def test_a_cancelled_restart_never_comes():
    restarts = Restarts()
    restarts.plan("worker", ran_for=0, now=0)
    restarts.cancel()
    assert restarts.take_due(100) == []
