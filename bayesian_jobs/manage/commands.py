"""The commands as argparse knows them. Imports nothing heavy: `--help` is instant."""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bayesian_jobs.domain.json_values import why_not_storable
from bayesian_jobs.errors import RequestRefused, shortened
from bayesian_jobs.manage import calls
from bayesian_jobs.remote.call import Call

if TYPE_CHECKING:
    from bayesian_jobs.settings import Settings

OPTIONS = {
    "periodically": "how often: '1 week', '5:00:00', or a cron expression; omitted: once",
    "when": "first execution: 'Mon Feb 20, 14:56' or ISO 8601; omitted: now",
    "end": "of a periodic job: when it fires last, at the latest; omitted: it does not end",
    "timezone": "of a cron expression: Europe/Prague; omitted: UTC",
    "jitter": "runs may be started later than their fire time, by less than this: '30 seconds'; omitted: none",
    "misfire_grace_time": "how late a run may still start: '1 hour'; omitted: no limit",
    "catch_up": "of several fire times that are due at once run: latest, all or none; omitted: latest",
    "max_concurrent_runs": "how many of its runs may be queued or executing at once; omitted: 1",
    "overlap": "while so many are: skip, queue_one or allow; omitted: skip",
    "queue": "the queue of its runs; omitted: that of its handler",
    "priority": "0 (first) to 9 (last); omitted: 5",
    "max_retries": "how often a failed attempt is tried again; omitted: as its handler says",
    "retry_delay": "the wait before the first retry, doubled for each further one; omitted: as its handler says",
    "time_limit": "how long one attempt may take; omitted: as its handler says",
    "description": "words about the job, for people",
    "tags": "words to find the job by, separated by commas",
    "state": "running or paused",
}
"""The options of a job that are text, besides those that name it and its handler."""


