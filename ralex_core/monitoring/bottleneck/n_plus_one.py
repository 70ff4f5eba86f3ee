"""N+1 queries: the same statement again and again under one parent, where one statement could fetch all."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from ralex_core.monitoring.bottleneck.finding import Evidence, Finding, affected, examples, named
from ralex_core.monitoring.bottleneck.replay import Change
from ralex_core.monitoring.bottleneck.sample import Sample
from ralex_core.monitoring.bottleneck.trees import ROUNDING_MS, Tree
from ralex_core.monitoring.bottleneck.weighted import array, mean

MIN_REPEATS = 5
"""Fewer of the same are common where nothing is wrong: read, write, read again."""
_LITERAL = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b|\(\s*\?(?:\s*,\s*\?)+\s*\)")


def normalised(statement: str) -> str:
    """The statement without literals; senders that record statements normalised are not changed by it."""
    return " ".join(_LITERAL.sub("?", statement).split()).lower()


@dataclass(slots=True)
class _Repeated:
    """One statement repeated under one kind of parent."""

    kind: str
    name: str
    parents: set[str] = field(default_factory=set[str])
    dropped: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Trace → calls that one call would replace."""
    calls: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """(trace, how many under one parent)"""
    parent_rows: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])
    """(trace, position of the parent, calls)"""


def find(sample: Sample) -> list[Finding]:
    """One finding per statement that is repeated; what one statement in place of each run would save.

    The replacing statement is taken to cost as much as one of the calls.
    """
    found: dict[str, _Repeated] = {}
    for number, tree in enumerate(sample.trees):
        for span, below in enumerate(tree.children):
            if len(below) >= MIN_REPEATS and span < len(tree.operations):
                _look(tree, number, span, below, found)
    return [_finding(sample, repeated) for repeated in found.values()]


def _look(tree: Tree, number: int, span: int, below: list[int], found: dict[str, _Repeated]) -> None:
    same: defaultdict[str, list[int]] = defaultdict(list)
    for child in below:
        if tree.operations[child].kind == "db":
            same[normalised(tree.operations[child].name)].append(child)
    for statement, calls in same.items():
        one_by_one = [
            child for before, child in itertools.pairwise(calls) if tree.start[child] >= tree.end[before] - ROUNDING_MS
        ]
        if len(calls) < MIN_REPEATS or len(one_by_one) < len(calls) / 2:
            continue
        op = tree.operations[calls[0]]
        repeated = found.setdefault(statement, _Repeated(op.kind, op.name))
        repeated.parents.add(tree.operations[span].name)
        repeated.dropped[number].update(calls[1:])
        repeated.calls.append((number, len(calls)))
        repeated.parent_rows.append((number, span, len(calls)))


def _finding(sample: Sample, repeated: _Repeated) -> Finding:
    changes = {trace: Change(dropped=frozenset(calls)) for trace, calls in repeated.dropped.items()}
    gain = sample.gain(changes)
    weights = array([sample.weight[trace] for trace, _ in repeated.calls])
    calls = mean(array([count for _, count in repeated.calls]), weights)
    rows = np.array([sample.row(trace, span) for trace, span, _ in repeated.parent_rows])
    lengths = [
        sample.trees[trace].end[call] - sample.trees[trace].start[call]
        for trace, dropped in repeated.dropped.items()
        for call in dropped
    ]
    parent = sorted(repeated.parents)[0]
    return Finding(
        cause="n_plus_one",
        certainty="likely",
        kind=repeated.kind,
        name=repeated.name,
        title=f"The same query {calls:.0f} times in a row",
        advice=f"Look at “{parent}”: it runs {named(repeated.kind, repeated.name)} once per item; "
        "fetch all items with one query (a join, an IN list, or eager loading).",
        evidence=(
            Evidence("calls under one parent", calls, "count"),
            Evidence("time of one call", sum(lengths) / len(lengths), "ms"),
            Evidence("repeated under", parent, "text"),
        ),
        operation_ids=examples(sample, rows, [count for _, _, count in repeated.parent_rows]),
        affected_ratio=affected(sample, changes),
        gain=gain,
    )
