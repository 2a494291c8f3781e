"""Run a server that must not outlive the process that asked for it.

Started as a script of its own, with no imports from this package: it becomes the server.

    launcher.py PARENT_PID DEATH_SIGNAL UID GID PROGRAM [ARGUMENT…]     UID -1: stay who you are

A function given to ``subprocess`` to run after the fork would be the other way to do this. It may deadlock when the
parent has threads, which an application that embeds servers well may have.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Take on the account, ask the kernel for a signal at the parent's death, and become the server."""
    parent, death_signal, uid, gid = map(int, sys.argv[1:5])
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":  # elsewhere a server outlives a parent that crashed, until the next start ends it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # it died before we asked
            sys.exit(1)
    os.execv(sys.argv[5], sys.argv[5:])  # noqa: S606 - the point of this script


if __name__ == "__main__":
    main()
