"""What a trace would have taken if some of its spans had been quicker, absent, or side by side.

The recorded schedule tells what waited for what: a child began after every sibling that had ended by then and after
the start of the sibling before it, plus a gap; a parent ended after its last child plus a tail. With these waits kept
and some lengths changed, the trace is laid out again. It is the what-if of critical path analysis (CRISP) and of
virtual speed-ups (Curtsinger & Berger, "Coz", SOSP 2015), done on a recorded trace. A wait that was a coincidence is
kept as well, so gains are rather under- than overstated.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field

from ralex_core.monitoring.bottleneck.trees import ROUNDING_MS, Tree


@dataclass(slots=True)
class Change:
    """What is different. Spans by their position in the tree."""

    own: Mapping[int, float] = field(default_factory=dict[int, float])
    """Own time of a span × this factor."""
    dropped: frozenset[int] = frozenset()
    """These spans, with everything below them, do not happen."""
    at_once: frozenset[int] = frozenset()
    """No gap before these spans: a pause that belonged to what is dropped."""
    beside: Mapping[int, int] = field(default_factory=dict[int, int])
    """Span → the sibling before it that it no longer waits for: it starts when that one has started."""

    def touched(self) -> set[int]:
        return {*self.own, *self.dropped, *self.at_once, *self.beside}


def replay(tree: Tree, change: Change) -> float:
    """The trace's duration in ms with the change; without one, exactly the recorded duration."""
    dirty = set[int]()
    for span in change.touched():
        while span >= 0 and span not in dirty:
            dirty.add(span)
            span = tree.parent[span]
    if tree.root not in dirty:
        return tree.duration_ms
    length: dict[int, float] = {}
    for span in reversed(tree.order):
        if span in dirty:
            length[span] = 0.0 if span in change.dropped else _laid_out(tree, span, change, length)
    return length[tree.root]


def _laid_out(tree: Tree, span: int, change: Change, length: Mapping[int, float]) -> float:
    """The span's new length, its children's new lengths being known; those that are absent did not change."""
    factor = change.own.get(span, 1.0)
    start, end = tree.start, tree.end
    origin = start[span]
    if not tree.children[span]:
        return (end[span] - origin) * factor
    running: list[tuple[float, float]] = []  # (recorded end, new end) of children, those that end first on top
    ended = new_ended = latest = new_latest = 0.0  # among children ended by now; among all so far
    before = new_before = 0.0  # start of the sibling before
    started: dict[int, float] = {}
    for child in tree.children[span]:
        begin = start[child] - origin
        while running and running[0][0] <= begin + ROUNDING_MS:
            old_end, new_end = heapq.heappop(running)
            ended = old_end if old_end > ended else ended
            new_ended = new_end if new_end > new_ended else new_ended
        gap = begin - (ended if ended > before else before)
        if gap < 0 or child in change.at_once:
            gap = 0.0
        elif latest <= begin + ROUNDING_MS:
            gap *= factor  # nobody else was running: it is the span's own time
        if child in change.beside:
            new_begin = started[change.beside[child]] + gap
        else:
            new_begin = (new_ended if new_ended > new_before else new_before) + gap
        started[child] = new_begin
        old_end = end[child] - origin
        new_end = new_begin + (length[child] if child in length else end[child] - start[child])
        heapq.heappush(running, (old_end, new_end))
        latest = old_end if old_end > latest else latest
        new_latest = new_end if new_end > new_latest else new_latest
        before, new_before = begin, new_begin
    return new_latest + max(end[span] - origin - latest, 0.0) * factor
