"""Becomes a command that ends when its parent does, however that ends: ``ends_with_parent.py PARENT COMMAND...``.

A program of its own, since nothing may be done between fork and exec of a process that has threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
"""Of include/uapi/linux/prctl.h."""


def main(arguments: list[str]) -> int:
    """Does not return, but for a parent that is gone already."""
    parent, *command = arguments
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):
        return 1
    # Python ignores it, and a command would go on doing so
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(command[0], command)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
