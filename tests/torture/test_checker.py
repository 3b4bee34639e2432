"""The history checker finds what is wrong with histories that are made by hand, and nothing wrong with a good one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rig.checker import check, rejected_ends
from rig.history import Call, Definition, History, Mark, Record, Step
from rig.timeline import timeline

BEGIN = datetime(2026, 11, 26, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
JOB = Definition(
    ticket=1,
    began=BEGIN - SECOND,
    at=BEGIN - SECOND,
    what="INSERT",
    job_no=7,
    job_id="job",
    version=1,
    state="running",
    handler="Work",
    period=10 * SECOND,
    cron=None,
    timezone="UTC",
    starts_at=BEGIN,
    ends_at=None,
    grace=5 * SECOND,
    max_concurrent_runs=1,
    next_run_at=BEGIN,
    was_next=None,
)


def at(number: int) -> datetime:
    return BEGIN + 10 * number * SECOND


def run(number: int, **more) -> Record:
    values = {"run_id": f"run-{number}", "job_no": 7, "job_id": "job", "job_version": 1, "actor": "Work"}
    values |= {"scheduled_for": at(number), "until": at(number), "count": 1, "state": "succeeded", "requested": False}
    return Record(**values | {"attempt": 1, "recoveries": 0, "reason": None} | more)


def step(ticket: int, number: int, before: str | None, after: str, attempt: int = 1, late: float = 0.1) -> Step:
    moment = at(number) + late * SECOND
    return Step(ticket, moment, f"run-{number}", at(number), 7, 1, attempt, False, moment, before, after)


def marks(number: int, attempt: int = 1, begin: float = 0.1, end: float = 1.0) -> list[Mark]:
    second = 10 * number
    return [
        Mark(what, f"run-{number}", attempt, 1000 + attempt, int((second + moment) * 1e9), "job")
        for what, moment in (("begin", begin), ("end", end))
    ]


def good() -> History:
    """Three fire times, each run once."""
    history = History(definitions=[JOB], settled=at(2) + SECOND, next_run_at={7: at(3)}, seen_until=10**15)
    for number in range(3):
        history.records.append(run(number))
        history.steps += [
            step(10 * number + 10, number, None, "queued", 0),
            step(10 * number + 11, number, "queued", "running"),
            step(10 * number + 12, number, "running", "succeeded", late=1.0),
        ]
        history.marks += marks(number)
    history.effects = {f"run-{number}": 1 for number in range(3)}
    return history


def found(history: History) -> set[str]:
    return {violation.invariant for violation in check(history).violations}


def paused_at(ticket: int, number: int, **more) -> Definition:
    moment = at(number) + 5 * SECOND
    changes = {"ticket": ticket, "began": moment, "at": moment, "what": "UPDATE", "version": 2, "state": "paused"}
    return replace(JOB, **changes | {"next_run_at": at(number + 1), "was_next": at(number + 1)} | more)


def test_nothing_is_wrong_with_a_good_history():
    result = check(good())
    assert result.violations == []
    assert result.checked == 3


def test_a_fire_time_without_a_record_is_lost():
    history = good()
    del history.records[1]
    history.effects = {"run-0": 1, "run-2": 1}
    assert found(history) == {"I2"}


def test_a_fire_time_with_two_records_is_doubled():
    history = good()
    history.records.append(run(1, run_id="another", state="missed"))
    assert found(history) == {"I1"}


def test_a_fire_time_of_a_run_that_a_missed_record_covers_as_well_is_doubled():
    history = good()
    history.records.append(run(0, run_id="another", state="missed", until=at(1), count=2))
    assert found(history) == {"I1"}


def test_a_missed_record_that_counts_wrongly_is_found():
    history = good()
    history.records[1] = run(1, run_id="another", state="missed", count=2)
    history.effects = {"run-0": 1, "run-2": 1}
    assert found(history) == {"I2", "I3"}


def test_a_record_between_the_fire_times_is_extra():
    history = good()
    odd = at(1) + SECOND
    history.records.append(run(1, run_id="another", scheduled_for=odd, until=odd, state="skipped"))
    assert found(history) == {"I3"}


def test_a_record_ahead_of_its_time_is_extra():
    history = good()
    history.records.append(run(3, state="skipped"))
    assert found(history) == {"I3"}


def test_a_record_of_no_job_is_extra():
    history = good()
    history.records.append(run(1, run_id="another", job_no=8, state="skipped"))
    assert found(history) == {"I3"}


def test_a_job_that_stands_still_is_found():
    history = good()
    history.next_run_at = {7: at(2)}
    del history.records[2]
    history.effects = {"run-0": 1, "run-1": 1}
    assert found(history) == {"I2"}


def test_the_fire_times_of_a_cron_and_of_a_one_off_job_are_known_too():
    history = good()
    cron = replace(JOB, job_no=8, job_id="cron", period=None, cron="*/2 * * * *")
    once = replace(JOB, job_no=9, job_id="once", period=None)
    history.definitions += [cron, once]
    history.next_run_at = {7: at(3), 8: BEGIN + 240 * SECOND, 9: None}
    assert {(each.job_id, each.about) for each in check(history).violations} == {
        ("cron", BEGIN),
        ("cron", BEGIN + 120 * SECOND),
        ("once", BEGIN),
    }


def test_a_trigger_that_is_replaced_must_have_accounted_for_what_was_due():
    history = good()
    change = {"ticket": 25, "began": at(2) + SECOND, "at": at(2) + SECOND, "what": "UPDATE", "version": 2}
    new = {"starts_at": at(2) + 3 * SECOND, "next_run_at": at(2) + 3 * SECOND, "was_next": at(2)}
    history.definitions.append(replace(JOB, **change | new))
    history.next_run_at = {7: at(2) + 3 * SECOND}
    assert found(history) == set()
    del history.records[2]
    history.effects = {"run-0": 1, "run-1": 1}
    assert found(history) == {"I2"}


def changed_with_the_clock_set_back(next_run_at: datetime) -> History:
    """After run 2 the clock is set back by two fire times, and the job is given a period of five seconds."""
    history = good()
    change = {"ticket": 50, "began": at(0) + SECOND, "at": at(0) + SECOND, "what": "UPDATE", "version": 2}
    history.definitions.append(
        replace(JOB, **change | {"period": 5 * SECOND, "next_run_at": next_run_at, "was_next": at(3)})
    )
    history.next_run_at = {7: at(2) + 5 * SECOND}
    return history


def test_a_change_with_the_clock_set_back_leaves_alone_what_is_accounted_for():
    assert found(changed_with_the_clock_set_back(at(2) + 5 * SECOND)) == set()


def test_a_change_with_the_clock_set_back_that_has_fire_times_again_is_found():
    assert "I2" in found(changed_with_the_clock_set_back(at(0) + 5 * SECOND))


def test_a_start_past_the_grace_is_late():
    history = good()
    history.steps[4] = step(21, 1, "queued", "running", late=5.1)
    assert found(history) == {"I4"}


def test_a_run_that_is_recorded_as_missed_and_was_begun_is_found():
    history = good()
    history.records[1] = run(1, state="missed")
    history.effects = {"run-0": 1, "run-2": 1}
    assert found(history) == {"I4"}


def test_a_run_that_never_ends_is_found():
    history = good()
    history.records[1] = run(1, state="running")
    history.effects = {"run-0": 1, "run-2": 1}
    assert found(history) == {"I5"}


def test_a_success_whose_handler_has_not_come_to_its_end_is_found():
    history = good()
    del history.marks[3]
    assert found(history) == {"I5"}


def test_a_handler_that_begins_without_a_start_is_found():
    history = good()
    history.marks += marks(1, attempt=2, begin=2, end=3)
    assert "I5" in found(history)


@pytest.mark.parametrize("effects", [0, 2])
def test_a_success_without_its_effect_or_with_two_is_found(effects):
    history = good()
    history.effects = {"run-0": 1, "run-1": effects, "run-2": 1}
    assert found(history) == {"I6"}


def test_an_effect_of_a_run_that_has_failed_is_found():
    history = good()
    history.records[1] = run(1, state="failed")
    assert found(history) == {"I6"}


def test_a_run_that_changes_after_its_end_is_not_fenced():
    history = good()
    history.steps.append(step(40, 1, "succeeded", "failed"))
    assert found(history) == {"I7"}


def test_two_starts_with_one_attempt_are_not_fenced():
    history = good()
    history.steps.append(step(40, 1, "queued", "running"))
    assert "I7" in found(history)


def test_an_attempt_that_is_executed_by_two_is_found():
    history = good()
    history.marks.append(replace(history.marks[2], pid=9))
    assert "I7" in found(history)


def test_two_runs_of_a_job_at_once_overlap():
    history = good()
    history.marks[1] = replace(history.marks[1], at=history.marks[2].at + 1)
    assert found(history) == {"I8"}


def zombie() -> History:
    """Run 1 is taken back and done by another worker, while the first one goes on and ends later."""
    history = good()
    history.records[1] = run(1, attempt=2, recoveries=1)
    history.steps[5:6] = [
        step(22, 1, "running", "queued"),
        step(23, 1, "queued", "running", attempt=2),
        step(24, 1, "running", "succeeded", attempt=2),
    ]
    history.marks += marks(1, attempt=2, begin=0.5, end=0.9)
    return history


def test_a_zombie_that_goes_on_after_it_was_taken_back_is_counted_and_no_violation():
    assert found(zombie()) == set()
    assert [(mark.run_id, mark.attempt) for mark in rejected_ends(zombie())] == [("run-1", 1)]


def test_a_zombie_whose_end_is_accepted_is_found():
    history = zombie()
    history.records[1] = run(1, attempt=1, recoveries=1)
    history.effects = {"run-0": 1, "run-1": 2, "run-2": 1}
    history.steps.append(step(41, 1, "succeeded", "succeeded"))
    assert {"I6", "I7"} <= found(history)


def test_a_run_that_is_made_after_a_pause_was_answered_is_disobedience():
    history = good()
    history.definitions.append(paused_at(25, 1))
    history.calls.append(Call("pause", "job", 0, 0, 200, '"7-1"', '"7-2"', ticket=26))
    assert found(history) == {"I9"}


def test_a_run_that_was_made_and_started_before_the_pause_was_answered_is_none():
    history = good()
    history.definitions.append(paused_at(31, 2))
    history.calls.append(Call("pause", "job", 0, 0, 200, '"7-1"', '"7-2"', ticket=32))
    assert found(history) == set()


def test_a_run_that_starts_after_a_removal_was_answered_is_disobedience():
    history = good()
    history.definitions.append(paused_at(25, 2, what="DELETE", version=1, state="running"))
    history.calls.append(Call("delete", "job", 0, 0, 200, '"7-1"', '"7-1"', ticket=26))
    assert found(history) == {"I9"}


def test_a_run_that_starts_under_the_old_definition_is_disobedience():
    history = good()
    history.definitions.append(paused_at(25, 1, state="running"))
    history.calls.append(Call("edit", "job", 0, 0, 200, '"7-1"', '"7-2"', ticket=26))
    assert found(history) == {"I9"}


def test_an_answered_change_that_is_not_in_the_history_is_not_kept():
    history = good()
    history.calls.append(Call("resume", "job", 0, 0, 200, '"7-1"', '"7-2"', ticket=90))
    assert found(history) == {"I10"}


def test_an_answered_removal_of_a_job_that_is_there_is_not_kept():
    history = good()
    history.calls.append(Call("delete", "job", 0, 0, 200, '"7-1"', '"7-1"', ticket=90))
    assert found(history) == {"I10"}


def test_a_change_that_was_not_answered_may_be_kept_or_not():
    history = good()
    history.calls.append(Call("resume", "job", 0, 0, None, '"7-1"', None, ticket=90))
    assert found(history) == set()


def test_of_two_changes_on_the_same_condition_one_is_lost():
    history = good()
    history.definitions += [paused_at(40, 2), paused_at(41, 2, version=3)]
    history.calls.append(Call("pause", "job", 0, 0, 200, '"7-1"', '"7-2"', ticket=90))
    history.calls.append(Call("pause", "job", 0, 0, 200, '"7-1"', '"7-3"', ticket=91))
    assert found(history) == {"I10"}


def test_a_run_that_nobody_asked_for_is_extra_and_one_that_was_answered_must_be_there():
    history = good()
    history.records.append(run(1, run_id="asked", requested=True, state="cancelled"))
    assert found(history) == {"I3"}
    history.calls.append(Call("run", "job", 0, 0, None))
    assert found(history) == set()
    history.calls.append(Call("run", "job", 0, 0, 202, run_id="gone"))
    assert found(history) == {"I10"}


def test_a_run_that_is_taken_back_without_end_is_not_bounded():
    history = good()
    history.records[1] = run(1, recoveries=4)
    assert found(history) == {"I11"}


def test_an_offender_is_shown_with_all_that_is_known_of_it_in_the_order_of_time():
    history = good()
    history.steps[4] = step(21, 1, "queued", "running", late=5.1)
    (violation,) = check(history).violations
    lines = timeline(history, violation)
    assert lines == sorted(lines)
    assert any("queued → running" in line for line in lines)
