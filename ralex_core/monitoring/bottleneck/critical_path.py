"""Self times and the critical path of one trace.

The path is found backwards from the end, as Uber's CRISP does (Zhang et al., USENIX ATC 2022): at any moment a span
waits for the child that ended last before it, so the time after that child's end is the span's own, and the time
before it is the child's. Children that were still running when the path reaches them are passed by: nobody waited for
their end. Pieces do not overlap and add up to the duration of the trace.
"""

from __future__ import annotations

from typing import NamedTuple

from ralex_core.monitoring.bottleneck.trees import ROUNDING_MS, Tree


class Piece(NamedTuple):
    """A stretch of the critical path: ms since the first start, and the span whose own time it is."""

    span: int
    start_ms: float
    end_ms: float


def self_times(tree: Tree) -> list[float]:
    """Per span: its duration minus the union of its children's intervals, in ms."""
    found = [0.0] * len(tree.start)
    for span in tree.order:
        covered, reach = 0.0, tree.start[span]
        for child in tree.children[span]:
            begin, finish = max(tree.start[child], reach), tree.end[child]
            if finish > begin:
                covered += finish - begin
                reach = finish
        found[span] = max(tree.end[span] - tree.start[span] - covered, 0.0)
    return found


def critical_path(tree: Tree) -> list[Piece]:
    """The pieces that add up to the trace's duration, by time; empty for a trace of no length."""
    pieces: list[Piece] = []
    ending = {
        span: sorted(below, key=lambda child: -tree.end[child]) for span, below in enumerate(tree.children) if below
    }
    stack = [(tree.root, tree.end[tree.root], 0)]
    while stack:
        span, until, nth = stack.pop()
        below = ending.get(span, [])
        while nth < len(below) and not _waited_for(tree, below[nth], until):
            nth += 1
        since = min(tree.end[below[nth]], until) if nth < len(below) else tree.start[span]
        if until > since:
            pieces.append(Piece(span, since, until))
        if nth < len(below):
            child = below[nth]
            stack += [(span, tree.start[child], nth + 1), (child, since, 0)]
    return pieces[::-1]


def _waited_for(tree: Tree, child: int, until: float) -> bool:
    """Whether the child had ended by then, to the rounding of starts, and lasted."""
    return tree.start[child] < min(tree.end[child], until) and tree.end[child] <= until + ROUNDING_MS


def path_times(tree: Tree) -> list[float]:
    """Per span: its time on the critical path, in ms. The sum is the trace's duration.

    It exceeds the self time of a span that went on while a child ran beside it.
    """
    found = [0.0] * len(tree.start)
    for span, start_ms, end_ms in critical_path(tree):
        found[span] += end_ms - start_ms
    return found