def add_to(top: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands `job`, `run`, `flow`, `service`, `handlers`, `audit` and `token`."""
    add_job(group(top, "job", "add, list, change and remove jobs"))
    add_run(group(top, "run", "look at runs, try them again, cancel them"))
    flow = group(top, "flow", "look at how far a flow has come")
    named(
        command(flow, "show", "tell the tasks of a start of a flow, and which still wait", calls.flow_show), "flow_ids"
    )
    service = group(top, "service", "look at the whole service, pause and resume it")
    command(service, "show", "tell whether it is running or paused", calls.service_show)
    add_words(command(service, "pause", "pause every replica", calls.service_pause))
    command(service, "resume", "set every replica running again", calls.service_resume)
    command(top, "handlers", "list what jobs can be made of", calls.handlers)
    add_audit(command(top, "audit", "tell who has changed what, the newest first", calls.audit))
    add_token(group(top, "token", "make, list and revoke the tokens that entitle to use the API"))


def add_job(job: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    one = command(job, "add", "add a job", calls.job_add)
    one.add_argument("handler", metavar="HANDLER", help="name of the handler class")
    one.add_argument("--job-id", metavar="ID", help="what identifies the job; omitted: generated")
    add_options(one)

    one = command(job, "list", "list jobs", calls.job_list)
    one.add_argument("--job-type", choices=("all", "failed", "user"), help="failed: failure entries, user: all others")
    one.add_argument("--handler", metavar="HANDLER", help="only those of this handler")
    one.add_argument("--tag", metavar="TAG", help="only those with this tag")
    one.add_argument("--text", metavar="TEXT", help="only those with this in id, handler or keyword arguments")
    add_paging(one)

    named(command(job, "show", "show jobs", calls.job_show))
    one = command(job, "pause", "pause jobs; their queued runs are cancelled", calls.job_pause)
    named(one)
    add_words(one)
    named(command(job, "resume", "set paused jobs running again", calls.job_resume))
    named(command(job, "run", "run jobs now, once, outside their schedule", calls.job_run))
    named(command(job, "delete", "remove jobs; their queued runs are cancelled", calls.job_delete))

    one = command(job, "edit", "change some options of a job", calls.job_edit)
    one.add_argument("job_id", metavar="ID")
    one.add_argument("--handler", metavar="HANDLER", help="name of the handler class")
    add_options(one)
    one.add_argument("--unset", metavar="OPTION", nargs="+", default=[], help="options to set to their defaults")

    one = command(job, "upcoming", "tell the next fire times of a job", calls.job_upcoming)
    one.add_argument("job_id", metavar="ID")
    one.add_argument("--count", metavar="N", help="how many at most; omitted: 10")

    one = command(job, "explain", "tell why a job did or did not run at a time, or whether it will", calls.job_explain)
    one.add_argument("job_id", metavar="ID")
    one.add_argument("--at", metavar="TIME", help="the time to explain; omitted: now")


def add_run(run: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    one = command(run, "list", "list runs, the newest first", calls.run_list)
    one.add_argument("--job", metavar="ID", help="only those of this job")
    add_paging(one)
    named(command(run, "show", "show runs", calls.run_show), "run_ids")
    one = command(run, "retry", "try runs again that have failed, were cancelled or missed", calls.run_retry)
    named(one, "run_ids")
    one.add_argument("--kwargs", type=json_object, metavar="JSON", help="other keyword arguments: an object")
    named(command(run, "cancel", "cancel runs that are queued or executing", calls.run_cancel), "run_ids")


def add_audit(one: argparse.ArgumentParser) -> None:
    one.add_argument("--job", dest="job_id", metavar="ID", help="only what was done to this job")
    one.add_argument("--who", metavar="WHO", help="only what this author has done: 'token deploy', 'command line' …")
    one.add_argument("--action", metavar="ACTION", help="only this: 'job changed', 'service paused' …")
    add_pages(one)


def add_token(token: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    one = command(token, "create", "make a token; its secret is shown once", calls.token_create)
    one.add_argument("name", metavar="NAME", help="what people call it; it stands in the audit log")
    one.add_argument("--scope", required=True, metavar="SCOPE", help="what it entitles to: read, write or admin")
    one.add_argument("--expires", metavar="TEXT", help="how long it is good for ('90 days'), or until when")
    command(token, "list", "list tokens, without their secrets", calls.token_list)
    named(command(token, "revoke", "revoke tokens for good", calls.token_revoke), "names")


def add_options(one: argparse.ArgumentParser) -> None:
    one.add_argument("--kwargs", type=json_object, metavar="JSON", help="keyword arguments of the handler: an object")
    for name, meaning in OPTIONS.items():
        one.add_argument(f"--{name.replace('_', '-')}", metavar="TEXT", help=meaning)
    one.add_argument("--dry-run", action="store_true", help="only tell what would change, and the next fire times")


def add_paging(one: argparse.ArgumentParser) -> None:
    one.add_argument("--state", metavar="STATE", help="only those in this state")
    add_pages(one)


def add_pages(one: argparse.ArgumentParser) -> None:
    one.add_argument("--limit", metavar="N", help="how many at most; omitted: 100")
    one.add_argument("--after", metavar="CURSOR", help="go on where a list ended")


def add_words(one: argparse.ArgumentParser) -> None:
    one.add_argument("--reason", metavar="TEXT", help="why it is paused")
    one.add_argument("--until", metavar="TIME", help="when it is set running again by itself; omitted: never")


def named(one: argparse.ArgumentParser, what: str = "job_ids") -> None:
    one.add_argument(what, metavar="NAME" if what == "names" else "ID", nargs="+")


def json_object(text: str) -> dict[str, Any]:
    from bayesian_jobs.api.media import parse_strictly

    try:
        value = parse_strictly(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return value


def group(
    parsers: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str
) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    one = subparser(parsers, name, summary)
    return one.add_subparsers(title="commands", metavar="COMMAND", required=True)


def subparser(
    parsers: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str
) -> argparse.ArgumentParser:
    """Of the command `name`; the summary, a phrase, is also its description."""
    return parsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")


def command(
    parsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    to_calls: Callable[[argparse.Namespace], Sequence[Call]],
) -> argparse.ArgumentParser:
    one = subparser(parsers, name, summary)
    one.add_argument("--api", metavar="URL", help="ask the API there (http://localhost:34000); omitted: the database")
    one.add_argument("--json", action="store_true", help="as JSON")
    one.set_defaults(verb=carry_out, to_calls=to_calls)
    return one


def carry_out(arguments: argparse.Namespace, settings: "Settings") -> int:
    from bayesian_jobs.manage.carry_out import carry_out

    refuse_what_no_request_can_say(arguments)
    return carry_out(settings, arguments.to_calls(arguments), api=arguments.api, as_json=arguments.json)


def refuse_what_no_request_can_say(arguments: argparse.Namespace) -> None:
    """Bytes of a command line that are no UTF-8, for one: lone surrogates to Python. Raises RequestRefused."""
    for name, value in vars(arguments).items():
        reason = why_not_storable(value) if isinstance(value, str | list | dict) else None
        if reason:
            raise RequestRefused(f"{name}: {shortened(value)}: {reason}")
