"""Traces: the list of them, one of them, and what makes them slow."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ralex_core.dashboard.contexts.frame import Choice
from ralex_core.dashboard.contexts.operations import Column, TraceView


@dataclass(frozen=True, slots=True)
class TraceItem:
    """One trace of the list. `name` and `kind` are those of the operation it began with."""

    trace_id: str
    name: str
    kind: str
    service: str | None
    project: str | None
    started_at: str
    started_us: int
    duration_ms: float
    operations: int
    errors: int
    cost_usd: Decimal | None
    operation_id: str
    href: str


@dataclass(frozen=True, slots=True)
class TraceList:
    """A page of traces."""

    rows: list[TraceItem]
    total: int
    page: int
    size: int
    pages: int


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """One thing a finding rests on: the number as it is, and as people read it."""

    label: str
    value: float | str
    unit: str
    text: str


@dataclass(frozen=True, slots=True)
class GainView:
    """What a change would save, of the mean and of the 95th percentile of traces."""

    mean_ms: float
    p95_ms: float
    mean_ratio: float
    p95_ratio: float


@dataclass(frozen=True, slots=True)
class Example:
    """An operation to look at."""

    operation_id: str
    href: str


@dataclass(frozen=True, slots=True)
class FindingView:
    """A cause of slow traces, with its evidence and what removing it would save."""

    cause: str
    label: str
    certainty: str
    kind: str
    name: str
    title: str
    advice: str
    evidence: list[EvidenceView]
    examples: list[Example]
    affected_ratio: float
    gain: GainView


@dataclass(frozen=True, slots=True)
class HotSpotView:
    """Where time goes, in ms per trace. `p95_share_ratio`: the part of the slow traces' time over the typical."""

    kind: str
    name: str
    path_ms: float
    path_ratio: float
    self_ms: float
    calls: float
    p95_share_ratio: float | None
    halved: GainView
    href: str


@dataclass(frozen=True, slots=True)
class BottlenecksView:
    """What was found in the traces of a range, largest gain first. `notes` say what was left out or mended."""

    traces: int
    traces_looked_at: int
    spans_looked_at: int
    mean_ms: float | None
    p95_ms: float | None
    findings: list[FindingView]
    hot_spots: list[HotSpotView]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class TraceExplorer:
    """The list with its links."""

    rows: list[TraceItem]
    total: int
    total_text: str
    page: int
    pages: int
    first: int
    last: int
    columns: list[Column]
    prev_href: str | None
    next_href: str | None
    sizes: list[Choice]
    search: str
    errors: bool
    hidden: list[tuple[str, str]]
    reset_href: str


@dataclass(frozen=True, slots=True)
class TraceDetail:
    """One trace: its waterfall, where its time goes, and what is conspicuous in it."""

    trace: TraceView
    name: str
    kind: str
    errors: int
    spots: list[HotSpotView]
    unrecorded_ms: float
    """Time on the critical path in which no operation was recorded."""
    findings: list[FindingView]
    notes: list[str]
