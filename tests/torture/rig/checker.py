"""The history checker: computes the invariants of the service from what was seen, and names every offender."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise

from bayesian_jobs.domain.run import ENDED, MAX_RECOVERIES
from rig import coverage, obedience
from rig.coverage import Coverage, Violation
from rig.history import OPEN, History, Mark, Record, Step

EFFECTIVE = "Work"
"""The handler whose runs have one effect each."""


def check(history: History) -> Coverage:
    """How many fire times were checked, and all violations."""
    result = coverage.check(history)
    for invariant in INVARIANTS:
        result.violations += invariant(history)
    return result


def check_grace(history: History) -> Iterator[Violation]:
    """I4: no first attempt starts past its grace, and what is missed was never begun."""
    graces = {(each.job_no, each.version): each.grace for each in history.definitions}
    for step in history.steps:
        grace = graces.get((step.job_no, step.job_version))
        if step.after == "running" and step.attempt == 1 and grace is not None and step.started_at is not None:
            late = step.started_at - step.scheduled_for - grace
            if late > timedelta(0) and not step.requested:
                yield violation("I4", history, step, f"started {late} after its grace was over")
    begun = {mark.run_id for mark in history.marks if mark.what == "begin"}
    for record in history.records:
        if record.state in ("missed", "skipped") and record.run_id in begun:
            yield of_record("I4", record, f"is recorded as {record.state}, but its handler has begun")


def check_alive(history: History) -> Iterator[Violation]:
    """I5: what is settled has ended; what has succeeded has been done to its end; what was done had been started."""
    ends = {(mark.run_id, mark.attempt) for mark in history.marks if mark.what == "end"}
    for record in history.records:
        if record.state in OPEN and history.settled and record.scheduled_for <= history.settled:
            yield of_record("I5", record, f"is still {record.state}")
        if record.state == "succeeded" and (record.run_id, record.attempt) not in ends:
            yield of_record("I5", record, f"has succeeded, but its attempt {record.attempt} has not come to its end")
    starts = {(step.run_id, step.attempt) for step in history.steps if step.after == "running"}
    for mark in history.marks:
        if mark.what == "begin" and mark.at < history.seen_until and (mark.run_id, mark.attempt) not in starts:
            yield Violation("I5", mark.job_id, f"attempt {mark.attempt} has begun without a start", mark.run_id)


def check_effects(history: History) -> Iterator[Violation]:
    """I6: one effect of each succeeded run that has effects, none of any other."""
    for record in history.records:
        expected = int(record.state == "succeeded" and record.actor == EFFECTIVE)
        if (found := history.effects.get(record.run_id, 0)) != expected:
            yield of_record("I6", record, f"({record.state}) has {found} effects, not {expected}")


def check_fencing(history: History) -> Iterator[Violation]:
    """I7: the attempts of a run are counted without a gap, it ends once, and nothing changes it afterwards."""
    for steps in by_run(history).values():
        attempts = [step.attempt for step in steps if step.after == "running"]
        if attempts != list(range(1, len(attempts) + 1)):
            yield violation("I7", history, steps[0], f"its attempts were {attempts}")
        states = [step.after for step in steps]
        if any(state in ENDED for state in states[:-1]):
            yield violation("I7", history, steps[-1], f"it went on after its end: {' → '.join(states)}")
    begun = Counter((mark.run_id, mark.attempt) for mark in history.marks if mark.what == "begin")
    jobs = {mark.run_id: mark.job_id for mark in history.marks}
    for (run_id, attempt), count in begun.items():
        if count > 1:
            yield Violation("I7", jobs[run_id], f"attempt {attempt} has begun {count} times", run_id)


def check_overlap(history: History) -> Iterator[Violation]:
    """I8: of a job that may have one run at a time, no two that nobody has taken back execute at once."""
    single = {each.job_no for each in history.definitions} - {
        each.job_no for each in history.definitions if each.max_concurrent_runs > 1
    }
    lost = lost_attempts(history)
    spans: dict[int, list[tuple[int, int, Mark]]] = defaultdict(list)
    of_job = {record.run_id: record for record in history.records if not record.requested}
    ends = {(mark.run_id, mark.attempt): mark.at for mark in history.marks if mark.what == "end"}
    for mark in history.marks:
        key = mark.run_id, mark.attempt
        record = of_job.get(mark.run_id)
        if mark.what == "begin" and key in ends and key not in lost and record and record.job_no in single:
            spans[record.job_no].append((mark.at, ends[key], mark))
    for its in spans.values():
        its.sort(key=lambda span: span[0])
        for (_, end, one), (begin, _, other) in pairwise(its):
            if begin < end:
                text = f"begun {(end - begin) / 1e6:.1f} ms before the end of {one.run_id} of the same job"
                yield Violation("I8", other.job_id, text, other.run_id)


def check_bounded(history: History) -> Iterator[Violation]:
    """I11: no run is taken back more often than it may be, and one that kills its worker does not succeed."""
    for record in history.records:
        if record.recoveries > MAX_RECOVERIES:
            yield of_record("I11", record, f"was taken back {record.recoveries} times")
        if record.actor in ("Exits", "Segfaults") and record.state == "succeeded":
            yield of_record("I11", record, "has succeeded, though it ends its process")


def lost_attempts(history: History) -> set[tuple[str, int]]:
    """Attempts after which another one followed, or that came to be recorded as something else than what they did:
    their worker was given up, and may go on for a while."""
    last = {record.run_id: record for record in history.records}
    marks = {(mark.run_id, mark.attempt) for mark in history.marks}
    return {
        (run, attempt)
        for run, attempt in marks
        if run in last and (attempt < last[run].attempt or last[run].state != "succeeded")
    }


def rejected_ends(history: History) -> list[Mark]:
    """Ends that came after another attempt of the run had begun: what they reported was refused, or the checker says
    so."""
    begun: dict[str, list[Mark]] = defaultdict(list)
    for mark in history.marks:
        if mark.what == "begin":
            begun[mark.run_id].append(mark)
    return [
        mark
        for mark in history.marks
        if mark.what == "end" and any(b.attempt > mark.attempt and b.at < mark.at for b in begun[mark.run_id])
    ]


def by_run(history: History) -> dict[str, list[Step]]:
    runs: dict[str, list[Step]] = defaultdict(list)
    for step in sorted(history.steps, key=lambda each: each.ticket):
        runs[step.run_id].append(step)
    return runs


def of_record(invariant: str, record: Record, text: str) -> Violation:
    return Violation(invariant, record.job_id, f"run {record.run_id} {text}", record.run_id, record.scheduled_for)


def violation(invariant: str, history: History, step: Step, text: str) -> Violation:
    job_id = next((each.job_id for each in history.definitions if each.job_no == step.job_no), str(step.job_no))
    return Violation(invariant, job_id, f"run {step.run_id}: {text}", step.run_id, step.scheduled_for)


INVARIANTS: tuple[Callable[[History], Iterator[Violation]], ...] = (
    check_grace,
    check_alive,
    check_effects,
    check_fencing,
    check_overlap,
    obedience.check_obeyed,
    obedience.check_requested,
    obedience.check_kept,
    check_bounded,
)
