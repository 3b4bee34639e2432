"""The processes that make up the service, as command lines."""

import sys
from pathlib import Path

from bayesian_jobs.settings import Settings
from bayesian_jobs.up.child import Command


def service(settings: Settings) -> list[Command]:
    """Every process of `up`, in the order in which they are started and stopped."""
    commands = [
        Command("api", gunicorn()),
        Command("scheduler", verb("scheduler")),
        Command("worker", verb("worker")),
    ]
    if settings.actors:
        commands.append(Command("actors", verb("worker", "--actors", *settings.actors)))
    return commands


def verb(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "bayesian_jobs", *arguments)


def gunicorn() -> tuple[str, ...]:
    """The API's server; everything else about it stands in its configuration file."""
    return (sys.executable, "-m", "gunicorn", "-c", str(gunicorn_configuration()))


def gunicorn_configuration() -> Path:
    """`gunicorn.conf.py` as the installed package carries it, or of the checkout that it is imported from."""
    package = Path(__file__).parent.parent
    installed = package / "gunicorn.conf.py"
    return installed if installed.is_file() else package.parent / "gunicorn.conf.py"
