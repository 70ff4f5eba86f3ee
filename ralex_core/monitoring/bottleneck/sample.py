"""The traces that are looked at, laid out as columns: one row per span, one weight per trace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ralex_core.model.operation import Operation
from ralex_core.monitoring.bottleneck.critical_path import path_times, self_times
from ralex_core.monitoring.bottleneck.replay import Change, replay
from ralex_core.monitoring.bottleneck.trees import Mends, Tree, grow
from ralex_core.monitoring.bottleneck.weighted import Integers, Numbers, array, mean, quantile

Key = tuple[str, str]
"""Kind and name."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Every operation of one key in the window, also of traces that are not in the sample: what ran beside what.

    UTC microseconds, each ascending by itself: which end belongs to which start does not matter here.
    """

    start_us: Numbers
    end_us: Numbers

    @classmethod
    def of(cls, start_us: Sequence[float], end_us: Sequence[float]) -> Timing:
        """From starts and ends in any order."""
        return cls(np.sort(array(start_us)), np.sort(array(end_us)))


@dataclass(frozen=True, slots=True)
class Pressure:
    """What the machine was doing in one bucket of time; None where it was not measured."""

    start_us: int
    end_us: int
    cpu_ratio: float | None = None
    memory_ratio: float | None = None
    disk_bytes_s: float | None = None


@dataclass(frozen=True, slots=True)
class Gain:
    """What a change would save: ms of the mean and of the 95th percentile of traces, and what part of each that is."""

    mean_ms: float
    p95_ms: float
    mean_ratio: float
    p95_ratio: float

    @property
    def score(self) -> float:
        """What findings are ranked by."""
        return (self.mean_ratio + max(self.p95_ratio, 0.0)) / 2


@dataclass(slots=True)
class Sample:
    """Traces as trees, and their spans as columns of the same length.

    `weight` of a trace is how many traces it stands for. Times of spans are ms, but `start_us`.
    """

    trees: list[Tree]
    weight: Numbers
    """Per trace."""
    duration: Numbers
    """Per trace."""
    keys: list[Key]
    key: Integers
    """Per span: its place in `keys`."""
    trace: Integers
    """Per span: its place in `trees`."""
    position: Integers
    """Per span: its place in its tree."""
    own: Numbers
    """Per span: self time."""
    on_path: Numbers
    """Per span: self time on the critical path."""
    length: Numbers
    """Per span."""
    start_us: Numbers
    span_weight: Numbers
    first_row: list[int]
    """Per trace: the row of its first span."""
    mends: Mends
    timings: Mapping[Key, Timing] = field(default_factory=dict[Key, Timing])
    pressure: Sequence[Pressure] = ()

    def operation(self, row: int) -> Operation:
        return self.trees[int(self.trace[row])].operations[int(self.position[row])]

    def row(self, trace: int, position: int) -> int:
        return self.first_row[trace] + position

    def rows_of(self, key: int) -> Integers:
        return np.flatnonzero(self.key == key)

    @property
    def mean_ms(self) -> float:
        return mean(self.duration, self.weight)

    @property
    def p95_ms(self) -> float:
        return quantile(self.duration, self.weight, 0.95)

    def gain(self, changes: Mapping[int, Change]) -> Gain:
        """What the changes would save, by trace; traces without one stay as they are."""
        changed = self.duration.copy()
        for trace, change in changes.items():
            changed[trace] = replay(self.trees[trace], change)
        before, before_p95 = self.mean_ms, self.p95_ms
        saved = before - mean(changed, self.weight)
        saved_p95 = before_p95 - quantile(changed, self.weight, 0.95)
        return Gain(
            mean_ms=saved,
            p95_ms=saved_p95,
            mean_ratio=saved / before if before > 0 else 0.0,
            p95_ratio=saved_p95 / before_p95 if before_p95 > 0 else 0.0,
        )

    def with_own(self, rows: Integers, wanted: Numbers) -> dict[int, Change]:
        """Changes that give the spans of these rows the own times wanted (never longer ones), by trace."""
        factors: defaultdict[int, dict[int, float]] = defaultdict(dict)
        for row, own_ms in zip(rows.tolist(), wanted.tolist(), strict=True):
            had = float(self.own[row])
            if had > 0 and own_ms < had:
                factors[int(self.trace[row])][int(self.position[row])] = max(own_ms, 0.0) / had
        return {trace: Change(own=own) for trace, own in factors.items()}


def lay_out(
    traces: Iterable[Sequence[Operation]],
    weights: Sequence[float] | None = None,
    *,
    timings: Mapping[Key, Timing] | None = None,
    pressure: Sequence[Pressure] = (),
) -> Sample:
    """A sample of traces, each the operations of one. Without `weights` every trace stands for itself."""
    trees: list[Tree] = []
    kept: list[float] = []
    for number, operations in enumerate(traces):
        tree = grow(operations)
        if tree is not None:
            trees.append(tree)
            kept.append(1.0 if weights is None else weights[number])
    places: dict[Key, int] = {}
    first_row: list[int] = []
    columns: list[tuple[int, int, int, float, float, float, float, float]] = []
    for number, tree in enumerate(trees):
        own, on_path = self_times(tree), path_times(tree)
        first_row.append(len(columns))
        for position, op in enumerate(tree.operations):
            key = places.setdefault((op.kind, op.name), len(places))
            length = tree.end[position] - tree.start[position]
            started = tree.origin_us + tree.start[position] * 1000
            columns.append((key, number, position, own[position], on_path[position], length, started, kept[number]))
    turned = list(zip(*columns, strict=True)) or [()] * 8
    key, trace, position = (np.asarray(column, dtype=np.int64) for column in turned[:3])
    own_ms, path_ms, length_ms, start_us, span_weight = (array(column) for column in turned[3:])
    return Sample(
        trees=trees,
        weight=array(kept),
        duration=array([tree.duration_ms for tree in trees]),
        keys=list(places),
        key=key,
        trace=trace,
        position=position,
        own=own_ms,
        on_path=path_ms,
        length=length_ms,
        start_us=start_us,
        span_weight=span_weight,
        first_row=first_row,
        mends=sum((tree.mends for tree in trees), Mends()),
        timings=timings or {},
        pressure=pressure,
    )


def timings_of(operations: Iterable[Operation]) -> dict[Key, Timing]:
    """The timing of every key among all operations of a window."""
    starts: defaultdict[Key, list[float]] = defaultdict(list)
    ends: defaultdict[Key, list[float]] = defaultdict(list)
    for op in operations:
        if op.duration_ms is not None and op.duration_ms >= 0:
            starts[op.kind, op.name].append(op.started_at)
            ends[op.kind, op.name].append(op.started_at + op.duration_ms * 1000)
    return {key: Timing.of(starts[key], ends[key]) for key in starts}
