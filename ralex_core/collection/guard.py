"""Keeps the SDK's own mistakes out of the host program: counted and logged, and raised under pytest only.

What is wrong outside of it, with its settings or its disk, is said on stderr: once.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading

LOGGER_NAME = "ralex_core.sdk"
MAX_LINE = 1000
"""Characters."""


class Guard:
    """Counts what went wrong inside the SDK and says it once per place, so that a hot loop cannot flood a log."""

    def __init__(self) -> None:
        self.failures = 0
        self.raise_errors: bool | None = None
        """True raises into the caller, False never does; None raises under pytest only."""
        self._said: set[str] = set()
        # Re-entrant: a destructor run by the garbage collector may record an operation while we hold it.
        self._lock = threading.RLock()

    def swallow(self, place: str) -> None:
        """Deal with the exception being handled; call it only inside an `except` block."""
        raising = self.raise_errors
        if raising or (raising is None and "PYTEST_CURRENT_TEST" in os.environ):
            raise
        self.note(place)

    def note(self, place: str) -> None:
        """Count the exception being handled and log it the first time, without ever raising: for our own threads."""
        try:
            with self._lock:
                self.failures += 1
            self.warn(place, "The monitor's SDK failed in %s; the program is not affected.", place, trace=True)
        except Exception:  # noqa: S110 - logging itself failed: nothing is left to do that cannot hurt the host
            pass

    def warn(self, key: str, message: str, *arguments: object, trace: bool = False) -> None:
        """Log a warning once per key."""
        with self._lock:
            if key in self._said:
                return
            self._said.add(key)
        import logging  # not at import time: a program that never has trouble never needs it

        logger = logging.getLogger(LOGGER_NAME)
        if not logger.handlers:
            # A program that set up no logging gets none from us on its terminal; `stats()` still tells.
            logger.addHandler(logging.NullHandler())
        logger.warning(message, *arguments, exc_info=trace)

    def say(self, key: str, message: str) -> None:
        """Write one line to stderr, once per key and process: what the program's operator has to put right."""
        with self._lock:
            if key in self._said:
                return
            self._said.add(key)
        line = "".join(c if c.isprintable() else "?" for c in f"ralex-monitor: {message}")
        with contextlib.suppress(Exception):  # a host may have closed it, or put anything in its place
            sys.stderr.write(line[:MAX_LINE] + "\n")
            sys.stderr.flush()

    def after_fork(self) -> None:
        """A thread of the parent may have held the lock."""
        self._lock = threading.RLock()


guard = Guard()
