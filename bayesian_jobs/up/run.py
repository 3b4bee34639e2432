"""`bayesian-jobs up`: prepare, start, watch, stop."""

import time
from collections.abc import Mapping
from datetime import timedelta

from bayesian_jobs.bootstrap import database
from bayesian_jobs.domain.durations import format_duration
from bayesian_jobs.errors import BayesianJobsError
from bayesian_jobs.settings import Settings
from bayesian_jobs.up import commands
from bayesian_jobs.up.banner import banner
from bayesian_jobs.up.care import Care
from bayesian_jobs.up.console import Console, on_stdout, silence_stdout
from bayesian_jobs.up.prepare import migrate, register_defaults
from bayesian_jobs.up.readiness import check_port, is_ready
from bayesian_jobs.up.signals import Signals
from bayesian_jobs.up.supervisor import Supervisor

DRAIN = timedelta(seconds=5)  # of a worker, when nobody set another: who presses Ctrl-C waits for it
GRACE = timedelta(seconds=5)  # for what follows the drain: runs are handed back, connections closed


class StartFailed(BayesianJobsError):
    """A process ended before the service was ready; everything has been stopped again."""


def run_up(settings: Settings, environ: Mapping[str, str]) -> int:
    """Runs the whole service until SIGINT, SIGTERM or SIGHUP; 0 after a clean stop. Main thread only.

    Raises BayesianJobsError when it cannot be started; nothing is left running then.
    """
    settings.check_bind()
    check_port(settings)
    console = on_stdout(environ)
    try:
        with Signals() as signals:
            start_and_stop(settings, environ, console, signals)
    except KeyboardInterrupt:
        pass  # asked to stop during start-up, which is as good a time as any
    finally:
        if console.broken:
            silence_stdout()
    console.say("stopped")
    return 0


def start_and_stop(configured: Settings, environ: Mapping[str, str], console: Console, signals: Signals) -> None:
    """Starting and stopping the embedded server takes about a second and is never interrupted."""
    began = time.monotonic()
    console.say("starting")
    with database(configured) as (settings, server):
        with signals.interrupting():
            migrate(settings)
            report = register_defaults(settings)

        def greet(pids: Mapping[str, int]) -> None:
            dsn = server.dsn if server else None
            console.block(banner(configured, report, pids, dsn=dsn, seconds=time.monotonic() - began))

        drain = configured.drain if environ.get("JOBS_DRAIN") else DRAIN
        supervisor = Supervisor(
            commands.service(settings),
            {
                **environ,
                "JOBS_DRAIN": format_duration(drain),
                "DATABASE_URL": str(settings.database_url),
                "JOBS_DATA_DIR": str(settings.data_dir),
            },
            console,
            is_ready=lambda: is_ready(settings),
            on_ready=greet,
            kill_after=(drain + GRACE).total_seconds(),
        )
        supervise(supervisor, Care(server, console), console, signals)


def supervise(supervisor: Supervisor, care: Care, console: Console, signals: Signals) -> None:
    """Runs the processes until they are asked to stop. Raises StartFailed."""
    try:
        supervisor.start()
        watch(supervisor, care, console, signals)
    finally:
        supervisor.close()
    if supervisor.failure:
        raise StartFailed(f"The service was not started: {supervisor.failure}")


def watch(supervisor: Supervisor, care: Care, console: Console, signals: Signals) -> None:
    """Turn the supervisor until it is done: the first request to stop drains, the second kills."""
    supervisor.wake_on(signals.wake)
    obeyed = 0
    while not supervisor.done:
        supervisor.turn()
        signals.drain()
        care.look()
        asked = signals.stops + console.broken
        if asked > obeyed == 0:
            obeyed = 1
            console.say("stopping; once more kills at once")
            supervisor.stop()
        if asked > obeyed == 1:
            obeyed = 2
            console.say("killing what is left")
            supervisor.kill()
