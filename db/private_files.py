"""Directories and files that belong to their owner alone: the database of development, its secret, its mail, and the
files that are attached to tickets.

What an older version, or somebody's umask, has left open to others is closed. But only what is ours: a directory that
belongs to another user, or has other files than those that we put there, is reported and stays as it is.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

FILE_MODE: Final = 0o600
SECRET: Final = "development-secret"
MAIL: Final = "mail"
DATABASE: Final = "postgres"
FILES: Final = "files"

_DIRECTORY_MODE: Final = 0o700
# If root starts the server, the server's user, who is another one, must be able to pass through.
_DIRECTORY_MODE_OF_ROOT: Final = 0o710


def make_data_directory(directory: Path) -> None:
    """Makes the data directory unless it exists. Raises `OSError`."""
    widest = _DIRECTORY_MODE if os.geteuid() else _DIRECTORY_MODE_OF_ROOT
    ours = (f"{DATABASE}.", f"{DATABASE}-", SECRET)
    _make(directory, widest, lambda name: name in (DATABASE, MAIL, FILES) or name.startswith(ours))
    for path in directory.iterdir():
        if path.name == DATABASE and (path / "PG_VERSION").exists():
            _narrow(path, _DIRECTORY_MODE, of_anybody=not os.geteuid())  # root's server runs as another user
        elif path.name.startswith((f"{DATABASE}.", SECRET)) and path.is_file():
            _narrow(path, FILE_MODE)


def make_mail_folder(directory: Path) -> None:
    """Makes the folder for mail unless it exists. Raises `OSError`."""
    _make(directory, _DIRECTORY_MODE, _is_mail)
    for path in directory.iterdir():
        if _is_mail(path.name):
            _narrow(path, FILE_MODE)


def make_files_folder(directory: Path) -> None:
    """Makes the folder for attached files unless it exists. Raises `OSError`."""
    _make(directory, _DIRECTORY_MODE, lambda name: name in ("objects", "uploads"))


def _is_mail(name: str) -> bool:
    return name.endswith(".eml") or (name.startswith(".") and ".eml." in name)


def _make(directory: Path, widest: int, is_ours: Callable[[str], bool]) -> None:
    directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    if all(is_ours(path.name) for path in directory.iterdir()):
        _narrow(directory, widest)
    elif directory.stat().st_mode & 0o077:
        logger.warning(
            "other users can look into %s, which has files of other programs: use a directory of its own, or close it"
            " with `chmod 700`",
            directory,
        )


def _narrow(path: Path, widest: int, *, of_anybody: bool = False) -> None:
    """Takes all rights beyond `widest` from a file or directory, but not from what a symbolic link leads to."""
    with suppress(FileNotFoundError):  # another process has finished with it
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode) or not mode & 0o777 & ~widest:
            return
        if of_anybody or status.st_uid == os.geteuid():
            path.chmod(mode & widest)
            logger.warning("other users could use %s; now only its owner can", path)
        else:
            logger.warning("other users can use %s, and only the one it belongs to can change that", path)
