"""The API as a process of its own: becomes gunicorn, or waits for it while it lends it a database."""

import os
import signal
import subprocess
from collections.abc import Mapping

from bayesian_jobs.settings import Settings
from bayesian_jobs.up.child import leashed
from bayesian_jobs.up.commands import gunicorn
from bayesian_jobs.up.prepare import usable_database
from bayesian_jobs.up.readiness import check_port


def run_api(settings: Settings, environ: Mapping[str, str]) -> int:
    """Does not return when the database is a configured one.

    Raises SettingsError, PortTaken, AddressUnusable, EmbeddedPostgresError.
    """
    settings.check_bind()
    check_port(settings)
    command = gunicorn()
    if settings.database_url is not None:
        os.execve(command[0], command, environ)  # noqa: S606 - a command of our own, no shell wanted
    with usable_database(settings) as found:
        return run_and_wait(command, {**environ, "DATABASE_URL": str(found.database_url)})


def run_and_wait(command: tuple[str, ...], environ: Mapping[str, str]) -> int:
    """Runs the command and hands SIGTERM and Ctrl-C on to it, so that it ends before its database."""
    process = subprocess.Popen(leashed(command), env=environ, start_new_session=True)  # noqa: S603 - a command of our own
    before = {
        number: signal.signal(number, lambda number, frame: process.send_signal(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
