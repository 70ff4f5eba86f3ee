"""What the threads that take data in are doing now, and how their last attempts went.

The threads write it, health and the end of the process read it. Nothing here waits for a thread that works, so it can
be read while one never returns.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Kind = Literal["decode", "commit", "task", "probe"]
"""decode: a request's body on a decoder; commit and task: on the thread that writes; probe: a look of health itself."""

REFUSED_LATELY_S = 60.0
MAX_REFUSALS = 1000
"""Refusals remembered one by one; when more come within a minute, the oldest are forgotten first."""


@dataclass(frozen=True, slots=True)
class Work:
    """Something a thread has begun and not ended. `since_s` is of the monotonic clock."""

    kind: Kind
    what: str
    since_s: float
    thread_id: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Operations that were not taken in the last minute, because the queue was full."""

    operations: int
    since_s: float
    """When the first of them was, by the monotonic clock."""


@dataclass(frozen=True, slots=True)
class CommitFailure:
    """Commits fail since `first_s`, the last one at `last_s` (monotonic seconds); none succeeded in between."""

    full: bool
    """The disk has no room."""
    first_s: float
    last_s: float


class Vitals:
    """One per process, shared by its threads. `monotonic` gives seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.now_s = monotonic
        self._lock = threading.Lock()
        self._works: dict[int, Work] = {}
        self._number = 0
        self._refusals: deque[tuple[float, int]] = deque(maxlen=MAX_REFUSALS)
        self._failure: CommitFailure | None = None

    @contextmanager
    def working(self, kind: Kind, what: str) -> Generator[None]:
        """This thread does `what` until the end of the block."""
        work = Work(kind, what, self.now_s(), threading.get_ident())
        with self._lock:
            self._number += 1
            number = self._number
            self._works[number] = work
        try:
            yield
        finally:
            with self._lock:
                del self._works[number]

    def works(self) -> list[Work]:
        """What is being done, the longest first."""
        with self._lock:
            return sorted(self._works.values(), key=lambda work: work.since_s)

    def refused(self, operations: int) -> None:
        """Operations were refused because the queue was full."""
        with self._lock:
            self._refusals.append((self.now_s(), operations))

    def refused_lately(self) -> Refused | None:
        """What was refused in the last minute; None when nothing was."""
        since = self.now_s() - REFUSED_LATELY_S
        with self._lock:
            lately = [(at, count) for at, count in self._refusals if at > since]
        return Refused(sum(count for _, count in lately), lately[0][0]) if lately else None

    def committed(self) -> None:
        """A commit succeeded."""
        self._failure = None

    def commit_failed(self, *, full: bool) -> None:
        """A commit failed; `full`: because the disk has no room."""
        now, before = self.now_s(), self._failure
        self._failure = CommitFailure(full, now if before is None else before.first_s, now)

    @property
    def commit_failure(self) -> CommitFailure | None:
        """None when the last commit succeeded, or there was none."""
        return self._failure
