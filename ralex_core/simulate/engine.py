"""A small discrete-event engine: processes are generators that wait for time, for a free server, or for each other."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Generator
from typing import Union

Wait = Union[float, "Servers", "list[Process]"]
"""Milliseconds; one of a number of servers, to be released afterwards; or processes, all of which must end."""
Steps = Generator[Wait, None, None]


class Process:
    """A running generator. Ends once; who waits for it then goes on."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.ended = False
        self.waiting: list[Process] = []
        self.missing = 0


class Servers:
    """A number of equal servers with one queue, first come, first served: a lock, a pool, the cores of a machine."""

    def __init__(self, engine: Engine, count: int) -> None:
        self._engine = engine
        self.count = count
        self.busy = 0
        self.queue: deque[Process] = deque()
        self.busy_ms = 0.0
        """Server-milliseconds in use so far."""
        self._since = 0.0

    def measure(self) -> float:
        """Bring `busy_ms` up to now and return it."""
        self.busy_ms += self.busy * (self._engine.now - self._since)
        self._since = self._engine.now
        return self.busy_ms

    def take(self, process: Process) -> None:
        if self.busy < self.count:
            self.measure()
            self.busy += 1
            self._engine.resume(process, 0.0)
        else:
            self.queue.append(process)

    def release(self) -> None:
        if self.queue:
            self._engine.resume(self.queue.popleft(), 0.0)
        else:
            self.measure()
            self.busy -= 1


class Engine:
    """Time in milliseconds from 0; what happens at the same moment happens in the order it was asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self._number = 0
        self._events: list[tuple[float, int, Process]] = []

    def spawn(self, steps: Steps, after_ms: float = 0.0) -> Process:
        process = Process(steps)
        self.resume(process, after_ms)
        return process

    def resume(self, process: Process, after_ms: float) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.now + after_ms, self._number, process))

    def run(self, until_ms: float = float("inf")) -> None:
        """Until nothing is left to happen, or until then."""
        while self._events and self._events[0][0] <= until_ms:
            self.now, _, process = heapq.heappop(self._events)
            self._step(process)

    def _step(self, process: Process) -> None:
        try:
            wanted = next(process.steps)
        except StopIteration:
            process.ended = True
            for other in process.waiting:
                other.missing -= 1
                if other.missing == 0:
                    self.resume(other, 0.0)
            return
        if isinstance(wanted, Servers):
            wanted.take(process)
        elif isinstance(wanted, list):
            left = [other for other in wanted if not other.ended]
            process.missing = len(left)
            for other in left:
                other.waiting.append(process)
            if not left:
                self.resume(process, 0.0)
        else:
            self.resume(process, wanted)
