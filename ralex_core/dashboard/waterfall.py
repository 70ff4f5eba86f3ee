"""The waterfall of a trace, with its critical path: for the page of an operation, the page of a trace, and the API."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

from ralex_core.dashboard.contexts.operations import PathPiece, SpanView, TraceView
from ralex_core.dashboard.rows import operation_href
from ralex_core.model.operation import Operation
from ralex_core.monitoring.bottleneck.critical_path import critical_path, self_times
from ralex_core.monitoring.bottleneck.trees import Tree, grow
from ralex_core.render import to_iso

MAX_SPANS = 500
"""A trace is drawn up to this many operations; a waterfall with more is not read."""
MIN_WIDTH_RATIO = 0.002
"""Narrower bars could not be seen."""


def trace_view(operations: Sequence[Operation], current_id: str) -> TraceView | None:
    """A waterfall: parents before children, siblings by start time, every bar relative to the whole trace.

    Bars are drawn as recorded; the critical path is that of the mended tree. The first `MAX_SPANS` are drawn.
    """
    tree = grow(operations)
    if tree is None:
        return None
    start_us = tree.origin_us
    end_us = max(op.started_at + round(_length_ms(op) * 1000) for op in tree.operations)
    length_us = max(end_us - start_us, 1)
    costs = [op.cost_usd for op in tree.operations if op.cost_usd is not None]
    own = self_times(tree)
    path: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    for piece in critical_path(tree):
        path[piece.span].append((piece.start_ms, piece.end_ms))
    spans: list[SpanView] = []
    for position, depth in _in_order(tree)[:MAX_SPANS]:
        op = tree.operations[position]
        orphan = bool(op.parent_span_id) and not 0 <= tree.parent[position] < len(tree.operations)
        spans.append(
            _span(op, depth, orphan, start_us, length_us, op.operation_id == current_id, own[position], path[position])
        )
    return TraceView(
        trace_id=tree.operations[0].trace_id or "",
        started_at=to_iso(start_us) or "",
        duration_ms=length_us / 1000,
        operations=len(tree.operations),
        truncated=len(tree.operations) > len(spans) or len(operations) >= MAX_SPANS,
        cost_usd=sum(costs, Decimal(0)) if costs else None,
        mended=tree.mends.total,
        spans=spans,
    )


def _length_ms(op: Operation) -> float:
    """What is drawn: nothing for a duration that cannot be."""
    known = op.duration_ms is not None and 0 <= op.duration_ms < float("inf")
    return op.duration_ms if known and op.duration_ms is not None else 0.0


def _in_order(tree: Tree) -> list[tuple[int, int]]:
    """(position, depth), parents before children."""
    count = len(tree.operations)
    ordered: list[tuple[int, int]] = []
    stack = [(tree.root, 0 if tree.root < count else -1)]
    while stack:
        position, depth = stack.pop()
        if position < count:
            ordered.append((position, depth))
        stack += [(child, depth + 1) for child in reversed(tree.children[position])]
    return ordered


def _span(
    op: Operation,
    depth: int,
    orphan: bool,
    start_us: int,
    length_us: int,
    current: bool,
    own_ms: float,
    path: Sequence[tuple[float, float]],
) -> SpanView:
    offset_us = op.started_at - start_us
    width = max(_length_ms(op) * 1000 / length_us, MIN_WIDTH_RATIO)
    left = min(offset_us / length_us, 1 - MIN_WIDTH_RATIO)
    return SpanView(
        operation_id=op.operation_id,
        name=op.name,
        kind=op.kind,
        model=op.model,
        tier=op.tier,
        status=op.status,
        depth=depth,
        left_ratio=round(left, 5),
        width_ratio=round(min(width, 1 - left), 5),
        offset_ms=offset_us / 1000,
        duration_ms=op.duration_ms,
        cost_usd=op.cost_usd,
        current=current,
        orphan=orphan,
        href=operation_href(op.operation_id),
        self_ms=round(own_ms, 3),
        path_ms=round(sum(end - start for start, end in path), 3),
        path=[
            PathPiece(round(start * 1000 / length_us, 5), round((end - start) * 1000 / length_us, 5))
            for start, end in path
        ],
    )
