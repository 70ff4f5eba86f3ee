"""Queueing: an operation that is quick alone and slow when others of its kind are under way, behind a lock or a pool.

How many were under way when a call began is counted over all operations of the window, not only those in the sample.
It is compared with the call's own time *within* short stretches of time: a dependency that is merely slow has more
calls under way as well (Little's law), but not more than its neighbours of the same minute.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ralex_core.monitoring.bottleneck.finding import Evidence, Finding, affected, examples, named
from ralex_core.monitoring.bottleneck.sample import Key, Sample, Timing
from ralex_core.monitoring.bottleneck.weighted import Integers, Numbers, correlation, mapped, mean, quantile, ranks

MIN_CALLS = 40
MIN_PATH_RATIO = 0.03
"""Of all critical-path time: less cannot give a gain worth telling."""
MAX_CANDIDATES = 10
MIN_CORRELATION = 0.45
"""Spearman's, between own time and others under way, within stretches."""
MIN_GROWTH = 1.5
"""Own time with many under way ÷ alone."""
STRETCH_CALLS = 40
MAX_STRETCHES = 40
MAX_SERVERS = 32
MIN_SERVED = 10
"""On either side: those who waited and those who did not."""
MAX_MISFIT = 0.4
"""Of the logs of quantiles of time in service: half as long again."""


@dataclass(slots=True)
class _Queue:
    rows: Integers
    under_way: Numbers
    """Others of the same key when it began."""
    correlation: float
    alone_ms: float
    busy_ms: float
    wanted: Numbers
    """Own times without waiting."""
    servers: int | None
    """How many seem to be served at once; None when the times fit no number."""


def find(sample: Sample) -> list[Finding]:
    """One finding per operation that queues; what it would save if nobody had to wait. Needs `sample.timings`."""
    findings: list[Finding] = []
    for key in candidates(sample):
        timing = sample.timings.get(key)
        rows = sample.rows_of(sample.keys.index(key))
        if timing is not None:
            # what began before the known operations has an unknown number beside it
            rows = rows[sample.start_us[rows] >= timing.start_us[0]]
            queue = _queue(sample, rows, timing) if len(rows) >= MIN_CALLS else None
            if queue is not None:
                findings.append(_finding(sample, key, queue))
    return findings


def candidates(sample: Sample) -> list[Key]:
    """Operations with enough calls and enough time on critical paths to be worth the look, at most `MAX_CANDIDATES`."""
    path = np.bincount(sample.key, sample.on_path * sample.span_weight, len(sample.keys))
    calls = np.bincount(sample.key, minlength=len(sample.keys))
    chosen = np.flatnonzero((calls >= MIN_CALLS) & (path >= MIN_PATH_RATIO * path.sum()) & (path > 0))
    return [sample.keys[key] for key in chosen[np.argsort(-path[chosen], kind="stable")][:MAX_CANDIDATES].tolist()]


def under_way(timing: Timing, start_us: Numbers) -> Numbers:
    """How many of the key were running when each of these began, itself not counted."""
    begun = np.searchsorted(timing.start_us, start_us, "left")
    ended = np.searchsorted(timing.end_us, start_us, "right")
    return np.maximum(begun - ended, 0).astype(np.float64)


def _queue(sample: Sample, rows: Integers, timing: Timing) -> _Queue | None:
    own, weights, start_us = sample.own[rows], sample.span_weight[rows], sample.start_us[rows]
    others = under_way(timing, start_us)
    if others.max() < 1:
        return None
    related = _within_stretches(start_us, own, others, weights)
    few = others <= max(quantile(others, weights, 0.25), 0.0)
    many = others >= quantile(others, weights, 0.75)
    if related < MIN_CORRELATION or few.sum() < MIN_CALLS / 4 or not (many & ~few).any():
        return None
    many &= ~few
    alone_ms, busy_ms = mean(own[few], weights[few]), mean(own[many], weights[many])
    if busy_ms < MIN_GROWTH * alone_ms:
        return None
    servers, waited_ms = _served_at_once(start_us, sample.length[rows], others, weights, timing)
    if servers is None:
        wanted = np.minimum(mapped(own, weights, own[few], weights[few]), own)
    else:
        wanted = np.maximum(own - waited_ms, 0.0)
    return _Queue(rows, others, related, alone_ms, busy_ms, wanted, servers)


