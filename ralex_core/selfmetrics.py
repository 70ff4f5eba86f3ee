"""The monitor's own figures: how much it took in, dropped and failed at, and how long things took.

Counters only grow, gauges are levels, and what is `observe`d is counted into fixed buckets, so that a percentile of a
million commits costs a few hundred bytes. Everything may carry labels; their number is bounded. Thread-safe.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from ralex_core.vitals import Vitals

T = TypeVar("T")

Labels = tuple[tuple[str, str], ...]
"""(label, value) pairs, in the order they are told."""

MAX_SERIES = 200
"""Different labels per name. What comes after them is counted together, under the value `other`."""
OTHER: Final = "other"

RECENT_S = 300.0
"""Recent figures cover the current five minutes and the five before."""

LEAST_S = 60.0
"""Rates are told over a minute at least: the first seconds of a process say little."""

_R20 = (1, 1.12, 1.25, 1.4, 1.6, 1.8, 2, 2.24, 2.5, 2.8, 3.15, 3.55, 4, 4.5, 5, 5.6, 6.3, 7.1, 8, 9)
"""Renard's preferred numbers (ISO 3): each about 12 % above the one before, and 1, 2.5 and 5 are among them."""

BOUNDS: Final = tuple(float(f"{step}e{power}") for power in range(-6, 6) for step in _R20)
"""Upper bounds of the buckets, inclusive: a microsecond to ten days in seconds, one to a million in counts."""


@dataclass(slots=True)
class Distribution:
    """Observed values by bucket; an empty one has a maximum of 0 and no percentile."""

    count: int = 0
    total: float = 0.0
    largest: float = 0.0
    buckets: dict[int, int] = field(default_factory=dict[int, int])
    """Number of values by the place of their bucket in `BOUNDS`; one past the end is beyond all bounds."""

    def add(self, value: float, bucket: int) -> None:
        self.count += 1
        self.total += value
        if value > self.largest:
            self.largest = value
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def copy(self) -> Distribution:
        return Distribution(self.count, self.total, self.largest, dict(self.buckets))

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    def percentile(self, q: float) -> float | None:
        """The nearest-rank percentile (`q` 0–1) within 7 %, None without values."""
        if not self.count:
            return None
        rank = max(1, math.ceil(q * self.count * (1 - 1e-12)))
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                break
        else:  # pragma: no cover - the counts of the buckets add up to `count`
            return self.largest
        upper = BOUNDS[bucket] if bucket < len(BOUNDS) else self.largest
        lower = BOUNDS[bucket - 1] if bucket else 0.0
        return min(math.sqrt(lower * upper) if lower else upper, self.largest)

    def up_to(self, bound: float) -> int:
        """How many values were at most `bound`; exact for the members of `BOUNDS`."""
        last = bisect_left(BOUNDS, bound)
        return sum(number for bucket, number in self.buckets.items() if bucket <= last)


def merged(distributions: Iterable[Distribution]) -> Distribution:
    """The distribution of all values of all of them."""
    whole = Distribution()
    for one in distributions:
        whole.count += one.count
        whole.total += one.total
        whole.largest = max(whole.largest, one.largest)
        for bucket, number in one.buckets.items():
            whole.buckets[bucket] = whole.buckets.get(bucket, 0) + number
    return whole


@dataclass(frozen=True, slots=True)
class Observed:
    """What was observed under one name and labels: since the start, and in the last `recent_s` seconds."""

    ever: Distribution
    recent: Distribution
    recent_s: float


class _Observations:
    """One distribution for ever and two of five minutes each that take turns."""

    __slots__ = ("_before", "_now", "_since", "ever")

    def __init__(self, now: float) -> None:
        self.ever = Distribution()
        self._now = Distribution()
        self._before = Distribution()
        self._since = now

    def add(self, value: float, now: float) -> None:
        bucket = bisect_left(BOUNDS, value)
        self._turn(now)
        self.ever.add(value, bucket)
        self._now.add(value, bucket)

    def _turn(self, now: float) -> None:
        passed = now - self._since
        if passed >= RECENT_S:
            self._before = self._now if passed < 2 * RECENT_S else Distribution()
            self._now = Distribution()
            self._since = now

    def told(self, now: float, started: float) -> Observed:
        self._turn(now)
        span = min(now - started, now - self._since + RECENT_S)
        return Observed(self.ever.copy(), merged((self._before, self._now)), max(span, LEAST_S))


class SelfMetrics:
    """Named counters, gauges and distributions, exported at `/metrics`."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.vitals = Vitals(monotonic)
        """What is being done now; it travels with the counters, because whoever counts also works."""
        self._started = monotonic()
        self._lock = threading.Lock()
        self._counters: defaultdict[str, dict[Labels, float]] = defaultdict(dict)
        self._gauges: defaultdict[str, dict[Labels, float]] = defaultdict(dict)
        self._observed: defaultdict[str, dict[Labels, _Observations]] = defaultdict(dict)

    def add(self, name: str, amount: float = 1, labels: Labels = ()) -> None:
        """Count something that happened."""
        with self._lock:
            series = self._counters[name]
            labels = _bounded(series, labels)
            series[labels] = series.get(labels, 0.0) + amount

    def set(self, name: str, value: float, labels: Labels = ()) -> None:
        """Record a level, such as a queue's length."""
        with self._lock:
            series = self._gauges[name]
            series[_bounded(series, labels)] = value

    def observe(self, name: str, value: float, labels: Labels = ()) -> None:
        """Count a value, such as a duration in seconds, into its distribution. About two microseconds."""
        now = self._monotonic()
        with self._lock:
            series = self._observed[name]
            labels = _bounded(series, labels)
            found = series.get(labels)
            if found is None:
                found = series[labels] = _Observations(now)
            found.add(value, now)

    def counters(self) -> dict[str, float]:
        """Counters without labels."""
        with self._lock:
            return {name: series[()] for name, series in self._counters.items() if () in series}

    def gauges(self) -> dict[str, float]:
        """Gauges without labels."""
        with self._lock:
            return {name: series[()] for name, series in self._gauges.items() if () in series}

    def all_counters(self) -> dict[str, dict[Labels, float]]:
        """Every counter by name and labels."""
        with self._lock:
            return {name: dict(series) for name, series in self._counters.items()}

    def all_gauges(self) -> dict[str, dict[Labels, float]]:
        """Every gauge by name and labels."""
        with self._lock:
            return {name: dict(series) for name, series in self._gauges.items()}

    def observed(self, name: str) -> dict[Labels, Observed]:
        """What was observed under a name, by labels; empty when nothing was."""
        now = self._monotonic()
        with self._lock:
            series = self._observed.get(name, {})
            return {labels: found.told(now, self._started) for labels, found in series.items()}

    def all_observed(self) -> dict[str, dict[Labels, Distribution]]:
        """Every distribution since the start, by name and labels."""
        with self._lock:
            return {
                name: {labels: found.ever.copy() for labels, found in series.items()}
                for name, series in self._observed.items()
            }


def _bounded(series: dict[Labels, T], labels: Labels) -> Labels:
    """The labels to count under: their own, or `other` when there are too many already."""
    if not labels or labels in series or len(series) < MAX_SERIES:
        return labels
    return tuple((name, OTHER) for name, _ in labels)
