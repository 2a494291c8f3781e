"""Run a server that must not outlive the process that asked for the server.

A script, started without imports from this package, which becomes the server:

    launcher.py PARENT_PID DEATH_SIGNAL UID GID PROGRAM [ARGUMENT…]

UID -1 keeps the account.

The alternative, a function that ``subprocess`` calls after the fork, may deadlock if
the parent has threads, as an application that embeds servers may.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Switch account, ask for a signal at the parent's death, and become the server."""
    parent, death_signal, uid, gid = map(int, sys.argv[1:5])
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # Elsewhere a server outlives a parent that crashed; the next start ends the server.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # the parent died before
            sys.exit(1)
    os.execv(sys.argv[5], sys.argv[5:])  # noqa: S606 - the point of this script


if __name__ == "__main__":
    main()