def _within_stretches(start_us: Numbers, own: Numbers, others: Numbers, weights: Numbers) -> float:
    """Spearman's correlation of own time and others under way, each less its mean over the stretch of time."""
    stretches = int(min(max(len(own) // STRETCH_CALLS, 1), MAX_STRETCHES))
    order = np.argsort(start_us, kind="stable")
    stretch = np.empty(len(own), dtype=np.int64)
    stretch[order] = np.arange(len(own)) * stretches // len(own)
    sums = np.bincount(stretch, weights, stretches)
    parts = [
        values - (np.bincount(stretch, weights * values, stretches) / sums)[stretch]
        for values in (ranks(own), ranks(others))
    ]
    return correlation(parts[0], parts[1], weights)


def _served_at_once(
    start_us: Numbers, length_ms: Numbers, others: Numbers, weights: Numbers, timing: Timing
) -> tuple[int | None, Numbers]:
    """The number of servers that explains the times best, and how long each then waited, in ms.

    With m servers and first come, first served, who finds n ≥ m under way begins to be served at the (n - m + 1)-th end
    after it came. With the right m, those who waited are served for as long as those who did not.
    """
    ended = np.searchsorted(timing.end_us, start_us, "right")
    best, servers, waited_ms = MAX_MISFIT, None, np.zeros(len(start_us))
    for count in range(1, int(min(others.max(), MAX_SERVERS)) + 1):
        queued = others >= count
        if min(queued.sum(), (~queued).sum()) < MIN_SERVED:
            continue
        place = np.clip(ended + others.astype(np.int64) - count, 0, len(timing.end_us) - 1)
        wait = np.where(queued, np.clip((timing.end_us[place] - start_us) / 1000, 0.0, length_ms), 0.0)
        served = length_ms - wait
        misfit = max(
            abs(
                np.log(max(quantile(served[queued], weights[queued], share), 1e-3))
                - np.log(max(quantile(served[~queued], weights[~queued], share), 1e-3))
            )
            for share in (0.15, 0.5, 0.85)
        )
        if misfit < best:
            best, servers, waited_ms = misfit, count, wait
    return servers, waited_ms


def _finding(sample: Sample, key: Key, queue: _Queue) -> Finding:
    changes = sample.with_own(queue.rows, queue.wanted)
    waited = sample.own[queue.rows] - queue.wanted
    weights = sample.span_weight[queue.rows]
    what = "a pool or a server is full"
    if queue.servers is not None:
        what = (
            "one is served at a time, as behind a lock"
            if queue.servers == 1
            else f"{queue.servers} at a time are served"
        )
    return Finding(
        cause="queueing",
        certainty="likely",
        kind=key[0],
        name=key[1],
        title=f"{queue.busy_ms / max(queue.alone_ms, 0.01):.1f} times slower when others are under way",
        advice=f"Look at what {named(*key)} waits for before it works: {what}; hold it for less time, split it, "
        "or allow more at once.",
        evidence=(
            Evidence("alone, or nearly", queue.alone_ms, "ms"),
            Evidence("with many under way", queue.busy_ms, "ms"),
            Evidence("mean wait", mean(waited, weights), "ms"),
            Evidence("others under way, mean", mean(queue.under_way, weights), "count"),
            Evidence("rank correlation with others under way", queue.correlation, "number"),
        ),
        operation_ids=examples(sample, queue.rows, waited.tolist()),
        affected_ratio=affected(sample, changes),
        gain=sample.gain(changes),
    )
