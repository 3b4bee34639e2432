"""Answers of the API as text for people."""

import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

Document = Mapping[str, Any]

COLUMNS = {
    "jobs": ("job_id", "handler", "state", "periodically", "next_run_at", "last_run"),
    "runs": ("run_id", "job_id", "scheduled_for", "state", "attempt", "reason"),
    "tasks": ("task", "state", "waits_for", "actor", "queue", "run_id"),
    "handlers": ("name", "endpoint", "summary"),
    "entries": ("at", "who", "origin", "action", "job_id", "run_id", "details"),
    "tokens": ("name", "prefix", "scope", "expires_at", "revoked_at", "last_used_at"),
}


CHANGED = ("option", "before", "after")
AFFECTED = ("run_id", "scheduled_for", "becomes")
UPCOMING = ("upcoming_before", "upcoming_after")


def as_text(answer: Document) -> str:
    """A table for a list, a line for each thing of a plain one, an explanation as it is, and a line for each field of
    anything else."""
    for name, columns in COLUMNS.items():
        if name in answer:
            return table(answer[name], columns, name) + following(answer)
    if "explanation" in answer:
        return f"{printable(answer['explanation'])}\n"
    if "changes" in answer:
        return rehearsal(answer)
    for name in ("upcoming", "removed"):
        if name in answer:
            return "".join(f"{each}\n" for each in answer[name])
    if "secret" in answer:
        return fields({**answer["token"], "secret (shown this once)": answer["secret"]})
    return fields(answer.get("job") or answer.get("run") or answer.get("token") or answer)


def rehearsal(answer: Document) -> str:
    """What would change, the next fire times before and after side by side, and what becomes of queued runs if any are
    affected."""
    changes = [{"option": name, **change} for name, change in answer["changes"].items()]
    times = zip_longest(answer["upcoming"]["before"], answer["upcoming"]["after"])
    upcoming = [dict(zip(UPCOMING, pair, strict=True)) for pair in times]
    text = f"{table(changes, CHANGED, 'changes')}\n{table(upcoming, UPCOMING, 'fire times')}"
    affected = answer["queued_runs"]
    return text if not affected else f"{text}\n{table(affected, AFFECTED, 'queued runs')}"


def table(rows: Sequence[Document], columns: Sequence[str], name: str) -> str:
    if not rows:
        return f"no {name}\n"
    cells = [[heading.upper().replace("_", " ") for heading in columns]]
    cells += [[cell(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return "".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in cells
    )


def following(answer: Document) -> str:
    return f"\nmore: --after {answer['next']}\n" if answer.get("next") else ""


def fields(document: Document) -> str:
    width = max(map(len, document), default=0)
    return "".join(f"{name:<{width}}  {indented(value, width)}\n" for name, value in document.items())


def indented(value: Any, width: int) -> str:
    """A text of several lines stays beside the field's name."""
    text = cell(value) if not isinstance(value, str) else printable(value, keep="\n")
    return text.replace("\n", "\n" + " " * (width + 2))


def cell(value: Any) -> str:
    """One line: of a last run its state and when it was to be, of anything else that has parts its JSON."""
    match value:
        case None:
            return "-"
        case str():
            return printable(value)
        case {"state": state, "scheduled_for": scheduled_for}:
            return f"{state} {scheduled_for}"
        case _:
            return json.dumps(value, ensure_ascii=False)


def printable(text: str, keep: str = "") -> str:
    """Without control characters, with which a stored text could steer the terminal."""
    return "".join(each if each.isprintable() or each in keep else " " for each in text)
