"""What the command line prints about settings."""

import json
from dataclasses import fields
from datetime import timedelta
from typing import Any

from bayesian_jobs.domain.durations import format_duration
from bayesian_jobs.settings import Settings, default_of
from bayesian_jobs.urls import without_password


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
