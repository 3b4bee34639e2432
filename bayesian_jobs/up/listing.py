"""What the command line prints about settings and default jobs."""

import json
from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bayesian_jobs.domain.durations import format_duration
from bayesian_jobs.settings import Settings, default_of, without_password

if TYPE_CHECKING:
    from bayesian_jobs.lifecycle.defaults import Report


def rows(settings: Settings) -> list[dict[str, str | None]]:
    """Every setting: variable, value now and default (spelt as in the environment), meaning."""
    return [
        {
            "name": each.metadata["variable"],
            "value": shown(getattr(settings, each.name)),
            "default": shown(default_of(each)),
            "meaning": each.metadata["meaning"],
        }
        for each in fields(settings)
    ]


def shown(value: Any) -> str | None:
    """A value as text without passwords; None when it is unset."""
    match value:
        case None | ():
            return None
        case timedelta():
            return format_duration(value)
        case tuple():
            return ",".join(value)
        case _:
            text: str = without_password(str(value))
            return text


def as_json(settings: Settings) -> str:
    return json.dumps(rows(settings), indent=2) + "\n"


def as_table(settings: Settings) -> str:
    heading: dict[str, str | None] = {
        "name": "SETTING",
        "value": "VALUE",
        "default": "DEFAULT",
        "meaning": "MEANING",
    }
    table: list[dict[str, str | None]] = [heading, *rows(settings)]
    widths = {key: max(len(row[key] or "-") for row in table) for key in ("name", "value", "default")}
    return "".join(
        "  ".join([*(f"{row[key] or '-':<{width}}" for key, width in widths.items()), row["meaning"] or ""]) + "\n"
        for row in table
    )


def of_defaults(report: "Report", unchanged: str = "unchanged") -> str:
    """One line for each default job or file that cannot be used."""
    words = (("added", report.added), ("changed", report.changed), (unchanged, report.unchanged))
    lines = [f"{word:<10} {job_id}" for word, job_ids in words for job_id in job_ids]
    lines += [f"{'rejected':<10} {name}: {reason}" for name, reason in report.rejected]
    return "".join(f"{line}\n" for line in lines) or "no default jobs\n"
