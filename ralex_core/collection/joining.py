"""One thing seen twice is counted once: calls that several doors report, and usage that calls already explain.

It listens to commits, so it sees what is really stored, in order, whichever door it came through. What must not count
a second time is written again under its id with a higher revision, as a task without tokens or cost: it stays to be
looked at, and names what it repeats. What no id joins is left alone: nothing is guessed.

- Usage made of metrics counts only for sessions of which no single call is stored. Without a session, only where no
  call of the same service is stored around the time it was used.
- A call of an assistant that several doors know (`SEEN_SEVERAL_WAYS`) counts once per provider request id: the one
  that was stored first stays.
- Any other call that came in two ways counts once (`seen_calls`): the one with the bill stays, else the one that
  counted its tokens, else the gateway's, else the first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import orjson

from ralex_core.collection.seen_calls import SeenCalls
from ralex_core.model.operation import ASIDE_ATTRIBUTE, Operation, Pricing
from ralex_core.model.window import HOUR_US, MINUTE_US
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.queries.usage_series import (
    METRIC_SOURCE,
    SINCE,
    call_sources,
    calls_by_request,
    covered_sessions,
    operations_by_id,
    uncovered_usage,
    witnessed,
)
from ralex_core.storage.telemetry import Store, WriteResult

SEEN_SEVERAL_WAYS = frozenset({"claude-code"})
"""Services whose calls may come as spans, as events and from transcripts."""
KEPT_REQUESTS = 20_000
"""Provider request ids remembered; older ones are looked up in the store."""
TURN_US = 30 * MINUTE_US
"""How long before a turn's usage is counted its first call may have been: Codex counts when a turn ends."""
LATE_US = 5 * MINUTE_US
ASIDE = 1 << 40
"""Added to the revision of what does not count: nothing a sender sends again gets beyond it."""

KEPT_USAGE = 5000
"""Usage without a session that is remembered of one service; what is older counts for good."""

