"""A simulated team as batches in time order: its past as fast as it is taken or at a rate, then its present."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from ralex_core.clock import Clock
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, Window
from ralex_core.simulate.team import Team
from ralex_core.simulate.workload import LiveTeam, end_us, simulate

Batch = list[Operation]
Wait = Callable[[float], object]
"""Called with seconds to let pass: `time.sleep`, or a manual clock's `advance`."""

BATCH = 500
LIVE_STEP_S = 1.0


def past(team: Team, now_us: int, days: float, rate: float | None, clock: Clock, wait: Wait) -> Iterator[Batch]:
    """What finished in the `days` before `now_us`, oldest first, at most `rate` operations a second."""
    if days <= 0:
        return
    window = Window(now_us - round(days * DAY_US), now_us)
    operations = (operation for operation in simulate(team, window) if end_us(operation) <= now_us)
    size = BATCH if rate is None else max(1, min(BATCH, round(rate / 4)))
    started, given = clock.monotonic(), 0
    while batch := list(itertools.islice(operations, size)):
        if rate is not None:
            wait(max(0.0, started + given / rate - clock.monotonic()))
        yield batch
        given += len(batch)


def present(team: Team, now_us: int, clock: Clock, wait: Wait) -> Iterator[Batch]:
    """What finishes after `now_us`, as it happens; never ends, and gives no empty batch."""
    live = LiveTeam(team, now_us)
    while True:
        if batch := live.advance(clock.now_us()):
            yield batch
        wait(LIVE_STEP_S)
