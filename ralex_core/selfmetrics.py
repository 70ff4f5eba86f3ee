"""The monitor's own counters: how much it took in, dropped and failed at. Thread-safe, process-wide per instance."""

from __future__ import annotations

import threading
from collections import defaultdict


class SelfMetrics:
    """Named monotonic counters and gauges, exported at `/metrics`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: defaultdict[str, float] = defaultdict(float)
        self._gauges: dict[str, float] = {}

    def add(self, name: str, amount: float = 1) -> None:
        """Count something that happened."""
        with self._lock:
            self._counters[name] += amount

    def set(self, name: str, value: float) -> None:
        """Record a level, such as a queue's length."""
        with self._lock:
            self._gauges[name] = value

    def counters(self) -> dict[str, float]:
        with self._lock:
            return dict(self._counters)

    def gauges(self) -> dict[str, float]:
        with self._lock:
            return dict(self._gauges)
