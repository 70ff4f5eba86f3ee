"""Retries: calls that failed and were made again under one parent, with the pauses between."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ralex_core.monitoring.bottleneck.finding import Evidence, Finding, affected, examples, named
from ralex_core.monitoring.bottleneck.replay import Change
from ralex_core.monitoring.bottleneck.sample import Key, Sample
from ralex_core.monitoring.bottleneck.trees import ROUNDING_MS, Tree

_NAMELESS = "no error type"


@dataclass(slots=True)
class _Retried:
    failed: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Trace → attempts that failed and were followed by another."""
    again: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Trace → attempts that followed one."""
    errors: Counter[str] = field(default_factory=Counter[str])
    weight: float = 0.0
    """Weighted attempts that failed and were followed by another."""


def find(sample: Sample) -> list[Finding]:
    """One finding per operation that is retried; what it would save if the first attempt succeeded."""
    found: defaultdict[Key, _Retried] = defaultdict(_Retried)
    for number, tree in enumerate(sample.trees):
        for below in tree.children:
            for chain in chains(tree, below):
                op = tree.operations[chain[0]]
                retried = found[op.kind, op.name]
                retried.failed[number].update(chain[:-1])
                retried.again[number].update(chain[1:])
                retried.weight += float(sample.weight[number]) * (len(chain) - 1)
                retried.errors.update(tree.operations[one].error_type or _NAMELESS for one in chain[:-1])
    return [_finding(sample, key, retried) for key, retried in found.items()]


def chains(tree: Tree, below: list[int]) -> Iterator[list[int]]:
    """Attempts at the same call among siblings: each begins after the one before it had ended with an error.

    When something else was begun in between, it is a new try after a repair, unless the sender numbers attempts.
    """
    open_chains: dict[Key, list[int]] = {}
    begun = float("-inf")  # when the sibling before began
    for child in below:
        op = tree.operations[child]
        chain = open_chains.get((op.kind, op.name))
        if chain is not None and tree.operations[chain[-1]].status == "error":
            ended = tree.end[chain[-1]] - ROUNDING_MS
            at_once = op.attempt > 1 or begun <= max(tree.start[chain[-1]], ended)
            if tree.start[child] >= ended and at_once:
                chain.append(child)
                begun = tree.start[child]
                continue
        if chain is not None and len(chain) > 1:
            yield chain
        open_chains[op.kind, op.name] = [child]
        begun = tree.start[child]
    yield from (chain for chain in open_chains.values() if len(chain) > 1)


def _finding(sample: Sample, key: Key, retried: _Retried) -> Finding:
    changes = {
        trace: Change(dropped=frozenset(failed), at_once=frozenset(retried.again[trace]))
        for trace, failed in retried.failed.items()
    }
    calls = float(sample.span_weight[sample.rows_of(sample.keys.index(key))].sum())
    error, _ = retried.errors.most_common(1)[0]
    lost = np.array([sample.row(trace, span) for trace, failed in retried.failed.items() for span in sorted(failed)])
    return Finding(
        cause="retries",
        certainty="likely",
        kind=key[0],
        name=key[1],
        title=f"{100 * retried.weight / calls:.0f} % of the calls are made again after an error",
        advice=f"Look at why {named(*key)} fails ({error}): each failure costs its own time and the pause before the "
        "next attempt; fix or avoid the error, or give up sooner.",
        evidence=(
            Evidence("attempts that failed and were repeated", retried.weight / calls, "ratio"),
            Evidence("most frequent error", error, "text"),
            Evidence("longest chain of attempts", 1 + max(len(spans) for spans in retried.failed.values()), "count"),
        ),
        operation_ids=examples(sample, lost, sample.length[lost].tolist()),
        affected_ratio=affected(sample, changes),
        gain=sample.gain(changes),
    )
