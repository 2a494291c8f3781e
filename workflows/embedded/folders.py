"""The folders of the embedded servers, for data and for sockets."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from celeriac.workflows.errors import ConfigurationError

# A socket's address holds 104 bytes on macOS and 108 on Linux, with the longest of our
# names and a final zero.
_LONGEST_FOLDER = 104 - len("/.s.PGSQL.5432.lock") - 1

_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")  # left as is by every reader of a URL


def prepare(data_dir: Path) -> Path:
    """Create the folder of the embedded servers and return its absolute path.

    The folder is private, and hidden from git.

    Raises:
        ConfigurationError: the folder cannot be created or written to.
    """
    folder = data_dir.expanduser().resolve()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
    except OSError as error:
        raise ConfigurationError(
            detail=f"Cannot use {folder} for the embedded servers: {error.strerror}. "
            "Choose another folder with CELERIAC_DATA_DIR."
        ) from None
    return folder


def socket_folder(folder: Path) -> Path:
    """Return the path for the sockets of the servers in ``folder``, always the same.

    The path lies inside ``folder`` unless it is too long or too odd for a socket's
    address; then it lies in the machine's temporary folder.
    """
    inside = folder / "run"
    if len(os.fsencode(inside / "postgres")) <= _LONGEST_FOLDER and _PLAIN.fullmatch(str(inside)):
        return inside
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"celeriac-{os.geteuid()}-{digest}"


def make_socket_folder(folder: Path) -> Path:
    """Create the folder for the sockets, closed to other users, and return its path.

    Raises:
        ConfigurationError: another user has taken the name.
    """
    sockets = socket_folder(folder)
    sockets.mkdir(mode=0o700, exist_ok=True)
    if sockets.is_symlink() or sockets.stat().st_uid not in {os.geteuid(), folder.stat().st_uid}:
        raise ConfigurationError(
            detail=f"{sockets} belongs to another user, and the embedded servers need it for their sockets. "
            "Choose a shorter folder with CELERIAC_DATA_DIR."
        )
    return sockets


def remove_socket_folder(folder: Path) -> None:
    """Remove the sockets, so that none stays in the machine's temporary folder."""
    shutil.rmtree(socket_folder(folder), ignore_errors=True)
