"""The command `doctor`: tells what is wrong with a deployment, and what to do about it."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bayesian_jobs.manage.commands import subparser
from bayesian_jobs.manage.tables import printable

if TYPE_CHECKING:
    from bayesian_jobs.lifecycle.diagnosis.finding import Finding
    from bayesian_jobs.settings import Settings


def add_to(top: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    one = subparser(top, "doctor", "tell what is wrong with the deployment, and what to do; changes nothing")
    one.add_argument("--json", action="store_true", help="as JSON")
    one.set_defaults(verb=doctor)


def doctor(arguments: argparse.Namespace, settings: "Settings") -> int:
    """1: something is wrong."""
    found = examine(settings)
    sys.stdout.write(as_json(found) if arguments.json else as_text(found))
    return 1 if is_wrong(found) else 0


def examine(settings: "Settings") -> "list[Finding]":
    from bayesian_jobs.bootstrap import database
    from bayesian_jobs.errors import EmbeddedPostgresError
    from bayesian_jobs.lifecycle import doctor
    from bayesian_jobs.store.engine import make_engine

    try:
        with database(settings) as (settings, _):
            assert settings.database_url is not None
            engine = make_engine(settings.database_url, "doctor", pool_size=1, pooled=settings.database_pooled)
            try:
                return doctor.examine(engine, settings)
            finally:
                engine.dispose()
    except EmbeddedPostgresError as error:
        return [doctor.unexaminable(error)]


def is_wrong(found: "Sequence[Finding]") -> bool:
    return any(finding.severity == "wrong" for finding in found)


def as_json(found: "Sequence[Finding]") -> str:
    document = {"healthy": not is_wrong(found), "findings": [finding._asdict() for finding in found]}
    return json.dumps(document, indent=2) + "\n"


def as_text(found: "Sequence[Finding]") -> str:
    lines = [f"{each.severity:<7} {printable(each.what)} {printable(each.remedy)}\n" for each in found]
    return "".join(lines) or "nothing is wrong\n"
