"""Rows as JSON: the only place that knows the names on the wire."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bayesian_jobs.domain.datetimes import format_datetime
from bayesian_jobs.domain.durations import format_duration
from bayesian_jobs.domain.job import JobState
from bayesian_jobs.domain.run import RunState
from bayesian_jobs.lifecycle.explain import Explanation
from bayesian_jobs.lifecycle.rehearse import Rehearsal
from bayesian_jobs.store.service import Service

Row = Mapping[str, Any]

BOOKKEEPING = ("created_at", "updated_at", "version", "last_run")
"""Fields of a job that nobody sets."""


def job(row: Row) -> dict[str, Any]:
    """One job, from its row; times are ISO 8601 in UTC."""
    running = row["state"] == JobState.RUNNING
    return {
        "job_id": row["job_id"],
        "handler": row["handler"],
        "kwargs": row["kwargs"],
        "state": row["state"],
        "when": _time(row["starts_at"]),
        "periodically": row["cron"] or _duration(row["period"]),
        "end": _time(row["ends_at"]),
        "timezone": row["timezone"],
        "jitter": _duration(row["jitter"]),
        "misfire_grace_time": _duration(row["misfire_grace_time"]),
        "catch_up": row["catch_up"],
        "max_concurrent_runs": row["max_concurrent_runs"],
        "overlap": row["overlap"],
        "queue": row["queue"],
        "priority": row["priority"],
        "max_retries": row["max_retries"],
        "retry_delay": _duration(row["retry_delay"]),
        "time_limit": _duration(row["time_limit"]),
        "description": row["description"],
        "tags": row["tags"],
        "next_run_at": _time(row["next_run_at"]) if running else None,
        "last_run": _last_run(row),
        "paused": _pause(row) if row["state"] == JobState.PAUSED else None,
        "error": row["error"],
        "created_at": _time(row["created_at"]),
        "updated_at": _time(row["updated_at"]),
        "version": row["version"],
    }


def token(row: Row) -> dict[str, Any]:
    """One token, without its secret."""
    return {
        "name": row["name"],
        "prefix": row["prefix"],
        "scope": row["scope"],
        "created_at": _time(row["created_at"]),
        "expires_at": _time(row["expires_at"]),
        "revoked_at": _time(row["revoked_at"]),
        "last_used_at": _time(row["last_used_at"]),
    }


def entry(row: Row) -> dict[str, Any]:
    """One entry of the audit log."""
    return {
        "at": _time(row["at"]),
        "who": row["who"],
        "origin": row["origin"],
        "action": row["action"],
        "job_id": row["job_id"],
        "run_id": row["run_id"],
        "details": row["details"],
    }


def service(state: Service) -> dict[str, Any]:
    """The service's state; of a pause also why and until when, if somebody has said so."""
    words = {"reason": state.paused_reason, "until": _time(state.paused_until)}
    return {"state": state.state} | {name: value for name, value in words.items() if value is not None}


def explanation(given: Explanation) -> dict[str, Any]:
    return {
        "job_id": given.job_id,
        "at": _time(given.at),
        "now": _time(given.now),
        "verdict": given.verdict,
        "explanation": given.words,
        "fire_time": _time(given.fire_time),
        "previous": _time(given.previous),
        "next": _time(given.next),
        "run": None if given.run is None else run(given.run),
    }


def one_job(row: Row) -> dict[str, Any]:
    return {"job": job(row)}


def job_state(row: Row) -> dict[str, Any]:
    return {"job_id": row["job_id"], "state": row["state"]}


def rehearsal(found: Rehearsal) -> dict[str, Any]:
    """What a change of a job would come to: each field and queued run that it would change, and the next
    fire times."""
    after = job(found.after)
    before = dict.fromkeys(after) if found.before is None else job(found.before)
    return {
        "dry_run": True,
        "changes": {
            name: {"before": before[name], "after": value}
            for name, value in after.items()
            if name not in BOOKKEEPING and value != before[name]
        },
        "upcoming": {
            "before": [format_datetime(each) for each in found.upcoming_before],
            "after": [format_datetime(each) for each in found.upcoming_after],
        },
        "queued_runs": [
            {"run_id": str(run.run_id), "scheduled_for": format_datetime(run.scheduled_for), "becomes": run.becomes}
            for run in found.affected
        ],
    }


def run(row: Row) -> dict[str, Any]:
    """One run, from its row; `error` is the reason of a failed one."""
    return {
        "run_id": str(row["run_id"]),
        "job_id": row["job_id"],
        "job_version": row["job_version"],
        "actor": row["actor"],
        "queue": row["queue"],
        "priority": row["priority"],
        "scheduled_for": _time(row["scheduled_for"]),
        "state": row["state"],
        "attempt": row["attempt"],
        "failures": row["failures"],
        "recoveries": row["recoveries"],
        "worker": row["worker"],
        "queued_at": _time(row["queued_at"]),
        "started_at": _time(row["started_at"]),
        "finished_at": _time(row["finished_at"]),
        "reason": row["reason"],
        "error": row["reason"] if row["state"] == RunState.FAILED else None,
        "traceback": row["traceback"],
        "missed": _missed(row),
        "requested": row["requested"],
        "retry_of": row["retry_of"],
        "cancel_requested_at": _time(row["cancel_requested_at"]),
        "progress": row["progress"],
        "kwargs": row["kwargs"],
        "flow_id": row["flow_id"],
        "task": row["task"],
    }


def failures(row: Row) -> dict[str, Any]:
    """Failures of one kind."""
    return {
        "handler": row["handler"],
        "error": row["error"],
        "count": row["count"],
        "first_at": _time(row["first_at"]),
        "last_at": _time(row["last_at"]),
        "job_ids": row["job_ids"] or [],
        "run_ids": row["run_ids"] or [],
    }


def flow(flow_id: str, tasks: Sequence[Row]) -> dict[str, Any]:
    """One start of a flow, from the rows of its tasks."""
    return {
        "flow_id": flow_id.lower(),
        "job_id": tasks[0]["job_id"],
        "tasks": [
            {
                "task": task["task"],
                "state": task["state"],
                "waits_for": task["waits_for"],
                "actor": task["actor"],
                "queue": task["queue"],
                "run_id": None if task["run_id"] is None else str(task["run_id"]),
                "scheduled_for": _time(task["scheduled_for"]),
            }
            for task in tasks
        ],
        "tasks_count": len(tasks),
    }


def _last_run(row: Row) -> dict[str, Any] | None:
    if row["last_run_id"] is None:
        return None
    return {
        "run_id": str(row["last_run_id"]),
        "scheduled_for": _time(row["last_scheduled_for"]),
        "state": row["last_state"],
        "started_at": _time(row["last_started_at"]),
        "finished_at": _time(row["last_finished_at"]),
    }


def _pause(row: Row) -> dict[str, Any]:
    return {"since": _time(row["paused_at"]), "reason": row["paused_reason"], "until": _time(row["paused_until"])}


def _missed(row: Row) -> dict[str, Any] | None:
    if row["missed_until"] is None:
        return None
    return {"until": _time(row["missed_until"]), "count": row["missed_count"]}


def _time(value: datetime | None) -> str | None:
    return None if value is None else format_datetime(value)


def _duration(value: Any) -> str | None:
    return None if value is None else format_duration(value)
