"""Slow start of streams: most of a model's time passes before the first token, so nobody sees anything happen."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from ralex_core.monitoring.bottleneck.finding import Evidence, Finding, affected, examples
from ralex_core.monitoring.bottleneck.sample import Sample
from ralex_core.monitoring.bottleneck.weighted import Integers, array, mean, quantile

MIN_CALLS = 20
MIN_FIRST_TOKEN_RATIO = 0.6
"""Of a call's time, on average."""
MIN_FIRST_TOKEN_MS = 1500.0
"""People notice a wait from about a second on (Nielsen, Usability Engineering, 1993)."""


def find(sample: Sample) -> list[Finding]:
    """One finding per provider and model; what it would save if every stream started like its quickest quarter."""
    groups: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    for row in range(len(sample.key)):
        kind, name = sample.keys[int(sample.key[row])]
        if kind != "llm" or sample.own[row] <= 0:
            continue
        op = sample.operation(row)
        if op.ttft_ms is not None and 0 < op.ttft_ms <= sample.length[row]:
            groups[name, op.provider or "", op.model or ""].append(row)
    findings = [
        _finding(sample, name, provider, model, np.array(rows)) for (name, provider, model), rows in groups.items()
    ]
    return [finding for finding in findings if finding is not None]


def _finding(sample: Sample, name: str, provider: str, model: str, rows: Integers) -> Finding | None:
    if len(rows) < MIN_CALLS:
        return None
    weights, own = sample.span_weight[rows], sample.own[rows]
    first = array([sample.operation(row).ttft_ms or 0.0 for row in rows.tolist()])
    first_ms, share = mean(first, weights), mean(first, weights) / mean(sample.length[rows], weights)
    if first_ms < MIN_FIRST_TOKEN_MS or share < MIN_FIRST_TOKEN_RATIO:
        return None
    quick_ms = quantile(first, weights, 0.25)
    saved = np.maximum(first - quick_ms, 0.0)
    changes = sample.with_own(rows, np.maximum(own - saved, 0.0))
    whom = " ".join(part for part in (provider, model) if part) or name
    return Finding(
        cause="slow_first_token",
        certainty="possible",
        kind="llm",
        name=name,
        title=f"{100 * share:.0f} % of the time of {whom} passes before the first token",
        advice=f"Look at what {whom} gets before it answers: a long prompt without a cached prefix, a queue at the "
        "provider, or reasoning; cache the prefix, shorten it, or ask for less reasoning.",
        evidence=(
            Evidence("first token after", first_ms, "ms"),
            Evidence("share of the call", share, "ratio"),
            Evidence("quickest quarter starts within", quick_ms, "ms"),
        ),
        operation_ids=examples(sample, rows, first.tolist()),
        affected_ratio=affected(sample, changes),
        gain=sample.gain(changes),
    )
