import pytest

from bayesian_jobs.broker.pace import HORIZON, MOST_AHEAD, Pace

SHORT = HORIZON / 100


def of(*durations, times=200):
    pace = Pace()
    for _ in range(times):
        for duration in durations:
            pace.note_end(duration)
    return pace


def test_nothing_is_claimed_ahead_before_any_run_has_shown_that_it_is_short():
    assert Pace().ahead(8) == 0


def test_where_runs_are_short_as_many_are_claimed_ahead_as_the_threads_begin_within_the_horizon():
    assert of(HORIZON / 10).ahead(2) == pytest.approx(20, abs=1)


def test_there_is_a_bound():
    assert of(0.0).ahead(8) == MOST_AHEAD


def test_nothing_is_claimed_ahead_where_a_thread_would_begin_less_than_two_runs_within_the_horizon():
    assert of(HORIZON / 2.1).ahead(8) > 0
    assert of(HORIZON / 1.9).ahead(8) == 0


def test_one_long_run_among_many_short_ones_ends_it_at_once():
    pace = of(SHORT)
    pace.note_end(1.0)
    assert pace.ahead(8) == 0


def test_without_threads_that_are_free_for_short_runs_nothing_is_claimed_ahead():
    assert of(SHORT).ahead(0) == 0


def test_what_the_process_spends_between_runs_counts_as_well():
    pace = of(0.0)
    for number in range(200):
        pace.note_begin(number * HORIZON / 5, queueing=True)
    assert pace.ahead(8) == pytest.approx(5, abs=1)


def test_time_in_which_no_run_waited_for_a_thread_does_not_count():
    pace = of(0.0)
    for number in range(200):
        pace.note_begin(number * 10.0, queueing=False)
    assert pace.ahead(8) == MOST_AHEAD


def test_after_a_stumble_the_runs_must_show_anew_that_they_are_short():
    pace = of(SHORT)
    pace.stumble()
    assert pace.ahead(8) == 0
