"""Resource pressure: minutes in which the machine ran short of something, and what was slower in them.

Only what coincides is known. Own times of each operation in the minutes of pressure are compared with those in calm
minutes; operations that are not slower then (a remote call, say) are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ralex_core.monitoring.bottleneck.finding import Evidence, Finding, affected, examples, named
from ralex_core.monitoring.bottleneck.sample import Pressure, Sample
from ralex_core.monitoring.bottleneck.weighted import Integers, Numbers, Truths, mapped, mean

MIN_CALLS = 10
"""In minutes of pressure and in calm ones."""
MIN_SLOWER = 1.2
MIN_T = 4.0


@dataclass(frozen=True, slots=True)
class _Resource:
    name: str
    read: Callable[[Pressure], float | None]
    high: Callable[[Numbers], float]
    """What is pressure, from all readings."""
    low: Callable[[Numbers], float]
    """Up to where it is calm."""
    advice: str


def _fixed(value: float) -> Callable[[Numbers], float]:
    return lambda _: value


def _busy_disk(readings: Numbers) -> float:
    return max(4 * float(np.median(readings)), 50e6)


_RESOURCES = (
    _Resource(
        "CPU",
        lambda reading: reading.cpu_ratio,
        _fixed(0.85),
        _fixed(0.75),
        "see which process takes the CPU then, move it, give it a lower priority, or add cores",
    ),
    _Resource(
        "memory",
        lambda reading: reading.memory_ratio,
        _fixed(0.92),
        _fixed(0.85),
        "see which process holds the memory, and whether the machine swaps",
    ),
    _Resource(
        "disk",
        lambda reading: reading.disk_bytes_s,
        _busy_disk,
        lambda readings: _busy_disk(readings) / 2,
        "see what reads or writes so much then: a backup, an import, a missing index",
    ),
)


def find(sample: Sample) -> list[Finding]:
    """One finding per resource that was short; what it would save if those minutes were like the calm ones."""
    if not sample.pressure or not len(sample.own):
        return []
    findings: list[Finding] = []
    for resource in _RESOURCES:
        high, calm = _minutes(sample, resource)
        if high.any() and calm.any():
            finding = _finding(sample, resource, high, calm)
            if finding is not None:
                findings.append(finding)
    return findings


def _minutes(sample: Sample, resource: _Resource) -> tuple[Truths, Truths]:
    """Per span: whether it began under pressure, and whether it began in calm."""
    buckets = [(reading, value) for reading in sample.pressure if (value := resource.read(reading)) is not None]
    nothing = np.zeros(len(sample.own), dtype=bool)
    if not buckets:
        return nothing, nothing
    values = np.array([value for _, value in buckets])
    starts = np.array([reading.start_us for reading, _ in buckets])
    ends = np.array([reading.end_us for reading, _ in buckets])
    place = np.searchsorted(starts, sample.start_us, "right") - 1
    inside = (place >= 0) & (sample.start_us < ends[np.maximum(place, 0)])
    reading = values[np.maximum(place, 0)]
    return inside & (reading >= resource.high(values)), inside & (reading < resource.low(values))


def _finding(sample: Sample, resource: _Resource, high: Truths, calm: Truths) -> Finding | None:
    slowed: list[Integers] = []
    wanted: list[Numbers] = []
    slower: list[tuple[float, float, int]] = []  # (time lost, times slower, key)
    for number in range(len(sample.keys)):
        mine = (sample.key == number) & (sample.own > 0)
        under, without = np.flatnonzero(mine & high), np.flatnonzero(mine & calm)
        times = _slower(sample, under, without)
        if times is None:
            continue
        own, weights = sample.own[under], sample.span_weight[under]
        quicker = np.minimum(mapped(own, weights, sample.own[without], sample.span_weight[without]), own)
        slowed.append(under)
        wanted.append(quicker)
        slower.append((float(((own - quicker) * weights).sum()), times, number))
    if not slowed:
        return None
    rows, own_ms = np.concatenate(slowed), np.concatenate(wanted)
    changes = sample.with_own(rows, own_ms)
    _, times, number = max(slower)
    kind, name = sample.keys[number]
    pressed = float(sample.span_weight[np.flatnonzero(high)].sum()) / float(sample.span_weight.sum())
    return Finding(
        cause="resource_pressure",
        certainty="likely",
        kind=kind,
        name=name,
        title=f"{len(slowed)} operation{'s are' if len(slowed) > 1 else ' is'} slower while {resource.name} is short",
        advice=f"Look at {resource.name} in those minutes: {resource.advice}; "
        f"most is lost in {named(kind, name)}. It coincides, which is not proof.",
        evidence=(
            Evidence("operations slower then", len(slowed), "count"),
            Evidence("own time of the first, then against calm", times, "times"),
            Evidence("share of the work done in such minutes", pressed, "ratio"),
        ),
        operation_ids=examples(sample, rows, (sample.own[rows] - own_ms).tolist()),
        affected_ratio=affected(sample, changes),
        gain=sample.gain(changes),
    )


def _slower(sample: Sample, under: Integers, without: Integers) -> float | None:
    """How many times slower under pressure; None when there is too little to say, or no clear difference."""
    if len(under) < MIN_CALLS or len(without) < MIN_CALLS:
        return None
    here, there = sample.own[under], sample.own[without]
    here_weights, there_weights = sample.span_weight[under], sample.span_weight[without]
    a, b = mean(here, here_weights), mean(there, there_weights)
    spread = mean((here - a) ** 2, here_weights) / len(under) + mean((there - b) ** 2, there_weights) / len(without)
    t = (a - b) / max(spread, 1e-12) ** 0.5
    return a / b if b > 0 and a >= MIN_SLOWER * b and t >= MIN_T else None
