"""A bell whose descriptors belong to somebody else."""

import os
import subprocess
import sys

import pytest

STOLEN = """
import os, sys
from bayesian_jobs.presence.bell import Bell

bell = Bell()
mine, other = os.pipe()
os.write(other, b"for somebody else")
os.dup2(mine, bell._ear)
os.dup2(other, bell._clapper)
os.write(1, b"taken")
{use}
os.write(1, b", and used")
"""


@pytest.mark.parametrize("use", ["bell.ring()", "bell.sleep(0.1)", "bell._hush()"])
def test_a_process_ends_before_it_rings_or_listens_where_others_speak(use):
    done = subprocess.run([sys.executable, "-c", STOLEN.format(use=use)], capture_output=True, timeout=30)
    assert (done.returncode, done.stdout) == (os.EX_SOFTWARE, b"taken"), done.stderr


def test_a_process_ends_whose_bell_is_closed():
    closed = "os.close(bell._ear); bell.sleep(0.1)"
    done = subprocess.run([sys.executable, "-c", STOLEN.format(use=closed)], capture_output=True, timeout=30)
    assert done.returncode == os.EX_SOFTWARE, done.stderr
