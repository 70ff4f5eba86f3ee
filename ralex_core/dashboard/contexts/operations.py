"""The list of operations and one of them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from ralex_core.dashboard.contexts.frame import Chip, Choice
from ralex_core.dashboard.contexts.rows import OperationRow


@dataclass(frozen=True, slots=True)
class Column:
    key: str
    title: str
    sortable: bool
    sort_href: str | None
    sorted: Literal["", "asc", "desc"]
    numeric: bool


@dataclass(frozen=True, slots=True)
class Select:
    param: str
    label: str
    value: str
    options: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class OperationList:
    """A page of operations. `total` is a lower bound when `total_is_exact` is False."""

    rows: list[OperationRow]
    total: int
    total_is_exact: bool
    page: int
    size: int
    pages: int


@dataclass(frozen=True, slots=True)
class Explorer:
    """The operations page."""

    rows: list[OperationRow]
    total: int
    total_is_exact: bool
    total_text: str
    page: int
    size: int
    pages: int
    first: int
    last: int
    columns: list[Column]
    prev_href: str | None
    next_href: str | None
    sizes: list[Choice]
    selects: list[Select]
    search: str
    quarantined: bool
    chips: list[Chip]
    """What the table alone is narrowed to."""
    hidden: list[tuple[str, str]]
    reset_href: str


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    value: str
    href: str | None = None
    mono: bool = False


@dataclass(frozen=True, slots=True)
class FactGroup:
    title: str
    facts: list[Fact]


@dataclass(frozen=True, slots=True)
class ClaimView:
    """What one witness says an operation cost."""

    basis: Literal["billed", "computed", "reported"]
    usd: Decimal | None
    state: Literal["used", "kept", "quarantined", "absent"]
    note: str


@dataclass(frozen=True, slots=True)
class PriceLineView:
    """Units × rate = dollars."""

    unit: str
    units: int
    usd_per_mtok: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class PriceView:
    """Why this price."""

    sentence: str
    matched: str | None
    version: str | None
    lines: list[PriceLineView]
    cliff: str | None
    quarantine: str | None
    baseline_model: str | None
    baseline_usd: Decimal | None
    saved_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class PathPiece:
    """A stretch of the critical path, relative to the whole trace."""

    left_ratio: float
    width_ratio: float


@dataclass(frozen=True, slots=True)
class SpanView:
    """One bar of the waterfall. `orphan`: its parent was not stored. `path`: the critical path through it."""

    operation_id: str
    name: str
    kind: str
    model: str | None
    tier: str | None
    status: str
    depth: int
    left_ratio: float
    width_ratio: float
    offset_ms: float
    duration_ms: float | None
    cost_usd: Decimal | None
    current: bool
    orphan: bool
    href: str
    self_ms: float
    path_ms: float
    path: list[PathPiece]


@dataclass(frozen=True, slots=True)
class TraceView:
    """`mended`: how many spans did not fit (clocks apart, no end, no parent) and were made to."""

    trace_id: str
    started_at: str
    duration_ms: float
    operations: int
    truncated: bool
    cost_usd: Decimal | None
    mended: int
    spans: list[SpanView]


@dataclass(frozen=True, slots=True)
class OperationDetail:
    """One operation with its trace, its claims and why this price."""

    op: OperationRow
    title: str
    subtitle: str
    facts: list[FactGroup]
    claims: list[ClaimView]
    reconciliation: str | None
    """What became of asking the provider for the bill; None when its bills are not fetched."""
    price: PriceView
    can_accept_claim: bool
    outcomes: list[tuple[str, str, bool]]
    attributes: list[tuple[str, str]]
    trace: TraceView | None
    back_href: str