_OF_SESSION, _OF_SERVICE = "calls of the session", "calls of the service"
_NO_USAGE: dict[str, None] = dict.fromkeys(
    (
        *("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
        *("output_tokens", "reasoning_tokens", "reported_usd", "billed_usd", *Pricing._fields),
    )
)


class _Usage(NamedTuple):
    """Usage from metrics that counts."""

    operation_id: str
    started_at: int
    session: str | None
    service: str
    low: int
    """Calls that started between `low` and `high` (µs) explain it, when it has no session."""
    high: int

    @staticmethod
    def of(
        operation_id: str, started_at: int, session: str | None, service: str | None, attributes: str | None
    ) -> _Usage:
        since: Any = orjson.loads(attributes).get(SINCE) if attributes is not None and session is None else None
        low = since if isinstance(since, int) else started_at
        return _Usage(operation_id, started_at, session, service or "", low - TURN_US, started_at + LATE_US)


class _Aside(NamedTuple):
    """Why an operation does not count."""

    started_at: int
    reason: str


class Joining:
    """A listener to the commits of one store. For the writer thread only."""

    def __init__(
        self,
        store: Store,
        submit: Callable[[Sequence[Operation]], Future[WriteResult]],
        metrics: SelfMetrics,
    ) -> None:
        self._store = store
        self._submit = submit
        self._metrics = metrics
        self._sessions: set[str] = set()
        """Sessions whose usage counts as it came in metrics."""
        self._services: dict[str, list[_Usage]] = {}
        """Service → usage without a session that counts, oldest first."""
        self._requests: OrderedDict[str, str] = OrderedDict()
        """Provider request id → the operation that counts."""
        self._ways = call_sources(store, sorted(SEEN_SEVERAL_WAYS))
        """In which ways calls that may come in several have come so far."""
        self._seen = SeenCalls(store, SEEN_SEVERAL_WAYS)
        self._begin()

    def __call__(self, operations: Sequence[Operation]) -> None:
        usage: list[Operation] = []
        calls: list[Operation] = []
        for op in operations:
            if op.kind == "llm":
                (usage if op.source == METRIC_SOURCE else calls).append(op)
        aside: dict[str, _Aside] = {}
        if usage:
            found = [
                _Usage.of(op.operation_id, op.started_at, op.session_id, op.service, op.attributes) for op in usage
            ]
            for one in found:
                self._note(one)
            self._usage_that_calls_explain(found, aside)
        if calls:
            self._calls_that_explain_usage(calls, aside)
            self._calls_seen_before([op for op in calls if op.service in SEEN_SEVERAL_WAYS], aside)
            for repeat in self._seen.repeats(calls):
                aside[repeat.operation_id] = _Aside(repeat.started_at, repeat.counted_by)
        if aside:
            self._set_aside(aside)

    # --- usage from metrics ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Remember what counts; finish what a process before us committed and could not compare any more."""
        found = [_Usage.of(*row) for row in uncovered_usage(self._store)]
        for one in found:
            self._note(one)
        recent = [one for one in found if one.started_at >= found[-1].started_at - HOUR_US]
        aside: dict[str, _Aside] = {}
        self._usage_that_calls_explain(recent, aside)
        if aside:
            self._set_aside(aside)

    def _note(self, usage: _Usage) -> None:
        if usage.session is not None:
            self._sessions.add(usage.session)
            return
        entries = self._services.setdefault(usage.service, [])
        entries.append(usage)
        del entries[:-KEPT_USAGE]

    def _usage_that_calls_explain(self, usage: list[_Usage], aside: dict[str, _Aside]) -> None:
        """Usage that was just stored, although calls that explain it were stored before or with it."""
        sessions = {one.session for one in usage if one.session is not None}
        covered = covered_sessions(self._store, sorted(sessions)) if sessions else set[str]()
        for one in usage:
            if one.session is not None:
                if one.session in covered:
                    aside[one.operation_id] = _Aside(one.started_at, _OF_SESSION)
            elif witnessed(self._store, one.service, one.low, one.high):
                aside[one.operation_id] = _Aside(one.started_at, _OF_SERVICE)
        self._sessions -= covered

    def _calls_that_explain_usage(self, calls: list[Operation], aside: dict[str, _Aside]) -> None:
        """Usage stored earlier that calls which were just stored explain."""
        if self._sessions:
            sessions = {op.session_id for op in calls if op.session_id is not None} & self._sessions
            for session in sessions:
                for operation_id, started_at, *_ in uncovered_usage(self._store, session):
                    aside[operation_id] = _Aside(started_at, _OF_SESSION)
            self._sessions -= sessions
        for service, entries in self._services.items():
            times = sorted(op.started_at for op in calls if (op.service or "") == service)
            for one in entries if times else ():
                at = bisect_left(times, one.low)
                if at < len(times) and times[at] <= one.high:
                    aside[one.operation_id] = _Aside(one.started_at, _OF_SERVICE)

    # --- calls -------------------------------------------------------------------------------------------------

    def _calls_seen_before(self, calls: list[Operation], aside: dict[str, _Aside]) -> None:
        self._ways |= {op.source or "" for op in calls}
        if len(self._ways) < 2:
            return  # nobody else to have seen them
        asked = [op for op in calls if op.provider_request_id is not None and op.status == "ok"]
        if not asked:
            return
        unknown = [op for op in asked if op.provider_request_id not in self._requests]
        if unknown:
            self._look_up(unknown)
        for op in asked:
            request = op.provider_request_id or ""
            first = self._requests.setdefault(request, op.operation_id)
            self._requests.move_to_end(request)
            if first != op.operation_id:
                aside[op.operation_id] = _Aside(op.started_at, first)
        while len(self._requests) > KEPT_REQUESTS:
            self._requests.popitem(last=False)

    def _look_up(self, calls: list[Operation]) -> None:
        """Remember which operations of these requests were stored before this commit."""
        own = {op.operation_id for op in calls}
        times = [op.started_at for op in calls]
        requests = [op.provider_request_id or "" for op in calls]
        for request, operation_id in calls_by_request(
            self._store, requests, min(times) - HOUR_US, max(times) + HOUR_US
        ):
            if operation_id not in own:
                self._requests.setdefault(request, operation_id)

    # --- setting aside -----------------------------------------------------------------------------------------

    def _set_aside(self, aside: dict[str, _Aside]) -> None:
        times = [one.started_at for one in aside.values()]
        found = operations_by_id(self._store, list(aside), min(times), max(times))
        again = [_set_aside(op, aside[op.operation_id].reason) for op in found if op.kind == "llm"]
        if again:
            self._metrics.add("operations_set_aside_total", len(again))
            self._submit(again)
        gone = aside.keys()
        for service, entries in list(self._services.items()):
            left = [one for one in entries if one.operation_id not in gone]
            if left:
                self._services[service] = left
            else:
                del self._services[service]


def _set_aside(operation: Operation, reason: str) -> Operation:
    """The operation as something that does not count: what it said of usage and cost stays among its attributes."""
    said = {
        name: str(value)
        for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reported_usd")
        if (value := getattr(operation, name)) is not None
    }
    attributes: dict[str, Any] = orjson.loads(operation.attributes or "{}")
    attributes |= {"counted.by": reason, ASIDE_ATTRIBUTE: said}
    return operation._replace(
        kind="task",
        revision=operation.revision + ASIDE,
        attributes=orjson.dumps(attributes).decode(),
        **_NO_USAGE,
    )
