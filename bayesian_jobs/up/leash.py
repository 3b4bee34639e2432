"""Becomes another command that ends when the process which started it is gone, even by SIGKILL.

    python -m bayesian_jobs.up.leash PARENT_PID COMMAND…

Linux sends it a SIGTERM then (PR_SET_PDEATHSIG survives the exec). Other systems have no such leash: there,
the children of a supervisor that was killed with SIGKILL have to be stopped by hand.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent, *command = arguments
    if sys.platform == "linux":
        end_with(int(parent))
    os.execvp(command[0], command)  # noqa: S606 - a command of our own, no shell wanted


def end_with(parent: int) -> None:
    """Ask the kernel for SIGTERM on the parent's death, and leave at once when it died before we asked."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")


if __name__ == "__main__":
    main(sys.argv[1:])
