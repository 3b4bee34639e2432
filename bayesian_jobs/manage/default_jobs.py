"""The command `defaults`: check the files of the default jobs, compare them with the database, register them."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesian_jobs.manage.commands import group, subparser

if TYPE_CHECKING:
    from bayesian_jobs.settings import Settings

Verb = Callable[[argparse.Namespace, "Settings"], int]


def add_to(top: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    defaults = group(top, "defaults", "check the default jobs, compare them with the database, register them")
    add(defaults, "check", check, "read the files only; without a database, for CI")
    add(defaults, "diff", diff, "tell what registering would change, and what was changed at run time")
    one = add(defaults, "register", register, "store what the files define")
    one.add_argument("--prune", action="store_true", help="remove the jobs that no file defines any more")


def add(
    parsers: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, verb: Verb, summary: str
) -> argparse.ArgumentParser:
    one = subparser(parsers, name, summary)
    one.add_argument("directory", metavar="DIR", nargs="?", type=Path, help="omitted: JOBS_DEFAULT_JOBS_DIR")
    one.add_argument("--json", action="store_true", help="as JSON")
    one.set_defaults(verb=lambda arguments, settings: verb(arguments, of_directory(settings, arguments.directory)))
    return one


def of_directory(settings: "Settings", directory: Path | None) -> "Settings":
    return settings if directory is None else replace(settings, default_jobs_dir=directory)


def check(arguments: argparse.Namespace, settings: "Settings") -> int:
    """1: a file cannot be used."""
    from bayesian_jobs.manage import default_tables as tables
    from bayesian_jobs.up.prepare import check_defaults

    found = check_defaults(settings)
    show(arguments, settings, found, tables.check_as_json, tables.check_as_text)
    return 1 if found.flaws else 0


def diff(arguments: argparse.Namespace, settings: "Settings") -> int:
    """1: there is a difference."""
    from bayesian_jobs.handlers.registry import discover
    from bayesian_jobs.lifecycle import defaults_diff
    from bayesian_jobs.manage import default_tables as tables
    from bayesian_jobs.up.prepare import current_database, usable_database

    with usable_database(settings) as settings, current_database(settings, "defaults") as engine:
        found = defaults_diff.diff(engine, discover(settings.handlers, settings.queues), settings.default_jobs_dir)
    show(arguments, settings, found, tables.diff_as_json, tables.diff_as_text)
    return 1 if found else 0


def register(arguments: argparse.Namespace, settings: "Settings") -> int:
    """1: a file cannot be used, or orphaned jobs were not removed although that was asked for."""
    from bayesian_jobs.manage import default_tables as tables
    from bayesian_jobs.up.prepare import register_defaults, usable_database

    with usable_database(settings) as settings:
        report = register_defaults(settings, prune=arguments.prune)
    show(arguments, settings, report, tables.report_as_json, tables.report_as_text)
    if report.refusal:
        sys.stderr.write(f"bayesian-jobs: No job was removed: {report.refusal}\n")
    return 1 if report.rejected or report.refusal else 0


def show(
    arguments: argparse.Namespace,
    settings: "Settings",
    result: Any,
    as_json: Callable[[Any], dict[str, Any]],
    as_text: Callable[[Any], str],
) -> None:
    if arguments.json:
        sys.stdout.write(json.dumps(as_json(result), indent=2) + "\n")
    else:
        sys.stdout.write(as_text(result) or f"no default jobs in {settings.default_jobs_dir}\n")
