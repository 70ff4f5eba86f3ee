"""Where the time goes, whatever the cause: critical-path self time per kind and name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ralex_core.monitoring.bottleneck.replay import Change
from ralex_core.monitoring.bottleneck.sample import Gain, Sample
from ralex_core.monitoring.bottleneck.weighted import quantile

SLOW = 0.95
TYPICAL = (0.25, 0.75)
MAX_HOT_SPOTS = 12


@dataclass(frozen=True, slots=True)
class HotSpot:
    """One kind and name. Times are ms per trace, over all traces."""

    kind: str
    name: str
    path_ms: float
    """Self time on the critical path."""
    path_ratio: float
    """Share of all traces' time."""
    self_ms: float
    """Self time, on the critical path or beside it."""
    calls: float
    """Per trace."""
    p95_share_ratio: float | None
    """What part of the slow traces' time over the typical is due to it; below 0: it is quicker in them. The shares of
    all operations add up to 1, with the time in which nothing was recorded. None when all traces are alike."""
    halved: Gain
    """What it would save if all its own times were halved."""


def hot_spots(sample: Sample, limit: int = MAX_HOT_SPOTS) -> list[HotSpot]:
    """The operations with the most self time on critical paths, at most `limit`."""
    traces = float(sample.weight.sum())
    if traces <= 0 or not len(sample.key):
        return []
    keys = len(sample.keys)
    path = np.bincount(sample.key, sample.on_path * sample.span_weight, keys)
    own = np.bincount(sample.key, sample.own * sample.span_weight, keys)
    calls = np.bincount(sample.key, sample.span_weight, keys)
    shares = p95_shares(sample)
    total = sample.mean_ms * traces
    found: list[HotSpot] = []
    for place in np.argsort(-path, kind="stable")[:limit]:
        key = int(place)
        if path[key] <= 0:
            break
        kind, name = sample.keys[key]
        found.append(
            HotSpot(
                kind=kind,
                name=name,
                path_ms=float(path[key]) / traces,
                path_ratio=float(path[key]) / total,
                self_ms=float(own[key]) / traces,
                calls=float(calls[key]) / traces,
                p95_share_ratio=None if shares is None else float(shares[key]),
                halved=sample.gain(halved(sample, key)),
            )
        )
    return found


def halved(sample: Sample, key: int) -> dict[int, Change]:
    """Every own time of the key × ½, by trace."""
    rows = sample.rows_of(key)
    return sample.with_own(rows, sample.own[rows] / 2)


def p95_shares(sample: Sample) -> list[float] | None:
    """Per key: (mean path time in slow traces − in typical ones) ÷ (mean duration of slow − of typical traces).

    Slow traces are those from the 95th percentile on, typical ones the middle half. None when they do not differ.
    """
    slow = sample.duration >= quantile(sample.duration, sample.weight, SLOW)
    low, high = (quantile(sample.duration, sample.weight, share) for share in TYPICAL)
    typical = (sample.duration >= low) & (sample.duration <= high)
    parts: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    means: list[float] = []
    for chosen in (slow, typical):
        weight = np.where(chosen, sample.weight, 0.0)
        total = float(weight.sum())
        if total <= 0:
            return None
        parts.append(np.bincount(sample.key, sample.on_path * weight[sample.trace], len(sample.keys)) / total)
        means.append(float((sample.duration * weight).sum()) / total)
    excess = means[0] - means[1]
    return ((parts[0] - parts[1]) / excess).tolist() if excess > 1e-9 else None
