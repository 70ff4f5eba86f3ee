"""What waits for the thread that writes, and what is announced to it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from ralex_core.model.operation import Operation
from ralex_core.storage.telemetry import Amendment, ResourceRecord, WriteResult


@dataclass(slots=True)
class Submission:
    operations: Sequence[Operation]
    future: Future[WriteResult]
    at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Amend:
    amendments: Sequence[Amendment]
    future: Future[int]


@dataclass(slots=True)
class Inbox:
    """What waits for the thread, under one lock."""

    condition: threading.Condition = field(default_factory=threading.Condition)
    submissions: deque[Submission] = field(default_factory=deque[Submission])
    amends: deque[Amend] = field(default_factory=deque[Amend])
    tasks: deque[tuple[Callable[[], object], Future[object]]] = field(
        default_factory=deque[tuple[Callable[[], object], "Future[object]"]]
    )
    samples: list[ResourceRecord] = field(default_factory=list[ResourceRecord])
    waiting: int = 0
    expected: int = 0
    """Submissions that were announced and did not come yet."""
    oldest_at: float | None = None
    """When the first of the operations that are being committed came in; None while nothing is."""
    closed: bool = False


class Expected:
    """A submission that is on its way, until the end of the block. It may be left more than once, by any thread."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._open = True
        with inbox.condition:
            inbox.expected += 1

    def __enter__(self) -> Expected:
        return self

    def __exit__(self, *_: object) -> None:
        with self._inbox.condition:
            if self._open:
                self._open = False
                self._inbox.expected -= 1
                if not self._inbox.expected:
                    self._inbox.condition.notify()
