"""I9, I10, I3 for what was asked for: after the API has answered, the service does what it was told, and keeps it."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from rig.coverage import Violation
from rig.history import Call, Definition, History, Step

CHANGES = ("pause", "resume", "edit", "put", "delete")


def check_obeyed(history: History) -> Iterator[Violation]:
    """I9. What has a ticket later than the one that was drawn after the answer happened after it."""
    steps: dict[int, list[Step]] = defaultdict(list)
    for step in history.steps:
        if not step.requested and (step.after == "running" or (step.before is None and step.after == "queued")):
            steps[step.job_no].append(step)
    by_no: dict[int, list[Definition]] = defaultdict(list)
    for each in history.definitions:
        by_no[each.job_no].append(each)
    for call in history.calls:
        if call.acknowledged and call.ticket is not None and call.tag and call.what in CHANGES:
            job_no, version = numbers(call.tag)
            yield from disobeyed(call, version, by_no[job_no], steps[job_no])


def disobeyed(call: Call, version: int, known: list[Definition], steps: list[Step]) -> Iterator[Violation]:
    assert call.ticket is not None
    until = None
    if call.what in ("pause", "delete"):
        later = (each for each in known if each.version > version or each.what == "DELETE")
        until = next((each.ticket for each in later if each.state == "running" and each.what != "DELETE"), None)
    for step in steps:
        if step.ticket <= call.ticket:
            continue
        what = "started" if step.after == "running" else "made"
        if call.what in ("pause", "delete") and (until is None or step.ticket < until):
            yield told(call, step, f"was {what} after the {call.what} had been answered")
        elif step.job_version < version and call.what != "resume":
            yield told(call, step, f"was {what} under version {step.job_version}, after {version} had been answered")


def check_requested(history: History) -> Iterator[Violation]:
    """I3 and I10 of runs that somebody asked for: each that was answered is there once, and no others but those that
    were not answered."""
    there = {record.run_id: record for record in history.records if record.requested}
    asked = [call for call in history.calls if call.what == "run"]
    answered = {call.run_id for call in asked if call.acknowledged and call.run_id}
    deleted = {each.job_id for each in history.definitions if each.what == "DELETE"}
    for call in asked:
        if call.acknowledged and call.run_id not in there and call.job_id not in deleted:
            yield Violation("I10", call.job_id, f"run {call.run_id} was answered, and is not there", call.run_id)
    unanswered = Counter(call.job_id for call in asked if call.status is None or call.status >= 500)
    unexplained = Counter(record.job_id for run_id, record in there.items() if run_id not in answered)
    for job_id, count in unexplained.items():
        if count > unanswered[job_id]:
            yield Violation("I3", job_id, f"{count} runs that nobody asked for ({unanswered[job_id]} calls are open)")


def check_kept(history: History) -> Iterator[Violation]:
    """I10: every change that was answered is in the history of the job, and none was made over another unseen one."""
    known = {(each.job_no, each.version) for each in history.definitions if each.what != "DELETE"}
    deleted = {each.job_no for each in history.definitions if each.what == "DELETE"}
    changed: Counter[str] = Counter()
    for call in history.calls:
        if not call.acknowledged or not call.tag or call.what not in CHANGES:
            continue
        job_no, version = numbers(call.tag)
        if call.what == "delete" and job_no not in deleted:
            yield Violation("I10", call.job_id, f"its removal was answered, but job {call.tag} is still there")
        elif call.what != "delete" and (job_no, version) not in known:
            yield Violation("I10", call.job_id, f"the answered version {call.tag} ({call.what}) is not kept")
        if call.sent is not None and call.sent != call.tag:
            changed[call.sent] += 1
    for tag, count in changed.items():
        if count > 1:
            yield Violation("I10", tag, f"{count} changes were made on the condition that it was {tag}: one is lost")


def numbers(tag: str) -> tuple[int, int]:
    """job_no and version, of a job's ETag."""
    job_no, version = tag.strip('"').split("-")
    return int(job_no), int(version)


def told(call: Call, step: Step, text: str) -> Violation:
    return Violation("I9", call.job_id, f"run {step.run_id} {text}", step.run_id, step.scheduled_for)
