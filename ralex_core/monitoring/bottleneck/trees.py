"""A trace as a tree of intervals: what arrives broken is mended by fixed rules, and every mend is counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ralex_core.model.operation import Operation

ROUNDING_MS = 0.01
"""Starts are whole microseconds and durations are not: closer than this is the same moment."""


@dataclass(frozen=True, slots=True)
class Mends:
    """How many spans of a trace did not fit, and what was done about each.

    The sum of several is taken with `+`.
    """

    unfinished: int = 0
    """No duration: taken to end with their last child."""
    negative: int = 0
    """A duration below zero or not a number: taken as zero."""
    clipped: int = 0
    """Reached outside their parent, as clocks of two machines make them: cut to the parent's interval."""
    orphans: int = 0
    """Their parent is not stored: taken as a beginning of their own."""
    circles: int = 0
    """Were their own ancestors: cut loose."""
    duplicates: int = 0
    """Shared a span id: children belong to the first."""

    def __add__(self, other: Mends) -> Mends:
        return Mends(
            self.unfinished + other.unfinished,
            self.negative + other.negative,
            self.clipped + other.clipped,
            self.orphans + other.orphans,
            self.circles + other.circles,
            self.duplicates + other.duplicates,
        )

    @property
    def total(self) -> int:
        return self.unfinished + self.negative + self.clipped + self.orphans + self.circles + self.duplicates


@dataclass(slots=True)
class Tree:
    """Spans by position, parents before children; times in ms since the first start, every child within its parent.

    A trace with several beginnings hangs under one more span, the last of all, which has no operation: the whole
    extent of the trace. Its own time is time in which nothing was recorded.
    """

    trace_id: str | None
    origin_us: int
    operations: list[Operation]
    start: list[float]
    end: list[float]
    parent: list[int]
    """Position of the parent; -1 for the root."""
    children: list[list[int]]
    """By start."""
    root: int
    order: list[int]
    """Every span after its parent."""
    mends: Mends

    @property
    def duration_ms(self) -> float:
        return self.end[self.root] - self.start[self.root]

    @property
    def root_operation(self) -> Operation:
        """The operation the trace began with."""
        return self.operations[self.root if self.root < len(self.operations) else self.children[self.root][0]]


def grow(operations: Sequence[Operation]) -> Tree | None:
    """The tree of one trace's operations; None without any. Costs n log n, whatever the shape."""
    spans = sorted({op.operation_id: op for op in operations}.values(), key=lambda op: (op.started_at, op.operation_id))
    if not spans:
        return None
    origin_us = spans[0].started_at
    counts: Counter[str] = Counter()
    start = [(op.started_at - origin_us) / 1000 for op in spans]
    end = [begin + _length(op, counts) for begin, op in zip(start, spans, strict=True)]
    parent = _parents(spans, counts)
    children: list[list[int]] = [[] for _ in spans]
    roots: list[int] = []
    for position, above in enumerate(parent):
        (children[above] if above >= 0 else roots).append(position)
    root = roots[0]
    if len(roots) > 1:
        root = len(spans)
        children.append(roots)
        parent.append(-1)
        start.append(0.0)
        end.append(0.0)
        for position in roots:
            parent[position] = root
    order = [root]
    for position in order:
        order += children[position]
    for position in reversed(order):
        # what has no duration lasts as long as what it did
        if position == len(spans) or spans[position].duration_ms is None:
            end[position] = max([start[position], *(end[child] for child in children[position])])
    _clip(start, end, parent, order, counts)
    return Tree(
        trace_id=spans[0].trace_id,
        origin_us=origin_us,
        operations=spans,
        start=start,
        end=end,
        parent=parent,
        children=[sorted(below, key=lambda child: (start[child], end[child])) for below in children],
        root=root,
        order=order,
        mends=Mends(**counts),
    )


def _length(op: Operation, counts: Counter[str]) -> float:
    if op.duration_ms is None:
        counts["unfinished"] += 1
        return 0.0
    if not math.isfinite(op.duration_ms) or op.duration_ms < 0:
        counts["negative"] += 1
        return 0.0
    return op.duration_ms


def _parents(spans: Sequence[Operation], counts: Counter[str]) -> list[int]:
    """The position of each span's parent, -1 for beginnings; circles are cut where they are first entered."""
    by_span: dict[str, int] = {}
    for position, op in enumerate(spans):
        if op.span_id and by_span.setdefault(op.span_id, position) != position:
            counts["duplicates"] += 1
    parent = [-1] * len(spans)
    for position, op in enumerate(spans):
        if op.parent_span_id:
            parent[position] = by_span.get(op.parent_span_id, -1)
            counts["orphans"] += parent[position] < 0
    state = [0] * len(spans)  # 0 not seen, 1 on the way up just now, 2 known to reach a beginning
    for position in range(len(spans)):
        path: list[int] = []
        at = position
        while at >= 0 and state[at] == 0:
            state[at] = 1
            path.append(at)
            at = parent[at]
        if at >= 0 and state[at] == 1:
            parent[at] = -1
            counts["circles"] += 1
        for seen in path:
            state[seen] = 2
    return parent


def _clip(start: list[float], end: list[float], parent: list[int], order: list[int], counts: Counter[str]) -> None:
    for position in order[1:]:
        above = parent[position]
        low, high = start[above], end[above]
        begin = min(max(start[position], low), high)
        finish = min(max(end[position], begin), high)
        moved = max(abs(begin - start[position]), abs(finish - end[position]))
        counts["clipped"] += moved > ROUNDING_MS
        start[position], end[position] = begin, finish
