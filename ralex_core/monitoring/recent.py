"""What happened in the last minutes, in memory: counts and latency histograms per group, in slices that expire.

For a program that is watched without a server. Bounded by groups and slices, not by operations: a million
operations take no more room than a hundred of the same names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ralex_core.stats.quantiles import bin_of, percentiles_of

if TYPE_CHECKING:
    from ralex_core.clock import Clock
    from ralex_core.model.operation import Operation

SLICES = 30
"""A window moves in steps of a thirtieth: half a minute for 15 minutes."""

MAX_GROUPS = 200
"""Distinct groups kept at a time; operations of later ones are counted together as `OTHER`."""

OTHER = "(other)"

Key = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """How one group did. Durations in ms (percentiles within 1 %), None where nothing was timed."""

    key: Key
    operations: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    mean_ms: float | None
    mean_ttft_ms: float | None
    input_tokens: int
    output_tokens: int
    output_tokens_per_s: float | None

    @property
    def error_ratio(self) -> float | None:
        return self.errors / self.operations if self.operations else None


@dataclass(slots=True)
class Tally:
    """Sums of operations; two tallies add up to that of both."""

    operations: int = 0
    errors: int = 0
    timed: int = 0
    duration_ms: float = 0.0
    ttft_timed: int = 0
    ttft_ms: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    bins: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, operation: Operation) -> None:
        self.operations += 1
        self.errors += operation.status == "error"
        self.input_tokens += operation.input_tokens or 0
        self.output_tokens += operation.output_tokens or 0
        if operation.duration_ms is not None:
            self.timed += 1
            self.duration_ms += operation.duration_ms
            bin = bin_of(operation.duration_ms)
            self.bins[bin] = self.bins.get(bin, 0) + 1
        if operation.ttft_ms is not None:
            self.ttft_timed += 1
            self.ttft_ms += operation.ttft_ms

    def merge(self, other: Tally) -> None:
        self.operations += other.operations
        self.errors += other.errors
        self.timed += other.timed
        self.duration_ms += other.duration_ms
        self.ttft_timed += other.ttft_timed
        self.ttft_ms += other.ttft_ms
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        for bin, count in other.bins.items():
            self.bins[bin] = self.bins.get(bin, 0) + count

    def figures(self, key: Key) -> GroupFigures:
        p50, p95, p99, longest = percentiles_of(self.bins, (0.5, 0.95, 0.99, 1.0))
        return GroupFigures(
            key=key,
            operations=self.operations,
            errors=self.errors,
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            max_ms=longest,
            mean_ms=self.duration_ms / self.timed if self.timed else None,
            mean_ttft_ms=self.ttft_ms / self.ttft_timed if self.ttft_timed else None,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            output_tokens_per_s=tokens_per_s(self.output_tokens, self.duration_ms),
        )


def tokens_per_s(output_tokens: int, duration_ms: float) -> float | None:
    """None when there is nothing to divide: no tokens known or no time measured."""
    return output_tokens * 1000 / duration_ms if output_tokens and duration_ms else None


class RecentOperations:
    """A rolling window of tallies per group. Operations belong to the time they started. Safe from several threads."""

    def __init__(self, clock: Clock, window_s: int, key_of: Callable[[Operation], Key | None]) -> None:
        """`key_of` names an operation's group; None leaves it out."""
        self._clock = clock
        self._slice_us = max(1, window_s * 1_000_000 // SLICES)
        self._key_of = key_of
        self._lock = threading.Lock()
        self._slices: dict[int, dict[Key, Tally]] = {}
        self._groups: set[Key] = set()
        self.outside = 0
        """Operations that had started before the window when they came, or far in the future."""
        self.crowded_out = 0
        """Operations counted as `OTHER` because there were too many groups."""

    def record(self, operations: Iterable[Operation]) -> None:
        """Count operations; what lies outside the window is counted in `outside` only."""
        with self._lock:
            newest = self._clock.now_us() // self._slice_us
            self._expire(newest)
            for operation in operations:
                key = self._key_of(operation)
                if key is None:
                    continue
                place = operation.started_at // self._slice_us
                if not newest - SLICES < place <= newest + 1:
                    self.outside += 1
                    continue
                self._tally(place, key).add(operation)

    def figures(self, regroup: Callable[[Key], Key] = tuple) -> list[GroupFigures]:
        """Every group of the window, by operations, most first; groups that `regroup` gives one key become one."""
        with self._lock:
            self._expire(self._clock.now_us() // self._slice_us)
            merged: dict[Key, Tally] = {}
            for tallies in self._slices.values():
                for key, tally in tallies.items():
                    merged.setdefault(regroup(key), Tally()).merge(tally)
        return in_order(tally.figures(key) for key, tally in merged.items())

    def _tally(self, place: int, key: Key) -> Tally:
        if key not in self._groups:
            if len(self._groups) >= MAX_GROUPS:
                self.crowded_out += 1
                key = (*key[:-1], OTHER)
                if len(self._groups) >= 2 * MAX_GROUPS:  # even the kinds before the name are too many
                    key = (None,) * (len(key) - 1) + (OTHER,)
            self._groups.add(key)
        tallies = self._slices.setdefault(place, {})
        found = tallies.get(key)
        if found is None:
            found = tallies[key] = Tally()
        return found

    def _expire(self, newest: int) -> None:
        old = [place for place in self._slices if place <= newest - SLICES]
        if old:
            for place in old:
                del self._slices[place]
            self._groups = {key for tallies in self._slices.values() for key in tallies}


def in_order(groups: Iterable[GroupFigures]) -> list[GroupFigures]:
    """Most operations first, then by key."""
    return sorted(groups, key=lambda group: (-group.operations, *(part or "" for part in group.key)))
