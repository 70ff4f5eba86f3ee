"""Which ids may be stored, and near what time: enough to know of nearly every batch that all of it is new."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ralex_core.storage.schema import GRAINS_US

MINUTE_US = GRAINS_US["minute"]
LAST_MINUTE = (1 << 32) - 1

KEY = f"(id_hash::UBIGINT << 32) | greatest(0, least({LAST_MINUTE}, started_at // {MINUTE_US}))::UBIGINT"
"""SQL of the key of a stored operation: its `id_hash`, then the minute it started in, 32 bits each."""

SPANS = 64
"""The most pieces of time that the places of a batch are looked up in."""
APART = 60
"""Minutes between two places that are looked up separately."""

Hashes = NDArray[np.uint32]
Keys = NDArray[np.uint64]


class Span(NamedTuple):
    """A piece of time in which operations with some ids may be stored."""

    low_us: int
    high_us: int
    """Both included."""
    positions: NDArray[np.intp]
    """Which of the ids that were asked for."""


class KnownIds:
    """A superset of what is stored, eight bytes an operation. For the thread that writes.

    The keys are kept in sorted runs, each at least twice as long as the next: adding one moves it only as often as the
    store doubles. A key whose operation is gone, or was never committed, costs a look-up and does no harm.
    """

    def __init__(self, keys: Keys) -> None:
        keys.sort()
        self._runs = [keys]

    def add(self, hashes: Hashes, times_us: list[int]) -> None:
        minutes = np.clip(np.array(times_us, dtype=np.int64) // MINUTE_US, 0, LAST_MINUTE)
        run = (hashes.astype(np.uint64) << np.uint64(32)) | minutes.astype(np.uint64)
        run.sort()
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.concatenate((self._runs.pop(), run))
            run.sort(kind="stable")  # which merges two sorted halves
        self._runs.append(run)

    def places(self, hashes: Hashes) -> list[Span]:
        """Where operations whose ids have these hashes may be stored; nothing when surely none is."""
        order = np.argsort(hashes)  # neighbours are found in the same part of a run
        keys = hashes[order].astype(np.uint64) << np.uint64(32)
        positions: list[NDArray[np.intp]] = []
        minutes: list[NDArray[np.int64]] = []
        for run in self._runs:
            if not len(run):
                continue
            at = np.searchsorted(run, keys)
            found = run[np.minimum(at, len(run) - 1)] >> np.uint64(32) == keys >> np.uint64(32)
            (hits,) = np.nonzero(found)
            for hit in hits:
                end = cast("int", np.searchsorted(run, keys[hit] | np.uint64(LAST_MINUTE), side="right"))
                here = run[at[hit] : end] & np.uint64(LAST_MINUTE)
                minutes.append(here.astype(np.int64))
                positions.append(np.full(len(here), order[hit]))
        return _spans(np.concatenate(positions), np.concatenate(minutes)) if positions else []


def _spans(positions: NDArray[np.intp], minutes: NDArray[np.int64]) -> list[Span]:
    order = np.argsort(minutes, kind="stable")
    positions, minutes = positions[order], minutes[order]
    gaps = np.diff(minutes)
    widest = np.argsort(gaps)[-(SPANS - 1) :]
    cuts = np.sort(widest[gaps[widest] > APART]) + 1
    return [
        Span(_start(int(when[0])), _end(int(when[-1])), np.unique(which))
        for which, when in zip(np.split(positions, cuts), np.split(minutes, cuts), strict=True)
    ]


def _start(minute: int) -> int:
    return minute * MINUTE_US if minute else -(1 << 63)


def _end(minute: int) -> int:
    return (minute + 1) * MINUTE_US - 1 if minute < LAST_MINUTE else (1 << 63) - 1
