"""A provider, service or database that is slower than its peers, or than it was before.

Three comparisons, the first that holds counts: calls of the same model through other providers; a stretch of the
window in which the same calls are slower than in the rest of it (the stretch with the largest shift of mean log time
among all stretches: a scan, Kulldorff 1997; the mean log time is that of log-normal durations); the time before the
window.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ralex_core.monitoring.bottleneck.finding import Evidence, Finding, affected, examples, named
from ralex_core.monitoring.bottleneck.sample import Sample
from ralex_core.monitoring.bottleneck.weighted import Integers, Numbers, mapped, mean, quantile

KINDS = ("llm", "api", "db")
MIN_CALLS = 20
"""On either side of a comparison."""
MIN_SLOWER = 1.4
MIN_T = 6.0
"""Of the difference of mean logs: many stretches are tried, and durations of neighbours are alike."""
BINS = 24
MIN_PATH_RATIO = 0.03

Dependency = tuple[str, str, str, str]
"""Kind, name, provider, model."""


@dataclass(slots=True)
class _Slow:
    rows: Integers
    """The slow calls."""
    wanted: Numbers
    """Their own times as the comparison has them."""
    times: float
    compared_ms: float
    compared_with: str
    span: tuple[float, float] | None = None
    """UTC microseconds, when only a stretch is slow."""


def find(sample: Sample, history: Mapping[Dependency, Numbers] | None = None) -> list[Finding]:
    """One finding per dependency that is slow; what it would save if it were as quick as what it is compared with.

    `history` holds evenly spaced quantiles of times before the window: of models under ("llm", "", provider, model), of
    other calls under (kind, name, "", "").
    """
    groups = _dependencies(sample)
    total = float((sample.on_path * sample.span_weight).sum())
    findings: list[Finding] = []
    for dependency, rows in groups.items():
        if (
            len(rows) < MIN_CALLS
            or float((sample.on_path[rows] * sample.span_weight[rows]).sum()) < MIN_PATH_RATIO * total
        ):
            continue
        slow = (
            _than_peers(sample, dependency, groups)
            or _than_rest(sample, rows)
            or _than_before(sample, rows, (history or {}).get(_as_history(dependency)))
        )
        if slow is not None:
            findings.append(_finding(sample, dependency, slow))
    return findings


def _dependencies(sample: Sample) -> dict[Dependency, Integers]:
    """Rows of calls that have nothing below them and something above, by what they call."""
    found: defaultdict[Dependency, list[int]] = defaultdict(list)
    for row in range(len(sample.key)):
        kind, name = sample.keys[int(sample.key[row])]
        if kind not in KINDS:
            continue
        tree, position = sample.trees[int(sample.trace[row])], int(sample.position[row])
        if tree.children[position] or sample.own[row] <= 0:
            continue
        op = tree.operations[position]
        if kind == "llm" or tree.parent[position] >= 0:
            found[kind, name, op.provider or "", op.model or ""].append(row)
    return {dependency: np.array(rows) for dependency, rows in found.items()}


def _as_history(dependency: Dependency) -> Dependency:
    """Models are known by provider and model, everything else by name, as rollups keep them."""
    kind, name, provider, model = dependency
    return (kind, "", provider, model) if kind == "llm" else (kind, name, "", "")


def _shift(sample: Sample, slow: Integers, other: Integers) -> tuple[float, float]:
    """How many times slower, as the ratio of geometric means, and Welch's t of the logs."""
    logs, weights = np.log(sample.own[slow]), sample.span_weight[slow]
    other_logs, other_weights = np.log(sample.own[other]), sample.span_weight[other]
    here, there = mean(logs, weights), mean(other_logs, other_weights)
    spread = mean((logs - here) ** 2, weights) / len(slow) + mean((other_logs - there) ** 2, other_weights) / len(other)
    return float(np.exp(here - there)), (here - there) / max(spread, 1e-12) ** 0.5


def _slow(sample: Sample, rows: Integers, other: Integers, compared_with: str) -> _Slow | None:
    if len(rows) < MIN_CALLS or len(other) < MIN_CALLS:
        return None
    times, t = _shift(sample, rows, other)
    if times < MIN_SLOWER or t < MIN_T:
        return None
    own, weights = sample.own[rows], sample.span_weight[rows]
    wanted = np.minimum(mapped(own, weights, sample.own[other], sample.span_weight[other]), own)
    return _Slow(rows, wanted, times, quantile(sample.own[other], sample.span_weight[other], 0.5), compared_with)


