"""Sessions of one Aider user: which process sent which message, how long it took, and which edits were undone.

Several Aider processes of one user write into one log without naming themselves. What tells them apart is the
running total of cost each message carries: a message continues the session whose total is its own total less its
own cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from ralex_core.collection.importers import fields
from ralex_core.model.money import decimal_text
from ralex_core.model.operation import Operation, derived_id

MAX_SESSIONS = 6
"""Sessions of one user that may be open side by side, and closed ones that may turn out to be still running."""
MAX_HELD = 8
"""Messages of a session that wait for a `/undo`."""
TOTAL_TOLERANCE = Decimal("0.000001")
"""Running totals are sums of floats in the log."""
LONGEST_PAIR_S = 3600
"""A start longer ago than this was given up: Aider's request timeout is ten minutes, with retries an hour."""

SECOND_US = 1_000_000
EDIT = "edit"
"""The feature of messages that may change files, and so can be undone."""

LAUNCH = "launched"
STARTED_SESSION = ("cli session", "gui session")
START = "message_send_starting"
SEND = "message_send"
EXCEPTION = "message_send_exception"
EXIT = "exit"
UNDO = "command_undo"
LAUNCHING = (LAUNCH, *STARTED_SESSION, START)
"""Events that may open a session although they are no operations, and so need an id."""


class Event(NamedTuple):
    """One line, checked: everything that can be wrong with it has been found out."""

    name: str
    user: str | None
    time_s: int
    id: str
    """Of the operation, and of the session it may open; empty for events that do neither."""
    operation: Operation | None
    """The operation it stands for, before the session it belongs to is known."""
    cost: Decimal | None = None
    total: Decimal | None = None
    """What the process that sent it had cost up to and including this message, by its own count."""

    def pack(self) -> list[Any]:
        operation = None if self.operation is None else fields.pack(self.operation)
        return [*self[:4], operation, decimal_text(self.cost), decimal_text(self.total)]

    @staticmethod
    def unpack(packed: list[Any]) -> Event:
        name, user, time_s, identity, operation, cost, total = packed
        return Event(
            name, user, time_s, identity, operation and fields.unpack(operation), _amount(cost), _amount(total)
        )


class Session:
    """One run of Aider."""

    def __init__(self, identity: str, saved: Mapping[str, Any] | None = None) -> None:
        saved = saved or {}
        self.id = identity
        self.client: str | None = saved.get("client")
        self.total = _amount(saved.get("total"))
        """What its messages cost so far, by its own count; None before the first."""
        self.held = [fields.unpack(packed) for packed in saved.get("held", ())]
        """Its latest messages, oldest first, as long as a `/undo` may still concern them."""

    def save(self) -> dict[str, Any]:
        held = [fields.pack(operation) for operation in self.held]
        return {"id": self.id, "client": self.client, "total": decimal_text(self.total), "held": held}

    def continued_by(self, before: Decimal) -> bool:
        return abs((self.total or Decimal(0)) - before) <= TOTAL_TOLERANCE


