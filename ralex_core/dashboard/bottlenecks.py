"""Bottlenecks as pages and the API show them, remembered for as long as they cannot have changed much."""

from __future__ import annotations

import functools
from collections.abc import Callable

from ralex_core.dashboard.contexts.traces import (
    BottlenecksView,
    EvidenceView,
    Example,
    FindingView,
    GainView,
    HotSpotView,
)
from ralex_core.dashboard.host import Host
from ralex_core.dashboard.params import View, href
from ralex_core.dashboard.questions import Remembered
from ralex_core.dashboard.rows import operation_href
from ralex_core.monitoring.bottleneck.finding import Evidence, Finding
from ralex_core.monitoring.bottleneck.hot_spots import HotSpot
from ralex_core.monitoring.bottleneck.sample import Gain
from ralex_core.monitoring.bottleneck.trees import Mends
from ralex_core.monitoring.bottlenecks import Bottlenecks, find_bottlenecks
from ralex_core.render import count, duration, percent, ratio

REMEMBER_S = 30.0
"""An analysis takes a good part of a second, and half a minute of traffic changes little in it."""

LABELS = {
    "n_plus_one": "N+1 queries",
    "queueing": "Queueing",
    "retries": "Retries",
    "serial_calls": "Serial calls",
    "slow_provider": "Slow dependency",
    "slow_first_token": "Slow first token",
    "resource_pressure": "Resource pressure",
}


class RememberedBottlenecks:
    """Finds bottlenecks. One per application; safe to use from several threads."""

    def __init__(self, host: Host, exact: Callable[[int], str]) -> None:
        self._host = host
        self._exact = exact
        self._answers = Remembered(host.clock, REMEMBER_S, entries=16)

    def get(self, view: View) -> BottlenecksView:
        """The bottlenecks of a range and filters, at most half a minute old."""
        key = (self._host.demo_active, view.query)
        find = functools.partial(find_bottlenecks, self._host.active_store(), view.scope)
        return bottlenecks_view(self._answers.get(key, find), view, self._exact)

    def forget(self) -> None:
        self._answers.forget()


def bottlenecks_view(found: Bottlenecks, view: View, exact: Callable[[int], str]) -> BottlenecksView:
    return BottlenecksView(
        traces=found.traces,
        traces_looked_at=found.traces_looked_at,
        spans_looked_at=found.spans_looked_at,
        mean_ms=found.mean_ms,
        p95_ms=found.p95_ms,
        findings=[finding_view(finding, exact) for finding in found.findings],
        hot_spots=[hot_spot_view(spot, view.range_pairs()) for spot in found.hot_spots],
        notes=_notes(found),
    )


def finding_view(finding: Finding, exact: Callable[[int], str]) -> FindingView:
    return FindingView(
        cause=finding.cause,
        label=LABELS[finding.cause],
        certainty=finding.certainty,
        kind=finding.kind,
        name=finding.name,
        title=finding.title,
        advice=finding.advice,
        evidence=[
            EvidenceView(evidence.label, evidence.value, evidence.unit, _text(evidence, exact))
            for evidence in finding.evidence
        ],
        examples=[Example(one, operation_href(one)) for one in finding.operation_ids],
        affected_ratio=finding.affected_ratio,
        gain=_gain(finding.gain),
    )


def hot_spot_view(spot: HotSpot, pairs: list[tuple[str, str]]) -> HotSpotView:
    return HotSpotView(
        kind=spot.kind,
        name=spot.name,
        path_ms=spot.path_ms,
        path_ratio=spot.path_ratio,
        self_ms=spot.self_ms,
        calls=spot.calls,
        p95_share_ratio=spot.p95_share_ratio,
        halved=_gain(spot.halved),
        href=href("/operations", [*pairs, ("kind", spot.kind), ("name", spot.name), ("sort", "duration_ms")]),
    )


def _gain(gain: Gain) -> GainView:
    return GainView(gain.mean_ms, gain.p95_ms, gain.mean_ratio, gain.p95_ratio)


def _text(evidence: Evidence, exact: Callable[[int], str]) -> str:
    if isinstance(evidence.value, str):
        return evidence.value
    written: dict[str, Callable[[float], str]] = {
        "ms": duration,
        "ratio": percent,
        "times": ratio,
        "number": lambda value: f"{value:.2f}",
        "moment": lambda value: exact(round(value)),
    }
    fallback: Callable[[float], str] = lambda value: count(value) if value >= 10 else f"{value:.3g}"  # noqa: E731
    return written.get(evidence.unit, fallback)(evidence.value)


def _notes(found: Bottlenecks) -> list[str]:
    notes: list[str] = []
    if found.traces > found.traces_looked_at:
        notes.append(f"{found.traces_looked_at:,} of {found.traces:,} traces were looked at, slow ones more often.")
    if found.traces_too_large:
        notes.append(f"{found.traces_too_large:,} traces were too large for the sample.")
    return notes + mended(found.mends)


def mended(mends: Mends) -> list[str]:
    """What did not fit in the data, in words."""
    told = (
        (mends.clipped, "reached outside their parent (clocks apart) and were cut to it"),
        (mends.unfinished, "have no end and last as long as what they did"),
        (mends.negative, "had an impossible duration and count as zero"),
        (mends.orphans, "have a parent that is not stored"),
        (mends.circles, "were their own ancestors and were cut loose"),
        (mends.duplicates, "share a span id with another"),
    )
    return [f"{number:,} spans {what}." for number, what in told if number]
