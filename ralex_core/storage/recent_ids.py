"""The ids written last: enough to know of nearly every batch, without asking the store, that all of it is new."""

from __future__ import annotations

from collections.abc import Collection

GENERATION = 50_000
"""Ids after which the ones before the last so many are forgotten; both together take some 10 MB when full."""


class RecentIds:
    """Every stored operation that started after `floor_us` is among the ids. For the thread that writes."""

    def __init__(self, floor_us: int, *, generation: int = GENERATION) -> None:
        self._floor_us = floor_us
        self._generation = generation
        self._ids: set[str] = set()
        self._latest_us = 0
        self._before: set[str] = set()
        self._before_latest_us = 0

    def rule_out(self, ids: Collection[str], earliest_us: int) -> bool:
        """Whether surely none of these ids, the earliest of which started at `earliest_us`, is stored."""
        return earliest_us > self._floor_us and self._ids.isdisjoint(ids) and self._before.isdisjoint(ids)

    def add(self, ids: Collection[str], latest_us: int) -> None:
        """Note ids that were committed, the last of which started at `latest_us`."""
        self._ids.update(ids)
        self._latest_us = max(self._latest_us, latest_us)
        if len(self._ids) >= self._generation:
            self._floor_us = max(self._floor_us, self._before_latest_us)
            self._before, self._before_latest_us = self._ids, self._latest_us
            self._ids, self._latest_us = set(), 0
