"""The time that may be believed: no step that deletes goes by a single reading of the clock.

A reading is kept for every quarter of an hour that the monitor runs, across restarts. Retention goes by the lowest of
the last day's: a clock that is ahead has to stay so for 24 hours of running before anything is deleted by it, and one
that is behind, or goes back, only postpones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import cast

from ralex_core.model.window import DAY_US

STEP_US = 15 * 60 * 1_000_000
KEPT = DAY_US // STEP_US + 1
"""Readings that span 24 hours of running."""
QUIET_US = 3 * DAY_US
"""A jump of this much is postponed like any other, but nothing to warn of: the machine was off over a weekend."""


class ClockReadings:
    """The last readings, oldest first; `seed_us` is the believed time where there are none yet."""

    def __init__(self, readings: Iterable[int], monotonic_s: float, *, seed_us: int) -> None:
        self._readings = list(readings)[-KEPT:] or [seed_us]
        self._noted_s = monotonic_s

    @classmethod
    def parse(cls, text: str | None, monotonic_s: float, *, seed_us: int) -> ClockReadings:
        """From what `text` keeps; what is no whole number counts as nothing."""
        try:
            found: object = json.loads(text or "[]")
        except ValueError:
            found = None
        readings = [one for one in cast("list[object]", found) if type(one) is int] if isinstance(found, list) else []
        return cls(readings, monotonic_s, seed_us=seed_us)

    def text(self) -> str:
        return json.dumps(self._readings)

    def note(self, now_us: int, monotonic_s: float) -> None:
        """Take a reading of the wall clock, for as many steps as the steady clock says have passed since the last."""
        passed_us = round((monotonic_s - self._noted_s) * 1e6)
        steps = passed_us // STEP_US
        if steps <= 0:
            return
        self._noted_s = monotonic_s
        # what nobody looked at since the last reading is the lower of what that one and this one imply
        implied_us = min(now_us, self._readings[-1] + passed_us)
        self._readings += [implied_us - left * STEP_US for left in range(min(steps, KEPT) - 1, 0, -1)]
        self._readings.append(now_us)
        del self._readings[:-KEPT]

    def believed_us(self, now_us: int) -> int:
        """The time that deleting may go by; never later than `now_us`."""
        return min(now_us, *self._readings)

    def latest_us(self, now_us: int) -> int:
        """The latest that the clock said in the last 24 hours of running, `now_us` included."""
        return max(now_us, *self._readings)

    def doubt(self, now_us: int) -> str | None:
        """Why deleting is postponed, when the clock moved in a way that is hard to believe; None otherwise."""
        ran_us = (len(self._readings) - 1) * STEP_US
        ahead = now_us - self.believed_us(now_us) - ran_us
        back = self.latest_us(now_us) - now_us
        if max(ahead, back) <= QUIET_US:
            return None
        moved = f"ahead by {ahead / DAY_US:,.0f}" if ahead > back else f"back by {back / DAY_US:,.0f}"
        return (
            f"The clock went {moved} days within the last 24 hours of running. Nothing is deleted by what it says now "
            "until it has held for a day. Check the clock of this machine."
        )
