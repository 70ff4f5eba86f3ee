"""The pages about database statements."""

from __future__ import annotations

from dataclasses import dataclass

from ralex_core.dashboard.contexts.operations import Column
from ralex_core.dashboard.contexts.rows import LatencySeries


@dataclass(frozen=True, slots=True)
class StatementRow:
    """One statement: its text with the literals removed. Durations in ms; percentiles are within 1 %.

    System, namespace and rows are of the newest calls (`sampled` of them); None where their attributes do not say.
    """

    statement: str
    hash: str | None
    system: str | None
    namespace: str | None
    calls: int
    calls_per_minute: float | None
    errors: int
    error_ratio: float
    total_ms: float
    share_ratio: float | None
    """Of the time of all statements."""
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    sampled: int
    rows_mean: float | None
    rows_total: int | None
    repeated_parents: int
    """Parents under which it ran more than ten times, among the newest calls of all statements."""
    repeated_most: int
    repeated_href: str | None
    href: str


@dataclass(frozen=True, slots=True)
class DatabaseTotals:
    statements: int
    calls: int
    calls_per_minute: float | None
    errors: int
    error_ratio: float | None
    total_ms: float
    p95_ms: float | None
    suspects: int
    """Statements that ran more than ten times under one parent."""
    sampled: int
    """Newest calls whose attributes were read."""


@dataclass(frozen=True, slots=True)
class DatabaseView:
    """All statements of a range. `rows` are the first of them in the order asked for."""

    totals: DatabaseTotals
    rows: list[StatementRow]


@dataclass(frozen=True, slots=True)
class DatabasePage:
    """What the page shows beside the view: its columns with their links."""

    view: DatabaseView
    columns: list[Column]


@dataclass(frozen=True, slots=True)
class SlowSample:
    """One of the slowest calls. `sample` is the statement as it was sent, redacted, where it was kept."""

    operation_id: str
    started_at: str
    started_us: int
    duration_ms: float | None
    status: str
    error_type: str | None
    service: str | None
    rows: int | None
    sample: str | None
    href: str
    """Its page, with its trace."""


@dataclass(frozen=True, slots=True)
class CallerRow:
    """Operations under which the statement ran, of its newest calls."""

    kind: str
    name: str
    calls: int
    parents: int
    calls_per_parent: float
    href: str


@dataclass(frozen=True, slots=True)
class StatementView:
    """One statement: its figures, its course, its slowest calls and who calls it."""

    row: StatementRow
    latency: LatencySeries
    slowest: list[SlowSample]
    callers: list[CallerRow]
    operations_href: str
    back_href: str
