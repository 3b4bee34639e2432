"""What the command `defaults` prints, for people and for programs."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from bayesian_jobs.lifecycle.default_files import Directory
from bayesian_jobs.lifecycle.defaults import Orphan, Report
from bayesian_jobs.lifecycle.defaults_diff import Changes, Diff
from bayesian_jobs.lifecycle.yaml_files import Flaw, shown
from bayesian_jobs.manage.tables import cell

DONE = ("added", "changed", "unchanged", "removed")
WOULD = {"added": "add", "changed": "change", "unchanged": "unchanged"}


def check_as_json(found: Directory) -> dict[str, Any]:
    return {"usable": [file.spec.job_id for file in found.files], "rejected": flaws_as_json(found.flaws)}


def check_as_text(found: Directory) -> str:
    return text([*(("usable", file.spec.job_id) for file in found.files), *doubtful([], found.flaws)])


def report_as_json(report: Report) -> dict[str, Any]:
    done = {word: getattr(report, word) for word in DONE}
    return {**done, **doubtful_as_json(report.orphaned, report.rejected), "refusal": report.refusal}


def report_as_text(report: Report) -> str:
    done = [(word, job_id) for word in DONE for job_id in getattr(report, word)]
    return text([*done, *doubtful(report.orphaned, report.rejected)])


def diff_as_json(diff: Diff) -> dict[str, Any]:
    files = [
        {
            "job_id": each.job_id,
            "file": each.file,
            "action": WOULD[each.outcome],
            "changes": {name: {"from": now, "to": then} for name, (now, then) in each.changes.items()},
            "kept": {name: {"file": asked, "job": now} for name, (asked, now) in each.kept.items()},
        }
        for each in diff.files
    ]
    return {"jobs": files, **doubtful_as_json(diff.orphaned, diff.rejected)}


def diff_as_text(diff: Diff) -> str:
    lines: list[tuple[str, str]] = []
    for each in diff.files:
        lines.append((WOULD[each.outcome], each.job_id))
        lines += pairs(each.changes, "{name}: {one} -> {other}")
        lines += pairs(each.kept, "{name}: {other}, changed at run time and kept; in the file: {one}")
    return text([*lines, *doubtful(diff.orphaned, diff.rejected)])


def pairs(changes: Changes, pattern: str) -> list[tuple[str, str]]:
    return [
        ("", "  " + pattern.format(name=name, one=cell(one), other=cell(other)))
        for name, (one, other) in changes.items()
    ]


def doubtful_as_json(orphaned: Iterable[Orphan], flaws: Iterable[Flaw]) -> Mapping[str, Any]:
    return {"orphaned": [asdict(each) for each in orphaned], "rejected": flaws_as_json(flaws)}


def flaws_as_json(flaws: Iterable[Flaw]) -> list[dict[str, Any]]:
    return [asdict(each) for each in flaws]


def doubtful(orphaned: Iterable[Orphan], flaws: Iterable[Flaw]) -> list[tuple[str, str]]:
    lines = [("orphaned", f"{each.job_id}: {each.file} defines it no more") for each in orphaned]
    return [*lines, *(("rejected", f"{shown(each.file)}: {each}") for each in flaws)]


def text(lines: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{word:<10} {what}\n" for word, what in lines)
