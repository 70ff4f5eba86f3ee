"""Lock files that tell whether their owner still lives: the system lets go of them when it dies, however it dies."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def try_lock(descriptor: int, path: Path) -> bool:
    """Lock the open file without waiting, and make sure that it is still the one the path names.

    The lock lasts until the last descriptor of it closes.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        named, opened = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (named.st_ino, named.st_dev) == (opened.st_ino, opened.st_dev)


def remove_lock(path: Path, descriptor: int) -> None:
    """Unlink before letting go, so that nobody locks a name that is about to vanish."""
    if sys.platform == "win32":  # an open file cannot be unlinked there
        os.close(descriptor)
        with contextlib.suppress(OSError):
            path.unlink()
    else:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)
