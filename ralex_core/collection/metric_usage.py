"""From data points to operations: what was used since the point before, once.

A delta point says it by itself. A cumulative one says what was used since its counter began, so what was counted of
it before has to be known: it is kept in memory and, as attributes of the operations themselves, in the store, where
it is committed together with what it explains. A monitor that restarts therefore goes on where it stopped.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from ralex_core.collection import metric_rules as table
from ralex_core.collection import otlp_events, semconv
from ralex_core.collection.metric_rules import COST, PARTS, MetricRule
from ralex_core.collection.otlp_logs import client_of, project_of, resource_stays
from ralex_core.collection.otlp_metrics import DecodedMetrics, Point
from ralex_core.collection.otlp_records import text_of
from ralex_core.collection.otlp_span import MAX_TEXT
from ralex_core.collection.otlp_usage import usage_of, usd_of
from ralex_core.model.operation import Operation, derived_id
from ralex_core.storage.queries.usage_series import METRIC_SOURCE, SERIES, SINCE, TIME, covered_sessions, last_counts
from ralex_core.storage.telemetry import Store

DAY_NS = 86_400_000_000_000
KEPT_SERIES = 50_000
"""Series whose last value is remembered; one that was forgotten is looked up in the store."""
KEPT_SESSIONS = 20_000
MOST_INPUT = 100_000
"""Input tokens of one operation. A sum over many calls must not be priced like one long call, which costs more per
token beyond 128,000 or 200,000 tokens: larger sums become several operations."""

MOST_PIECES = 200
_TOTALS = ("input", "output")


class Count(NamedTuple):
    """The last value of a cumulative series."""

    time_ns: int
    value: float


class _Group(NamedTuple):
    """What is told apart: the fields of the operation, and the process that counted."""

    family: str
    process: str
    service: str
    session_id: str | None
    user_id: str | None
    client: str | None
    project: str | None
    provider: str | None
    model: str | None
    service_tier: str | None


@dataclass(slots=True)
class _Slice:
    """What a group used up to one moment."""

    metric: str
    rule: MetricRule
    source: Mapping[str, Any]
    since_ns: int
    used: dict[str, float] = field(default_factory=dict[str, float])
    series: set[str] = field(default_factory=set[str])
    """Series that say so: with the time they are the identity of the operation."""
    counts: dict[str, float] = field(default_factory=dict[str, float])
    """Cumulative series → value counted."""


@dataclass(slots=True)
class Plan:
    """Operations to store for the points of one request, and what is known once they are."""

    operations: list[Operation]
    counts: dict[str, Count]


class MetricUsage:
    """Turns points into operations. One plan at a time: the next is made when the last was kept or dropped."""

    def __init__(self, get_store: Callable[[], Store], retention_days: int | None) -> None:
        self._get_store = get_store
        self._retention_ns = None if retention_days is None else retention_days * DAY_NS
        self._counts: OrderedDict[str, Count] = OrderedDict()
        self._covered: OrderedDict[str, None] = OrderedDict()

    def plan(self, decoded: DecodedMetrics) -> Plan:
        """What the points say was used beyond what was counted before; `decoded` gets the operations and the number of
        points that say nothing new."""
        slices: dict[tuple[_Group, int], _Slice] = {}
        known = self._known(decoded.points)
        counts: dict[str, Count] = {}
        seen: set[tuple[str, int]] = set()
        for point in sorted(decoded.points, key=lambda point: point.time_ns):
            once = (series_of(point), point.time_ns)
            if once in seen or not self._add(point, once[0], slices, known, counts):
                decoded.unused += 1
                decoded.old += 1
            seen.add(once)
        self._leave_out_what_calls_tell(decoded, slices)
        for (group, time_ns), used in slices.items():
            decoded.operations += _operations(group, time_ns, used)
        return Plan(decoded.operations, counts)

    def keep(self, plan: Plan) -> None:
        """The plan's operations are committed."""
        for series, count in plan.counts.items():
            self._counts[series] = count
            self._counts.move_to_end(series)
        while len(self._counts) > KEPT_SERIES:
            self._counts.popitem(last=False)

    def forget(self, plan: Plan) -> None:
        """The plan's operations are not committed, or nobody knows: what was counted is looked up in the store."""
        for series in plan.counts:
            self._counts.pop(series, None)

    # --- what is new ---------------------------------------------------------------------------------------------

    def _known(self, points: Iterable[Point]) -> dict[str, Count]:
        """Last counts of the cumulative series among the points, from memory or the store."""
        starts = {series_of(point): point.start_ns for point in points if point.cumulative}
        found = {series: self._counts[series] for series in starts if series in self._counts}
        missing = {series: start_ns for series, start_ns in starts.items() if series not in found}
        if missing:
            stored = last_counts(self._get_store(), list(missing), min(missing.values()) // 1000)
            found |= {series: Count(time_ns, value) for series, (time_ns, value) in stored.items()}
        return found

    def _add(
        self,
        point: Point,
        series: str,
        slices: dict[tuple[_Group, int], _Slice],
        known: dict[str, Count],
        counts: dict[str, Count],
    ) -> bool:
        """Add what a point says to its slice. False: it says nothing new, or nothing that is used."""
        rule = table.METRICS[point.metric]
        part = rule.parts.get(text_of(point.attributes, *rule.kind) or "" if rule.kind else "")
        if part is None:
            return False
        since_ns, value = point.start_ns or point.time_ns, point.value
        if point.cumulative:
            before = known.get(series)
            if before is not None and point.time_ns <= before.time_ns:
                return False
            known[series] = counts[series] = Count(point.time_ns, point.value)
            if before is None:
                value = point.value if self._is_whole(point) else 0
            else:
                since_ns = before.time_ns
                value = point.value - before.value if point.value >= before.value else point.value
        if not value:
            return not point.cumulative
        group = _group(point, rule)
        slice_ = slices.setdefault((group, point.time_ns), _Slice(point.metric, rule, point.source.resource, since_ns))
        slice_.since_ns = min(slice_.since_ns, since_ns)
        slice_.series.add(series)
        slice_.used[part] = slice_.used.get(part, 0) + value
        if part != COST:
            slice_.metric, slice_.rule = point.metric, rule
        if point.cumulative:
            slice_.counts[series] = point.value
        return True

    def _is_whole(self, point: Point) -> bool:
        """Whether the first value seen of a counter is to be counted: since when it counts must be known, and what it
        counted must not have been deleted since."""
        if not point.start_ns:
            return False
        return self._retention_ns is None or point.start_ns > point.time_ns - self._retention_ns

    def _leave_out_what_calls_tell(self, decoded: DecodedMetrics, slices: dict[tuple[_Group, int], _Slice]) -> None:
        """Drop slices of sessions whose calls are stored one by one, and costs without tokens beside them."""
        sessions = {group.session_id for group, _ in slices if group.session_id is not None}
        covered = {session for session in sessions if session in self._covered}
        if sessions - covered:
            covered |= covered_sessions(self._get_store(), sorted(sessions - covered))
        for session in covered:
            self._covered[session] = None
            self._covered.move_to_end(session)
        while len(self._covered) > KEPT_SESSIONS:
            self._covered.popitem(last=False)
        for key, slice_ in list(slices.items()):
            if key[0].session_id in covered or slice_.used.keys() <= {COST}:
                decoded.unused += len(slice_.series)
                decoded.old += len(slice_.series)
                del slices[key]


def series_of(point: Point) -> str:
    """The series a point belongs to: resource, scope, metric, attributes and the start of its counter."""
    text = orjson.dumps(
        [point.source.resource, point.source.scope, point.metric, point.attributes, point.start_ns],
        default=str,
        option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS,
    )
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def _group(point: Point, rule: MetricRule) -> _Group:
    attributes = {**point.source.resource, **point.attributes}
    model = _field(attributes, "model")
    usual = rule.provider if model is None or model.startswith(rule.models) else None
    process = orjson.dumps([point.source.resource, point.source.scope], default=str, option=orjson.OPT_SORT_KEYS)
    return _Group(
        rule.family,
        hashlib.blake2b(process, digest_size=12).hexdigest(),
        (text_of(attributes, "service.name") or rule.assistant.service)[:MAX_TEXT],
        _field(attributes, "session_id"),
        _field(attributes, "user_id"),
        client_of(attributes, rule.assistant.client),
        project_of(attributes),
        semconv.provider_of(_field(attributes, "provider") or usual, None),
        model,
        otlp_events.SERVICE_TIERS.get(str(attributes.get("speed", ""))),
    )


def _field(attributes: Mapping[str, Any], name: str) -> str | None:
    found = text_of(attributes, *table.FIELDS[name])
    return found[:MAX_TEXT] if found is not None else None


# --- operations -------------------------------------------------------------------------------------------------


def _operations(group: _Group, time_ns: int, used: _Slice) -> Sequence[Operation]:
    """The operations of one slice: one, or several when it is too much for one."""
    # A part nobody mentions was not used in this slice: that is known, other than of a call.
    numbers = [round(used.used[part]) if part in used.used else 0 if part in _TOTALS else None for part in PARTS]
    usage = usage_of(numbers, exclusive_input=used.rule.cache_apart)
    cost = usd_of(used.used[COST]) if COST in used.used else None
    pieces = min(max(1, -(-(usage.input_tokens or 0) // MOST_INPUT)), MOST_PIECES)
    identity = derived_id(METRIC_SOURCE, group.family, str(time_ns), *sorted(used.series))
    kept = {f"resource.{key}": value for key, value in used.source.items() if resource_stays(key)} | {
        TIME: time_ns,
        SINCE: used.since_ns // 1000,
    }
    first = Operation(
        operation_id=identity,
        kind="llm",
        name=used.metric,
        started_at=time_ns // 1000,
        service=group.service,
        project=group.project,
        client=group.client,
        user_id=group.user_id,
        session_id=group.session_id,
        provider=group.provider,
        requested_model=group.model,
        model=group.model,
        service_tier=group.service_tier,
        door="otlp",
        source=METRIC_SOURCE,
    )
    found: list[Operation] = []
    for piece in range(pieces):
        own = kept | ({SERIES: used.counts} if used.counts and piece == 0 else {})
        share = {name: _share(count, piece, pieces) for name, count in usage._asdict().items()}
        found.append(
            first._replace(
                operation_id=identity if piece == 0 else derived_id(identity, str(piece)),
                reported_usd=None if cost is None else _money_share(cost, piece, pieces),
                attributes=orjson.dumps(own, default=str).decode(),
                **share,
            )
        )
    return found


def _share(count: int | None, piece: int, pieces: int) -> int | None:
    """One of equal pieces of a count; the pieces add up to it."""
    return None if count is None else count * (piece + 1) // pieces - count * piece // pieces


def _money_share(cost: Decimal, piece: int, pieces: int) -> Decimal:
    """One of equal pieces of an amount, to the millionth of a cent; the first has what is left over."""
    if pieces == 1:
        return cost
    part = (cost / pieces).quantize(Decimal("0.00000001"))
    return cost - part * (pieces - 1) if piece == 0 else part
