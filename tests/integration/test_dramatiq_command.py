"""Dramatiq's own command line starts our worker, and stops it, as its users know it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from waiting import wait_for

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "dramatiq", "bayesian_jobs.worker:handlers", "-p", "1", "-t", "1"]


def test_the_command_line_of_dramatiq_runs_a_worker(service, database_url):
    service.add("job", "PruneHistory")
    service.dispatch()
    environment = {**os.environ, "DATABASE_URL": database_url}
    with subprocess.Popen(COMMAND, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as worker:
        try:
            wait_for(lambda: service.states() == ["succeeded"] or worker.poll() is not None, "the run")
        finally:
            worker.send_signal(signal.SIGTERM)
            log = worker.communicate(timeout=60)[1]
    assert (service.states(), worker.returncode) == (["succeeded"], 0), log
