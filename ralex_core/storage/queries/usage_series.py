"""What is known of usage that came as metrics: how far each series was counted, and who tells the same better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from ralex_core.model.operation import Operation
from ralex_core.storage.telemetry import Store

METRIC_SOURCE = "otlp-metrics"
"""The `source` of operations that were made of metrics."""
SERIES, TIME, SINCE = "metric.series", "metric.time", "metric.since"
"""Attributes of such an operation: cumulative series → value counted, the time of the points (ns), and since when what
it says was used (µs)."""


def last_counts(store: Store, series: Sequence[str], since_us: int) -> dict[str, tuple[int, float]]:
    """For each of these series that was counted before: the time (ns) and value of its last counted point.

    `since_us` is when the earliest of them began; nothing of them is stored before.
    """
    wanted = set(series)
    rows = store.query(
        "select attributes from operations where source = $source and started_at >= $since "
        f"and contains(attributes, '{SERIES}') order by started_at",
        {"source": METRIC_SOURCE, "since": since_us},
    )
    found: dict[str, tuple[int, float]] = {}
    for (text,) in rows:
        attributes: dict[str, Any] = orjson.loads(text)
        for name, value in attributes.get(SERIES, {}).items():
            if name in wanted:
                found[name] = max(found.get(name, (0, 0.0)), (int(attributes[TIME]), float(value)))
    return found


def covered_sessions(store: Store, sessions: Sequence[str]) -> set[str]:
    """Those of these sessions that have calls stored one by one, from whatever door."""
    rows = store.query(
        "select distinct session_id from operations where session_id in (select unnest($sessions::VARCHAR[])) "
        "and kind = 'llm' and source is distinct from $source",
        {"sessions": list(sessions), "source": METRIC_SOURCE},
    )
    return {row[0] for row in rows}


def uncovered_usage(
    store: Store, session: str | None = None
) -> list[tuple[str, int, str | None, str | None, str | None]]:
    """Usage from metrics that counts (of one session): operation id, start (µs), session, service, attributes."""
    where = "" if session is None else " and session_id = $session"
    parameters = {"source": METRIC_SOURCE} | ({} if session is None else {"session": session})
    rows = store.query(
        "select operation_id, started_at, session_id, service, case when session_id is null then attributes end "
        f"from operations where source = $source and kind = 'llm'{where} order by started_at, operation_id",
        parameters,
    )
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


def witnessed(store: Store, service: str, low_us: int, high_us: int) -> bool:
    """Whether a call of the service, stored by itself, started between two times."""
    rows = store.query(
        "select 1 from operations where started_at between $low and $high and kind = 'llm' "
        "and coalesce(service, '') = $service and source is distinct from $source limit 1",
        {"low": low_us, "high": high_us, "service": service, "source": METRIC_SOURCE},
    )
    return bool(rows)


def calls_by_request(store: Store, requests: Sequence[str], low_us: int, high_us: int) -> list[tuple[str, str]]:
    """Calls with one of these provider request ids that count: (request id, operation id), the first started first."""
    rows = store.query(
        "select provider_request_id, operation_id from operations where started_at between $low and $high "
        "and kind = 'llm' and provider_request_id in (select unnest($requests::VARCHAR[])) "
        "order by started_at, operation_id",
        {"requests": list(requests), "low": low_us, "high": high_us},
    )
    return [(row[0], row[1]) for row in rows]


def operations_by_id(store: Store, ids: Sequence[str], low_us: int, high_us: int) -> list[Operation]:
    """The operations of these ids that started between two times (both included)."""
    rows = store.query(
        f"select {', '.join(Operation._fields)} from operations where started_at between $low and $high "
        "and operation_id in (select unnest($ids::VARCHAR[]))",
        {"ids": list(ids), "low": low_us, "high": high_us},
    )
    return [Operation._make(row) for row in rows]


def call_sources(store: Store, services: Sequence[str]) -> set[str]:
    """The sources that calls of these services have come from."""
    rows = store.query(
        "select distinct coalesce(source, '') from operations "
        "where kind = 'llm' and service in (select unnest($services::VARCHAR[])) and source is distinct from $source",
        {"services": list(services), "source": METRIC_SOURCE},
    )
    return {row[0] for row in rows}
