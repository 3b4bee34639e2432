"""What each command asks of the REST API: the one place that decides what is acceptable is behind it."""

from argparse import Namespace
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from bayesian_jobs.remote.call import Call, of_job, of_run

PAGING = ("state", "limit", "after")


def job_add(arguments: Namespace) -> Sequence[Call]:
    body = {"handler": arguments.handler, **options(arguments, "job_id")}
    return [Call(method="POST", path="/jobs", query=dry_run(arguments), body=body)]


def job_list(arguments: Namespace) -> Sequence[Call]:
    return [Call(path="/jobs", query=given(arguments, "job_type", "handler", "text", "tag", *PAGING))]


def job_show(arguments: Namespace) -> Sequence[Call]:
    return [Call(path=of_job(job_id)) for job_id in arguments.job_ids]


def job_pause(arguments: Namespace) -> Sequence[Call]:
    return [change(of_job(job_id), "paused", **words(arguments)) for job_id in arguments.job_ids]


def job_resume(arguments: Namespace) -> Sequence[Call]:
    return [change(of_job(job_id), "running") for job_id in arguments.job_ids]


def job_delete(arguments: Namespace) -> Sequence[Call]:
    return [Call(method="DELETE", path=of_job(job_id)) for job_id in arguments.job_ids]


def job_edit(arguments: Namespace) -> Sequence[Call]:
    unset = {name.replace("-", "_"): None for name in arguments.unset}
    changes = {**unset, **options(arguments, "handler")}
    return [Call(method="PATCH", path=of_job(arguments.job_id), query=dry_run(arguments), body=changes)]


def job_upcoming(arguments: Namespace) -> Sequence[Call]:
    return [Call(path=f"{of_job(arguments.job_id)}/upcoming", query=given(arguments, "count"))]


def job_explain(arguments: Namespace) -> Sequence[Call]:
    return [Call(path=f"{of_job(arguments.job_id)}/explain", query=given(arguments, "at"))]


def job_run(arguments: Namespace) -> Sequence[Call]:
    return [Call(method="POST", path=f"{of_job(job_id)}/run") for job_id in arguments.job_ids]


def run_list(arguments: Namespace) -> Sequence[Call]:
    path = "/runs" if arguments.job is None else f"{of_job(arguments.job)}/runs"
    return [Call(path=path, query=given(arguments, *PAGING))]


def run_show(arguments: Namespace) -> Sequence[Call]:
    return [Call(path=of_run(run_id)) for run_id in arguments.run_ids]


def run_retry(arguments: Namespace) -> Sequence[Call]:
    body = given(arguments, "kwargs") or None
    return [Call(method="POST", path=f"{of_run(run_id)}/retry", body=body) for run_id in arguments.run_ids]


def run_cancel(arguments: Namespace) -> Sequence[Call]:
    return [Call(method="POST", path=f"{of_run(run_id)}/cancel") for run_id in arguments.run_ids]


def flow_show(arguments: Namespace) -> Sequence[Call]:
    return [Call(path=f"/flows/{quote(flow_id, safe='')}") for flow_id in arguments.flow_ids]


def service_show(arguments: Namespace) -> Sequence[Call]:
    return [Call(path="/service/state")]


def service_pause(arguments: Namespace) -> Sequence[Call]:
    return [change("/service/state", "paused", **words(arguments))]


def service_resume(arguments: Namespace) -> Sequence[Call]:
    return [change("/service/state", "running")]


def handlers(arguments: Namespace) -> Sequence[Call]:
    return [Call(path="/handlers")]


def audit(arguments: Namespace) -> Sequence[Call]:
    return [Call(path="/audit", query=given(arguments, "job_id", "who", "action", "limit", "after"))]


def token_create(arguments: Namespace) -> Sequence[Call]:
    return [Call(method="POST", path="/tokens", body=given(arguments, "name", "scope", "expires"))]


def token_list(arguments: Namespace) -> Sequence[Call]:
    return [Call(path="/tokens")]


def token_revoke(arguments: Namespace) -> Sequence[Call]:
    return [Call(method="DELETE", path=f"/tokens/{quote(name, safe='')}") for name in arguments.names]


def change(path: str, state: str, **more: str) -> Call:
    return Call(method="PUT", path=path, query={"state": state, **more})


def words(arguments: Namespace) -> dict[str, str]:
    """What is said about a pause."""
    return given(arguments, "reason", "until")


def options(arguments: Namespace, *further: str) -> dict[str, Any]:
    """The options of a job that were given."""
    from bayesian_jobs.manage.commands import OPTIONS

    return given(arguments, "kwargs", *OPTIONS, *further)


def dry_run(arguments: Namespace) -> dict[str, str]:
    return {"dry_run": "true"} if arguments.dry_run else {}


def given(arguments: Namespace, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}
