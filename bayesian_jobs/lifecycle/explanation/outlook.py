"""What will become of a fire time that the ledger does not hold yet, in words."""

from datetime import datetime

from bayesian_jobs.domain.job import JobState, Overlap
from bayesian_jobs.domain.misfire import CatchUp
from bayesian_jobs.domain.verdict import Verdict
from bayesian_jobs.lifecycle.explanation.facts import Facts, Judged, job_paused, moment, sentence, service_paused
from bayesian_jobs.store import ledger

PENDING = "The job is pending: a scheduler has yet to admit it."
NO_SCHEDULER = "No scheduler is alive, and without one nothing is dispatched."
LIKE_A_DOWNTIME = "When it is resumed, what has passed is judged as after a downtime."


def of(facts: Facts, fire_time: datetime) -> Judged:
    """Of a fire time to come."""
    against = why_not(facts, fire_time)
    if against is not None:
        return Judged(Verdict.WILL_NOT_RUN, f"The job will not run at {moment(fire_time)}. {against}")
    words = [f"The job will run at {moment(fire_time)}{delayed(facts, fire_time)}, if nothing changes."]
    return Judged(Verdict.WILL_RUN, " ".join([*words, *provisos(facts)]))


def delayed(facts: Facts, fire_time: datetime) -> str:
    return "" if facts.job["jitter"] is None else f", with its jitter at {moment(start_of(facts, fire_time))}"


def start_of(facts: Facts, fire_time: datetime) -> datetime:
    """The fire time, delayed by the job's jitter."""
    if facts.job["jitter"] is None:
        return fire_time
    return fire_time + ledger.delay_of(facts.connection, facts.job["job_no"], fire_time)


def why_not(facts: Facts, fire_time: datetime) -> str | None:
    """Why the job will not run then, as things stand; None: it will."""
    state, planned = facts.job["state"], facts.job["next_run_at"]
    if state == JobState.FINISHED:
        return "It is finished."
    if state == JobState.PAUSED and not ends_by(facts.job["paused_until"], fire_time):
        return sentence(f"It is {job_paused(facts)}") + after_a_pause(facts)
    if state != JobState.PENDING and (planned is None or planned > fire_time):
        return f"Its next fire time is {moment(planned)}." if planned else "It has no fire time left."
    paused = service_paused(facts)
    if paused and not ends_by(facts.service.paused_until, fire_time):
        return f"{paused} {LIKE_A_DOWNTIME}"
    return None


def provisos(facts: Facts) -> list[str]:
    words = []
    if facts.is_pending:
        words.append(PENDING)
    if facts.job["state"] == JobState.PAUSED:
        words.append(sentence(f"It is {job_paused(facts)}, and is resumed by then"))
    if paused := service_paused(facts):
        words.append(f"{paused[:-1]}, and is resumed by then.")
    words += in_its_way(facts)
    if not facts.alive.schedulers:
        words.append(NO_SCHEDULER)
    if not facts.alive.consumers:
        words.append(f"No worker that takes runs from queue {facts.job['queue']!r} is alive.")
    return words


def in_its_way(facts: Facts) -> list[str]:
    """The runs that are open, if they are as many as the job may have."""
    job = facts.job
    running = ledger.open_fire_times(facts.connection, job["job_no"])
    if len(running) < job["max_concurrent_runs"]:
        return []
    which = f"Its run of {moment(running[0])} is" if len(running) == 1 else f"{len(running)} runs of it are"
    waits = job["overlap"] == Overlap.QUEUE_ONE or job["catch_up"] == CatchUp.ALL
    return [f"{which} queued or executing; while that is so, a fire time {'waits' if waits else 'is skipped'}."]


def of_passed(facts: Facts, fire_time: datetime) -> Judged:
    """Of a fire time that has passed and is not accounted for yet."""
    if facts.job["state"] == JobState.PAUSED:
        words = sentence(f"{moment(fire_time)} has passed while the job is {job_paused(facts)}")
        return Judged(Verdict.PUT_OFF, words + after_a_pause(facts))
    words = " ".join([f"{moment(fire_time)} has passed and is not dispatched yet.", *why_not_dispatched(facts)])
    return Judged(Verdict.DUE, words + too_late(facts, fire_time))


def why_not_dispatched(facts: Facts) -> list[str]:
    words = [PENDING] if facts.is_pending else []
    if paused := service_paused(facts):
        words += [paused, LIKE_A_DOWNTIME]
    if facts.job["waiting"]:
        words.append("It waits for a run of the job to end that is queued or executing.")
    if not facts.alive.schedulers:
        words.append(NO_SCHEDULER)
    return words or ["A scheduler is about to do so."]


def too_late(facts: Facts, fire_time: datetime) -> str:
    grace = facts.job["misfire_grace_time"]
    if grace is None or start_of(facts, fire_time) + grace >= facts.now:
        return ""
    return " It is already later than the job's misfire_grace_time allows, and will be missed."


def after_a_pause(facts: Facts) -> str:
    if facts.job["error"] is not None:
        return ""
    if facts.is_one_off:
        return " It is put off: when the job is resumed it is due, as far as its misfire_grace_time allows."
    return " When the job is resumed, what has passed is recorded as skipped."


def ends_by(until: datetime | None, fire_time: datetime) -> bool:
    return until is not None and until <= fire_time
