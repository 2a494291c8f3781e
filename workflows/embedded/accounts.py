"""The account of Postgres. Postgres refuses root, and containers often run as root."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A user of this machine, by number."""

    uid: int
    gid: int


def account_for(folder: Path) -> Account | None:
    """Return the account to run as on ``folder``; None means our own.

    As root, run as the owner of the folder, so that data of a user stay usable under
    sudo; or as ``nobody`` if root owns the folder. No account is created.
    """
    if os.geteuid() != 0:
        return None
    owner = folder.stat()
    if owner.st_uid != 0:
        return Account(uid=owner.st_uid, gid=owner.st_gid)
    nobody = pwd.getpwnam("nobody")
    return Account(uid=nobody.pw_uid, gid=nobody.pw_gid)


def make_reachable(path: Path) -> None:
    """Let any account pass through the folders above ``path``.

    The rights to list and read these folders stay the same. Only for root's use: /root,
    where a project may lie, is closed to the account that Postgres runs as.
    """
    for folder in path.resolve().parents:
        _add_mode(folder, stat.S_IXOTH)


def make_readable(tree: Path) -> None:
    """Let any account read and run the files under ``tree``.

    Under a strict umask, pip as root closes these files to other accounts.
    """
    if tree.stat().st_mode & stat.S_IXOTH:
        return
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            _add_mode(path, stat.S_IROTH | (stat.S_IXOTH if path.stat().st_mode & stat.S_IXUSR else 0))


def _add_mode(path: Path, bits: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & bits != bits:
        path.chmod(mode | bits)
