"""Calls made one after the other that could run side by side: siblings that nothing seems to make wait."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from ralex_core.monitoring.bottleneck.finding import EXAMPLES, Certainty, Evidence, Finding, affected, named
from ralex_core.monitoring.bottleneck.replay import Change
from ralex_core.monitoring.bottleneck.sample import Sample
from ralex_core.monitoring.bottleneck.trees import ROUNDING_MS, Tree
from ralex_core.monitoring.bottleneck.weighted import array, mean

KINDS = ("api", "llm", "tool")
"""Calls to elsewhere. Queries share a connection, and tasks of one program are steps of it."""
MIN_CALLS = 3
MAX_GAP_RATIO = 0.2
"""Of the calls' mean time: a longer pause is work between them, which may need the answer."""


@dataclass(slots=True)
class _Run:
    kind: str
    name: str
    parents: Counter[str] = field(default_factory=Counter[str])
    beside: defaultdict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    """Trace → call → the call it could start beside."""
    calls: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """(trace, how many)"""
    starts: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """(trace, the first call)"""
    orders: set[tuple[str, ...]] = field(default_factory=set[tuple[str, ...]])


def find(sample: Sample) -> list[Finding]:
    """One finding per set of calls, whoever makes them; what it would save if the calls of each run started together.

    The gaps between starts stay: somebody has to make the calls.
    """
    found: dict[tuple[str, frozenset[str]], _Run] = {}
    for number, tree in enumerate(sample.trees):
        for span, below in enumerate(tree.children):
            if len(below) >= MIN_CALLS and span < len(tree.operations):
                for run in runs(tree, below):
                    _note(tree, number, span, run, found)
    return [_finding(sample, run) for run in _merged(found)]


def _merged(found: dict[tuple[str, frozenset[str]], _Run]) -> list[_Run]:
    """Runs whose calls are all among those of a longer run belong to it: one call more or less at an end."""
    kept: list[tuple[str, frozenset[str], _Run]] = []
    for (kind, names), run in sorted(found.items(), key=lambda item: (-len(item[0][1]), sorted(item[0][1]))):
        longer = next((other for its_kind, others, other in kept if its_kind == kind and names < others), None)
        if longer is None:
            kept.append((kind, names, run))
            continue
        for trace, beside in run.beside.items():
            longer.beside[trace].update(beside)
        longer.calls += run.calls
        longer.starts += run.starts
        longer.orders |= run.orders
        longer.parents += run.parents
    return [run for _, _, run in kept]


def runs(tree: Tree, below: list[int]) -> Iterator[list[int]]:
    """Siblings of one kind, each beginning soon after the one before it ended, with nobody else beside them."""
    run: list[int] = []
    reach = float("-inf")
    for child in below:
        apart = tree.start[child] >= reach - ROUNDING_MS
        if run and apart and _follows(tree, run, child):
            run.append(child)
        else:
            if len(run) >= MIN_CALLS and apart and _independent(tree, run):
                yield run
            run = [child] if apart and tree.operations[child].kind in KINDS else []
        reach = max(reach, tree.end[child])
    if len(run) >= MIN_CALLS and _independent(tree, run):
        yield run


def _follows(tree: Tree, run: list[int], child: int) -> bool:
    last = run[-1]
    here, before = tree.operations[child], tree.operations[last]
    if here.kind != before.kind or before.status == "error":
        return False
    mean_ms = sum(tree.end[one] - tree.start[one] for one in run) / len(run)
    return tree.start[child] - tree.end[last] <= max(MAX_GAP_RATIO * mean_ms, 1.0)


def _independent(tree: Tree, run: list[int]) -> bool:
    """Not a conversation, in which every call to the model sends what came before."""
    sent = [tree.operations[one].input_tokens for one in run if tree.operations[one].kind == "llm"]
    known = [tokens for tokens in sent if tokens is not None]
    grows = all(after > before for before, after in itertools.pairwise(known))
    return not (len(known) > 1 and grows)


def _note(tree: Tree, number: int, span: int, run: list[int], found: dict[tuple[str, frozenset[str]], _Run]) -> None:
    op, parent = tree.operations[run[0]], tree.operations[span]
    names = tuple(tree.operations[one].name for one in run)
    noted = found.setdefault((op.kind, frozenset(names)), _Run(op.kind, op.name))
    noted.parents[parent.name] += 1
    noted.beside[number].update({after: before for before, after in itertools.pairwise(run)})
    noted.calls.append((number, len(run)))
    noted.starts.append((number, run[0]))
    noted.orders.add(names)


def _certainty(run: _Run) -> tuple[Certainty, str]:
    """Whether the calls are surely independent, and what says so."""
    if all(len(set(order)) == 1 for order in run.orders):
        return "likely", "the same call every time"
    if len({tuple(sorted(order)) for order in run.orders}) < len(run.orders):
        return "likely", "their order varies between traces"
    return "possible", "nothing recorded says that one needs another"


def _finding(sample: Sample, run: _Run) -> Finding:
    changes = {trace: Change(beside=beside) for trace, beside in run.beside.items()}
    calls = mean(
        array([count for _, count in run.calls]), array([float(sample.weight[trace]) for trace, _ in run.calls])
    )
    certainty, reason = _certainty(run)
    parent = run.parents.most_common(1)[0][0]
    ids = [sample.trees[trace].operations[call].operation_id for trace, call in run.starts[:EXAMPLES]]
    return Finding(
        cause="serial_calls",
        certainty=certainty,
        kind=run.kind,
        name=run.name,
        title=f"{calls:.0f} calls one after the other that could run side by side",
        advice=f"Look at “{parent}”: its calls from {named(run.kind, run.name)} on wait for each other, and "
        f"{reason}; if they do not need each other's answers, start them together.",
        evidence=(
            Evidence("calls in a row", calls, "count"),
            Evidence("made by", parent, "text"),
            Evidence("independent, because", reason, "text"),
        ),
        operation_ids=tuple(ids),
        affected_ratio=affected(sample, changes),
        gain=sample.gain(changes),
    )
