"""A leashed command ends with the process that started it."""

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has PR_SET_PDEATHSIG")

PARENT = """
import subprocess, sys
from bayesian_jobs.up.child import leashed
child = subprocess.Popen(leashed((sys.executable, "-c", sys.argv[1])), start_new_session=True)
child.wait()
"""
CHILD = """
import os, signal
print(os.getpid(), flush=True)
signal.sigwait([signal.SIGUSR1])
"""


def test_a_leashed_command_ends_when_its_starter_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) > 0
        parent.kill()
        # the child holds the pipe's other end: its end is the end of the output
        assert parent.stdout.read() == ""


def test_a_command_whose_starter_is_gone_already_does_not_start():
    leash = [sys.executable, "-m", "bayesian_jobs.up.leash", "1", sys.executable, "-c", "print('started')"]
    done = subprocess.run(leash, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "the supervisor is gone" in done.stderr


def test_the_leash_hands_over_arguments_and_signals_unchanged():
    script = "import signal, sys; print(sys.argv[1:], signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    leash = [
        sys.executable,
        "-m",
        "bayesian_jobs.up.leash",
        str(os.getpid()),
        sys.executable,
        "-c",
        script,
        "a b",
        "",
    ]
    done = subprocess.run(leash, capture_output=True, text=True, check=True)
    assert done.stdout == "['a b', ''] True\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
