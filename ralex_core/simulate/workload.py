"""The operations of a simulated team: over any window at once, or as they finish while a clock runs."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, HOUR_US, Window
from ralex_core.simulate.session import MAX_SESSION_US, Conversation
from ralex_core.simulate.team import SessionPlan, Team

CHUNK_US = 6 * HOUR_US
HISTORY_DAYS = 30


def simulate(team: Team, window: Window) -> Iterator[Operation]:
    """Operations that start in the window, by start.

    Same team and window, same operations; adjoining windows give what one window over both gives.
    Holds about ten hours of operations in memory whatever the window.
    """
    pending: list[Operation] = []
    known_us = window.start_us - MAX_SESSION_US
    chunk_start_us = window.start_us
    while chunk_start_us < window.end_us:
        chunk_end_us = min(chunk_start_us + CHUNK_US, window.end_us)
        for plan in team.sessions(Window(known_us, chunk_end_us)):
            pending += Conversation(team, plan).play()
        known_us = chunk_end_us
        pending.sort(key=_start)
        later: list[Operation] = []
        for operation in pending:
            if operation.started_at >= chunk_end_us:
                later.append(operation)
            elif operation.started_at >= chunk_start_us:
                yield operation
        pending = later
        chunk_start_us = chunk_end_us


def history(team: Team, now_us: int, days: int = HISTORY_DAYS) -> Iterator[list[Operation]]:
    """What has finished by `now_us`, newest day first, one list a day (by start; a quiet day's may be empty).

    Together with a `LiveTeam` from the same moment nothing is missing and nothing is there twice.
    """
    for age in range(days):
        window = Window(now_us - (age + 1) * DAY_US, now_us - age * DAY_US)
        yield [operation for operation in simulate(team, window) if end_us(operation) <= now_us]


QUIET_US = 20_000_000
"""The longest a team that is never idle has nothing to show."""
EXTRA_SESSION = 1000
"""Where the numbers of sessions begin that fill a quiet hour, past those of any day."""


class LiveTeam:
    """The team at work from `start_us` on: hands out each operation once, when it has finished.

    With `never_idle` somebody always works, whatever the hour: whoever looks at a demo at night sees it live.
    """

    def __init__(self, team: Team, start_us: int, *, never_idle: bool = False) -> None:
        self._team = team
        self._never_idle = never_idle
        self._extra = 0
        self._now_us = start_us
        self._planned_until_us = start_us + 1
        self._sessions: list[SessionPlan] = []
        self._finishing: list[tuple[int, str, Operation]] = []
        for plan in team.sessions(Window(start_us - MAX_SESSION_US, start_us + 1)):
            self._open(plan, start_us)

    def advance(self, now_us: int) -> list[Operation]:
        """What finished since the last call up to `now_us`, by end; nothing if the clock went back."""
        if now_us < self._now_us:
            return []
        self._now_us = now_us
        while self._planned_until_us <= now_us:
            until_us = max(self._planned_until_us + HOUR_US, now_us + 1)
            self._sessions += self._team.sessions(Window(self._planned_until_us, until_us))
            self._planned_until_us = until_us
        while self._sessions and self._sessions[0].start_us <= now_us:
            plan = self._sessions.pop(0)
            self._open(plan, plan.start_us - 1)
        if self._never_idle and (not self._finishing or self._finishing[0][0] > now_us + QUIET_US):
            self._open(self._extra_session(now_us), now_us)
        finished: list[Operation] = []
        while self._finishing and self._finishing[0][0] <= now_us:
            finished.append(heapq.heappop(self._finishing)[2])
        return finished

    def _extra_session(self, now_us: int) -> SessionPlan:
        person = self._team.people[self._extra % len(self._team.people)]
        self._extra += 1
        day = (now_us + round(person.utc_offset_h * HOUR_US)) // DAY_US
        # numbered by the second too, so that two runs of one day do not meet in an id
        return SessionPlan(now_us, person, day, EXTRA_SESSION + now_us // 1_000_000)

    def _open(self, plan: SessionPlan, after_us: int) -> None:
        """Play a session and keep what finishes after a moment."""
        for operation in Conversation(self._team, plan).play():
            finish_us = end_us(operation)
            if finish_us > after_us:
                heapq.heappush(self._finishing, (finish_us, operation.operation_id, operation))


def end_us(operation: Operation) -> int:
    """When a simulated operation finished, UTC microseconds."""
    return operation.started_at + round((operation.duration_ms or 0.0) * 1000)


def _start(operation: Operation) -> tuple[int, str]:
    return operation.started_at, operation.operation_id
