"""What a newcomer reads when everything runs: where it is, what it consists of, what to try."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bayesian_jobs import __version__
from bayesian_jobs.lifecycle.defaults import Report
from bayesian_jobs.lifecycle.yaml_files import shown
from bayesian_jobs.remote.call import BASE
from bayesian_jobs.settings import Settings, own_data_dir
from bayesian_jobs.up.readiness import base_url
from bayesian_jobs.urls import without_password

RULE = "-" * 78
EXAMPLE = (
    '{"flow_name": "bayesianFlow", "flow_arguments":'
    ' [{"ecosystem": "npm", "force": true, "name": "serve-static", "version": "1.7.1"}]}'
)


def banner(configured: Settings, report: Report, pids: Mapping[str, int], *, dsn: str | None, seconds: float) -> str:
    """`configured` are the settings as the user gave them: without a database, the embedded one runs, at `dsn`."""
    facts = [
        ("Dashboard", f"{base_url(configured).removesuffix(BASE)}/"),
        ("API", base_url(configured)),
        ("Swagger UI", f"{base_url(configured)}/ui/"),
        ("Database", database(configured)),
        *([("", f"psql {shlex.quote(dsn)}"), ("Command line", command_line(configured))] if dsn else []),
        ("Broker", "the same PostgreSQL"),
        *default_jobs(configured, report),
        ("Processes", ", ".join(f"{name} {pid}" for name, pid in pids.items())),
    ]
    return "\n".join(
        (
            RULE,
            f" bayesian-jobs {__version__} is ready after {seconds:.1f} s",
            "",
            *(f" {name:<13} {text}" for name, text in facts),
            "",
            *(f" {line}" for line in attempt(configured)),
            "",
            " Ctrl-C stops everything",
            RULE,
        )
    )


def database(configured: Settings) -> str:
    if configured.database_url is None:
        return f"embedded PostgreSQL, its data in {configured.data_dir}"
    return without_password(configured.database_url)


def command_line(configured: Settings) -> str:
    """A command for any terminal, and any directory, that finds the embedded database."""
    where = f"JOBS_DATA_DIR={shlex.quote(str(configured.data_dir.absolute()))} "
    program = shlex.quote(str(Path(sys.executable).with_name("bayesian-jobs")))
    return f"{'' if configured.data_dir == own_data_dir() else where}{program} job list"


def default_jobs(configured: Settings, report: Report) -> Sequence[tuple[str, str]]:
    """One line of names, and one for each thing that somebody should look at."""
    parts = [
        f"{word} {', '.join(job_ids)}"
        for word, job_ids in (
            ("added", report.added),
            ("changed", report.changed),
            ("unchanged", report.unchanged),
        )
        if job_ids
    ]
    usable = "; ".join(parts) or f"none in {configured.default_jobs_dir}"
    doubtful = [f"not used: {shown(flaw.file)}: {flaw}" for flaw in report.rejected]
    doubtful += [f"orphaned: {orphan.job_id}: {orphan.file} defines it no more" for orphan in report.orphaned]
    return [("Default jobs", usable), *(("", text) for text in doubtful)]


def attempt(configured: Settings) -> Sequence[str]:
    """What to try, and what that needs first."""
    if configured.auth == "none":
        return "Try it:", request(configured, "curl")
    return (
        "Try it, with a token in place of TOKEN. One is made by:",
        "bayesian-jobs token create NAME --scope write",
        "",
        request(configured, "curl -H 'Authorization: Bearer TOKEN'"),
    )


def request(configured: Settings, curl: str) -> str:
    """A command to paste: the flow's request where flows are configured, else one that only looks."""
    if configured.flows_file is None:
        return f"{curl} '{base_url(configured)}/jobs'"
    return (
        f"{curl} -X POST -H 'Content-Type: application/json' -d '{EXAMPLE}'"
        f" '{base_url(configured)}/jobs/flow-scheduling?state=running'"
    )
