"""Whom Postgres runs as. It refuses to run as root, and containers often run as root."""

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
    """Return whom to run as on ``folder``; None means ourselves.

    Root becomes the owner of the folder, so that what a user began can go on under sudo, and ``nobody`` on a folder
    that is root's own. No account is created.
    """
    if os.geteuid() != 0:
        return None
    owner = folder.stat()
    if owner.st_uid != 0:
        return Account(uid=owner.st_uid, gid=owner.st_gid)
    nobody = pwd.getpwnam("nobody")
    return Account(uid=nobody.pw_uid, gid=nobody.pw_gid)


def make_reachable(path: Path) -> None:
    """Let any account pass through the folders above ``path``; listing and reading them stays as it was.

    Only for root's use: /root, where a project may well lie, is closed to the account that Postgres runs as.
    """
    for folder in path.resolve().parents:
        _add_mode(folder, stat.S_IXOTH)


def make_readable(tree: Path) -> None:
    """Let any account read and run what is under ``tree``: pip as root under a strict umask closes it to others."""
    if tree.stat().st_mode & stat.S_IXOTH:
        return
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            _add_mode(path, stat.S_IROTH | (stat.S_IXOTH if path.stat().st_mode & stat.S_IXUSR else 0))


def _add_mode(path: Path, bits: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & bits != bits:
        path.chmod(mode | bits)