def _than_peers(sample: Sample, dependency: Dependency, groups: Mapping[Dependency, Integers]) -> _Slow | None:
    """The same model through other providers."""
    kind, name, provider, model = dependency
    if not provider or not model:
        return None
    peers = [
        rows
        for (a_kind, a_name, a_provider, a_model), rows in groups.items()
        if (a_kind, a_name, a_model) == (kind, name, model) and a_provider not in ("", provider)
    ]
    if not peers:
        return None
    return _slow(sample, groups[dependency], np.concatenate(peers), f"{model} through other providers")


def _than_rest(sample: Sample, rows: Integers) -> _Slow | None:
    """The stretch of the window that is slowest against the rest of it."""
    if len(rows) < 2 * MIN_CALLS:
        return None
    ordered = rows[np.argsort(sample.start_us[rows], kind="stable")]
    logs, weights = np.log(sample.own[ordered]), sample.span_weight[ordered]
    edges = np.linspace(0, len(ordered), min(BINS, len(ordered) // 4) + 1).astype(np.int64)
    sums = np.concatenate(([0.0], np.cumsum(weights)))[edges]
    values = np.concatenate(([0.0], np.cumsum(weights * logs)))[edges]
    best, chosen = 0.0, None
    for first in range(len(edges) - 1):
        for last in range(first + 1, len(edges)):
            inside, size = sums[last] - sums[first], edges[last] - edges[first]
            outside = sums[-1] - inside
            if size < MIN_CALLS or len(ordered) - size < MIN_CALLS or inside <= 0 or outside <= 0:
                continue
            shift = (values[last] - values[first]) / inside - (values[-1] - values[last] + values[first]) / outside
            score = shift * (inside * outside / sums[-1]) ** 0.5
            if score > best:
                best, chosen = float(score), (int(edges[first]), int(edges[last]))
    if chosen is None:
        return None
    inside_rows = ordered[chosen[0] : chosen[1]]
    slow = _slow(
        sample, inside_rows, np.concatenate((ordered[: chosen[0]], ordered[chosen[1] :])), "the rest of the time"
    )
    if slow is not None:
        slow.span = (float(sample.start_us[inside_rows[0]]), float(sample.start_us[inside_rows[-1]]))
    return slow


def _than_before(sample: Sample, rows: Integers, history: Numbers | None) -> _Slow | None:
    if history is None or len(history) < 3 or history.min() <= 0:
        return None
    own, weights = sample.own[rows], sample.span_weight[rows]
    times = float(np.exp(mean(np.log(own), weights) - np.log(history).mean()))
    if times < MIN_SLOWER:
        return None
    wanted = np.minimum(mapped(own, weights, history, np.ones(len(history))), own)
    return _Slow(rows, wanted, times, float(np.median(history)), "the time before")


def _finding(sample: Sample, dependency: Dependency, slow: _Slow) -> Finding:
    kind, name, provider, model = dependency
    changes = sample.with_own(slow.rows, slow.wanted)
    saved = sample.own[slow.rows] - slow.wanted
    whom = " ".join(part for part in (provider, model) if part) or named(kind, name)
    weights = sample.span_weight[slow.rows]
    return Finding(
        cause="slow_provider",
        certainty="likely",
        kind=kind,
        name=name,
        title=f"{whom} is {slow.times:.1f} times slower than {slow.compared_with}",
        advice=f"Look at {whom}: its status page, its region and your rate limits; send the calls elsewhere meanwhile.",
        evidence=(
            Evidence("median now", quantile(sample.own[slow.rows], weights, 0.5), "ms"),
            Evidence(f"median of {slow.compared_with}", slow.compared_ms, "ms"),
            Evidence("times slower", slow.times, "times"),
            Evidence("slow calls looked at", len(slow.rows), "count"),
            *(
                (Evidence("slow from", slow.span[0], "moment"), Evidence("slow until", slow.span[1], "moment"))
                if slow.span
                else ()
            ),
        ),
        operation_ids=examples(sample, slow.rows, saved.tolist()),
        affected_ratio=affected(sample, changes),
        gain=sample.gain(changes),
    )
