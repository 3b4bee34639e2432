"""The states of jobs and runs, and the names a job may have."""

from enum import StrEnum

import pytest

from bayesian_jobs.domain import job, run
from bayesian_jobs.domain.job import JobState, parse_job_id
from bayesian_jobs.domain.run import RunState
from bayesian_jobs.errors import InvalidValue


@pytest.mark.parametrize("states", [JobState, RunState])
def test_every_state_is_its_text_and_says_what_it_means(states: type[JobState] | type[RunState]) -> None:
    for state in states:
        assert isinstance(state, StrEnum)
        assert states(state.value) is state
        assert str(state) == state.value == state.name.lower()
        assert len(state.prose) > 15
    assert len({state.prose for state in states}) == len(states)


def test_every_state_has_its_transitions_and_none_leads_to_itself() -> None:
    for transitions, states in ((job.TRANSITIONS, JobState), (run.TRANSITIONS, RunState)):
        assert set(transitions) == set(states)
        assert all(state not in following for state, following in transitions.items())


def test_a_run_that_has_ended_stays_as_it_is() -> None:
    assert set(RunState) - run.ENDED == {RunState.QUEUED, RunState.RUNNING}
    assert all(not run.TRANSITIONS[state] for state in run.ENDED)


def test_a_run_starts_from_the_queue_only_and_may_go_back_to_it() -> None:
    assert [state for state in RunState if RunState.RUNNING in run.TRANSITIONS[state]] == [RunState.QUEUED]
    assert RunState.QUEUED in run.TRANSITIONS[RunState.RUNNING]


def test_every_job_may_become_pending_again_to_be_admitted_anew() -> None:
    others = set(JobState) - {JobState.PENDING}
    assert all(JobState.PENDING in job.TRANSITIONS[state] for state in others)


@pytest.mark.parametrize(
    "text", ["a", "x" * 200, "weekly clean-up", "späte Läufe", "任务", "a.b:c?d#e%2f", "3f2a-11", "clean-failed-2", "…"]
)
def test_a_job_id_is_taken_as_it_is(text: str) -> None:
    assert parse_job_id(text) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("x" * 201, "200"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x7f", "control"),
        ("a\u0085b", "control"),
        ("a\u2028b", "line breaks"),
        ("a\ud800b", "surrogates"),
        ("a/b", "/"),
        (" a", "space"),
        ("a ", "space"),
        ("a\u00a0", "space"),
        ("clean-failed", "reserved"),
        (".", "reserved"),
        ("..", "reserved"),
        (7, "text"),
        (None, "text"),
    ],
)
def test_a_job_id_that_cannot_be_used_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason):
        parse_job_id(text)