class Sessions:
    """All sessions of one user, fed with the events of one second at a time."""

    def __init__(self, user: str | None, saved: Mapping[str, Any] | None = None) -> None:
        saved = saved or {}
        self._user = user or ""
        self._open = [Session(session["id"], session) for session in saved.get("open", ())]
        """The latest active one last."""
        self._closed = [Session(session["id"], session) for session in saved.get("closed", ())]
        self._start_s: int | None = saved.get("start")
        """When the message was started that has not been sent yet."""
        self._done: list[Operation] = []
        self._revision = 0

    def save(self) -> dict[str, Any]:
        return {
            "open": [session.save() for session in self._open],
            "closed": [session.save() for session in self._closed],
            "start": self._start_s,
        }

    def take(self, second: list[Event], revision: int) -> list[Operation]:
        """All events of one second, in any order; returns the operations that are finished with it."""
        self._revision = revision
        for event in self._in_order(second):
            self._take(event)
        done, self._done = self._done, []
        return done

    def held(self) -> list[Operation]:
        """The messages that a `/undo` may still concern, as they stand."""
        return [operation for session in self._open for operation in session.held]

    # --- the order of events within a second -------------------------------------------------------------------

    def _in_order(self, second: list[Event]) -> list[Event]:
        """As a session goes: launch, context, commands, start, send, exit; what was under way before comes first."""
        if len(second) == 1:
            return second
        under_way = self._start_s is not None
        relaunched = bool(self._open) and any(event.name == LAUNCH for event in second)
        ranked: list[tuple[int, Event]] = []
        for event in second:
            rank = _RANKS.get(event.name, 5 if event.operation else 4)
            if under_way and event.name in (SEND, EXCEPTION):
                rank, under_way = 0, False
            elif relaunched and event.name == EXIT:
                rank = 1
            ranked.append((rank, event))
        return [event for _, event in sorted(ranked, key=lambda pair: pair[0])]

    # --- one event ---------------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        if event.name == SEND and event.operation is not None:
            self._send(event, event.operation)
        elif event.name == EXCEPTION and event.operation is not None:
            self._done.append(self._placed(event.operation, self._current(event), self._duration(event)))
        elif event.name == START:
            self._current(event)
            self._start_s = event.time_s
        elif event.name == EXIT:
            self._start_s = None
            self._close()
        elif event.name == LAUNCH:
            self._start_s = None
            self._launch(event)
        elif event.name in STARTED_SESSION:
            self._start_s = None
            session = self._current(event)
            if session.client is not None or session.total is not None:
                session = self._launch(event)  # the launch of this one is not in the log
            session.client = "web" if event.name.startswith("gui") else "terminal"
        elif event.operation is not None:
            self._start_s = None  # a command is typed only when nothing is under way any more
            session = self._current(event)
            self._done.append(self._placed(event.operation, session, {}))
            if event.name == UNDO:
                self._undo(session)

    def _send(self, event: Event, operation: Operation) -> None:
        session = self._sender(event)
        if event.total is not None:
            session.total = event.total
        session.held.append(self._placed(operation, session, self._duration(event)))
        if len(session.held) > MAX_HELD:
            self._done.append(session.held.pop(0))

    def _undo(self, session: Session) -> None:
        """The latest message that may have changed files is the one whose commit `/undo` takes back."""
        for position in range(len(session.held) - 1, -1, -1):
            if session.held[position].feature == EDIT:
                undone = session.held.pop(position)
                self._done.append(undone._replace(outcome="reworked", revision=self._revision))
                return

    def _placed(self, operation: Operation, session: Session, known: Mapping[str, Any]) -> Operation:
        known = dict(known)
        source = known.pop("duration_source", None)
        if source is not None:
            details = orjson.loads(operation.attributes or "{}")
            known["attributes"] = orjson.dumps({**details, "duration_source": source}).decode()
        return operation._replace(
            session_id=session.id, client=session.client or "terminal", revision=self._revision, **known
        )

    def _duration(self, event: Event) -> dict[str, Any]:
        """When the message was started and how long it took, if its start is known."""
        start_s, self._start_s = self._start_s, None
        if start_s is None or not 0 <= event.time_s - start_s <= LONGEST_PAIR_S:
            return {"duration_source": "start not logged: started_at is when it ended"}
        if event.time_s == start_s:
            return {"duration_source": "under the log's resolution of 1 s"}
        return {
            "started_at": start_s * SECOND_US,
            "duration_ms": (event.time_s - start_s) * 1000.0,
            "duration_source": f"{START} to {event.name}, 1 s resolution",
        }

    # --- which session -----------------------------------------------------------------------------------------

    def _current(self, event: Event) -> Session:
        return self._open[-1] if self._open else self._launch(event)

    def _launch(self, event: Event) -> Session:
        session = Session(derived_id("aider-session", self._user, event.id))
        self._open.append(session)
        if len(self._open) > MAX_SESSIONS:
            self._done += self._open.pop(0).held
        return session

    def _close(self) -> None:
        if self._open:
            session = self._open.pop()
            self._done += session.held
            session.held = []
            self._closed = [*self._closed, session][-MAX_SESSIONS:]

    def _sender(self, event: Event) -> Session:
        """The session a message continues, by its running total; the current one when totals do not tell."""
        current = self._current(event)
        if event.total is None or event.cost is None:
            return current
        before = event.total - event.cost
        if current.continued_by(before):
            return current
        fresh = abs(before) <= TOTAL_TOLERANCE
        for sessions in (self._open, self._closed):
            for session in reversed(sessions):
                if session.continued_by(before) and (session.total or (fresh and sessions is self._open)):
                    sessions.remove(session)
                    self._open.append(session)
                    return session
        return self._launch(event) if fresh and event.cost > 0 else current


_RANKS: dict[str, int] = {LAUNCH: 2, **dict.fromkeys(STARTED_SESSION, 3), START: 6, SEND: 7, EXCEPTION: 8, EXIT: 9}


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def by_user(second: Iterable[Event]) -> dict[str, list[Event]]:
    """The events of each user, in the order they came."""
    users: dict[str, list[Event]] = {}
    for event in second:
        users.setdefault(event.user or "", []).append(event)
    return users
