"""`bayesian-jobs`: one command a verb. What a verb needs is imported when it runs: `--help` is instant."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bayesian_jobs import __version__
from bayesian_jobs.errors import BayesianJobsError
from bayesian_jobs.manage import commands, default_jobs, doctor

if TYPE_CHECKING:
    from bayesian_jobs.settings import Settings

Verb = Callable[[argparse.Namespace, "Settings"], int]


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 could not be done (one sentence on stderr says why), 2 usage error. Main thread only."""
    arguments = parser().parse_args(argv)
    try:
        with ending_at_sigterm():
            return run(arguments)
    except BayesianJobsError as error:
        sys.stderr.write(f"bayesian-jobs: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


@contextmanager
def ending_at_sigterm() -> Iterator[None]:
    """Inside, the first SIGTERM raises SystemExit(143), so that an embedded database that was started is stopped;
    the next ones do not disturb that. Verbs that drain install handlers of their own."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, lambda *_: None)
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(arguments: argparse.Namespace) -> int:
    from bayesian_jobs.settings import load

    make_user_code_importable()
    verb: Verb = arguments.verb
    return verb(arguments, load(os.environ))


def make_user_code_importable() -> None:
    """Handlers and actors that a setting names may lie in the current directory, however we were started."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="bayesian-jobs",
        description="Dynamic, durable periodic and one-off jobs, kept in PostgreSQL. "
        "Settings come from environment variables: see `bayesian-jobs settings`.",
    )
    top.add_argument("--version", action="version", version=f"bayesian-jobs {__version__}")
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    add(verbs, "up", up, "run everything in this terminal: database, API, scheduler and workers")
    add(verbs, "api", api, "run the REST API (gunicorn)")
    add(verbs, "scheduler", scheduler, "run one scheduler; any number may run at once")
    add_worker(verbs)
    migrate_parser = add(verbs, "migrate", migrate, "bring the database's schema up to date")
    migrate_parser.add_argument("--to", metavar="REVISION", default="head", help="upgrade to this revision only")
    settings_parser = add(verbs, "settings", settings_, "list every setting: its value now, its default, its meaning")
    settings_parser.add_argument("--json", action="store_true", help="as JSON")
    doctor.add_to(verbs)
    default_jobs.add_to(verbs)
    commands.add_to(verbs)
    return top


def add(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, verb: Verb, summary: str
) -> argparse.ArgumentParser:
    one = commands.subparser(verbs, name, summary)
    one.set_defaults(verb=verb)
    return one


def add_worker(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    one = add(verbs, "worker", worker, "run one worker process; any number may run at once")
    one.add_argument("--threads", type=at_least_one, metavar="N", help="runs executed at once (JOBS_WORKER_THREADS)")
    one.add_argument("--queues", nargs="+", metavar="QUEUE", help="take runs from these queues only")
    one.add_argument(
        "--actors",
        nargs="+",
        metavar="MODULE",
        default=[],
        help="run the Dramatiq actors of these modules or files instead of the handlers",
    )


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def up(arguments: argparse.Namespace, settings: "Settings") -> int:
    from bayesian_jobs.up.run import run_up

    return run_up(settings, os.environ)


def api(arguments: argparse.Namespace, settings: "Settings") -> int:
    from bayesian_jobs.up.alone import run_api

    return run_api(settings, os.environ)


def scheduler(arguments: argparse.Namespace, settings: "Settings") -> int:
    from bayesian_jobs import scheduler
    from bayesian_jobs.up.prepare import usable_database

    with usable_database(settings) as settings:
        return scheduler.run(settings)


def worker(arguments: argparse.Namespace, settings: "Settings") -> int:
    from bayesian_jobs import worker
    from bayesian_jobs.up.prepare import usable_database

    with usable_database(settings) as settings:
        return worker.run(
            settings,
            threads=arguments.threads or settings.worker_threads,
            queues=arguments.queues,
            actors=arguments.actors,
        )


def migrate(arguments: argparse.Namespace, settings: "Settings") -> int:
    from bayesian_jobs.bootstrap import database
    from bayesian_jobs.up import prepare

    with database(settings) as (settings, _):
        prepare.migrate(settings, arguments.to)
    return 0


def settings_(arguments: argparse.Namespace, settings: "Settings") -> int:
    from bayesian_jobs.up import listing

    sys.stdout.write(listing.as_json(settings) if arguments.json else listing.as_table(settings))
    return 0
