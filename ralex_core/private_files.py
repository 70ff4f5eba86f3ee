"""Who may read what the monitor writes: its owner, and nobody else. Directories are 0700 and files 0600, whatever the
umask. Every module that makes a file or directory of the monitor makes it here.

Nothing but the standard library is imported: the SDK uses this too.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import IO, Any

logger = logging.getLogger(__name__)

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
OTHERS = 0o077
OWN_NAMES = ("telemetry.duckdb", "state.sqlite", "config.toml", "spool", "server.json")
"""A directory that holds none of these is not taken for a data directory, and left as it is."""


def make_everything_private() -> None:
    """For a process that is the monitor's own: what libraries create (database logs, spill files) is private too."""
    os.umask(OTHERS)


def private_directory(path: Path) -> Path:
    """Create the directory and what is missing above it, for its owner only. One that exists is left as it is.

    Raises:
        OSError: it cannot be created.
    """
    missing = [path, *path.parents]
    missing = missing[: next((number for number, one in enumerate(missing) if one.exists()), len(missing))]
    for one in reversed(missing):
        one.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    if not path.is_dir():
        raise NotADirectoryError(20, "Not a directory", str(path))
    return path


def private_opener(path: str, flags: int) -> int:
    """`open(..., opener=private_opener)`: a file that is created is private from its first byte."""
    return os.open(path, flags, FILE_MODE)


def open_private(path: Path, mode: str, **options: Any) -> IO[Any]:
    """`path.open(mode)`, private if the file is created."""
    return open(path, mode, opener=private_opener, **options)


def tighten(home: Path) -> int:
    """Take the rights of others from a data directory of ours and all below it; returns how many were changed.

    Symbolic links are not followed, and what belongs to another user is left. A directory that many share (sticky, or
    the user's own home) is never touched.
    """
    try:
        status = home.stat()
    except OSError:
        return 0
    shared = status.st_mode & stat.S_ISVTX or home.resolve() in (Path.home().resolve(), Path("/"))
    if os.name == "nt" or shared or not any((home / name).exists() for name in OWN_NAMES):
        return 0
    changed = sum(
        _close_to_others(Path(folder) / name) for folder, folders, files in os.walk(home) for name in (*folders, *files)
    ) + _close_to_others(home)
    if changed:
        logger.warning("%s could be read by others; it is for its owner only now (%d changed).", home, changed)
    return changed


def _close_to_others(path: Path) -> bool:
    try:
        status = path.lstat()
        regular = stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)
        if not regular or status.st_uid != os.getuid() or not status.st_mode & OTHERS:
            return False
        path.chmod(stat.S_IMODE(status.st_mode) & ~OTHERS, follow_symlinks=True)
    except OSError:
        return False  # gone meanwhile, or a file system without rights
    return True
