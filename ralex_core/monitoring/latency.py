"""How fast work is: summaries of durations by any dimension, over any window.

Figures come from rollups where they know the dimension. Where they do not (service, feature, status …) the operations
are read, and then only the last `MAX_SCAN_DAYS` of a window, which the answer says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar
from urllib.parse import quote, unquote

from ralex_core.config import ApdexTargets
from ralex_core.model.window import DAY_US, MINUTE_US, Scope, Window
from ralex_core.stats.quantiles import bin_of, percentiles
from ralex_core.storage.queries.latency import (
    Group,
    GroupTally,
    Histogram,
    failures_within,
    first_token_percentiles,
    histograms,
    rolled_up,
    tallies,
)
from ralex_core.storage.queries.segments import Only
from ralex_core.storage.telemetry import Store

MAX_SCAN_DAYS = 31
"""Of operations that are read where rollups do not know the dimension: a tenth of a second per million."""
MAX_TTFT_DAYS = 7
"""Percentiles of the time to first token are read from the operations; longer windows tell its mean."""
QUANTILES = (0.5, 0.9, 0.95, 0.99, 1.0)
TOLERATED = 4
"""Apdex: up to four times the target is tolerated."""


T = TypeVar("T")


class Ask(Protocol):
    """Puts a question on a thread of its own; `at_once` does not."""

    def __call__(self, question: Callable[[], T], /) -> Future[T]: ...


def at_once(question: Callable[[], T], /) -> Future[T]:
    """Answer a question before going on."""
    future: Future[T] = Future()
    future.set_result(question())
    return future


@dataclass(frozen=True, slots=True)
class Dimension:
    """What operations are told apart by: columns, and the kind it is about where it is about one."""

    key: str
    title: str
    columns: tuple[str, ...]
    kind: str | None = None

    @property
    def only(self) -> dict[str, str | None]:
        return {} if self.kind is None else {"kind": self.kind}

    def key_of(self, group: Group) -> str:
        """A group as one word for addresses; its last part is as it is, those before it are quoted."""
        return "/".join([*(quote(part or "", safe="") for part in group[:-1]), group[-1] or ""])

    def group_of(self, key: str) -> Group:
        """The inverse of `key_of`; an empty part stands for "not known".

        Raises:
            ValueError: the key has too few parts.
        """
        parts = key.split("/", len(self.columns) - 1)
        if len(parts) != len(self.columns):
            raise ValueError(f"{key!r} does not name one of them: write {'/'.join(self.columns)}")
        return (*(unquote(part) or None for part in parts[:-1]), parts[-1] or None)

    def narrowed(self, group: Group) -> dict[str, str | None]:
        """The columns and values that hold for the operations of one group."""
        return {**self.only, **dict(zip(self.columns, group, strict=True))}


DIMENSIONS: dict[str, Dimension] = {
    dimension.key: dimension
    for dimension in (
        Dimension("operation", "Operation", ("kind", "name")),
        Dimension("endpoint", "Endpoint", ("name",), "api"),
        Dimension("model", "Model", ("provider", "model"), "llm"),
        Dimension("provider", "Provider", ("provider",), "llm"),
        Dimension("tier", "Tier", ("tier",), "llm"),
        Dimension("kind", "Kind", ("kind",)),
        Dimension("project", "Project", ("project",)),
        Dimension("client", "Client", ("client",)),
        Dimension("user", "User", ("user_id",)),
        Dimension("session", "Session", ("session_id",)),
        Dimension("service", "Service", ("service",)),
        Dimension("feature", "Feature", ("feature",)),
        Dimension("workflow", "Workflow", ("workflow",)),
        Dimension("status", "Status", ("status",)),
        Dimension("outcome", "Outcome", ("outcome",)),
        Dimension("door", "Door", ("door",)),
    )
}


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """How a group of operations did. Durations in ms; percentiles and the maximum are within 1 %; None: not known.

    `ttft_*` and tokens are of calls to models. `apdex` counts failures as frustrated. `busy` is the mean number under
    way at once by Little's law: the sum of durations ÷ the window.
    """

    key: str
    group: Group
    operations: int
    errors: int
    timed: int
    per_minute: float | None
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    mean_ms: float | None
    total_ms: float
    apdex: float | None
    busy: float | None
    mean_ttft_ms: float | None
    p50_ttft_ms: float | None
    p95_ttft_ms: float | None
    output_tokens: int
    output_tokens_per_s: float | None

    @property
    def error_ratio(self) -> float | None:
        return self.errors / self.operations if self.operations else None


@dataclass(frozen=True, slots=True)
class Summaries:
    """Groups by the time they took in all, most first, and everything together."""

    dimension: Dimension
    window: Window
    """What is answered for: where operations must be read, the last `MAX_SCAN_DAYS` of what was asked."""
    total: LatencySummary
    rows: list[LatencySummary]
    groups: int
    """How many groups there are, shown or not."""
    histograms: dict[Group, Histogram]
    """Of the rows."""
    clipped: bool


def dimension_of(by: str) -> Dimension:
    """The dimension of this name.

    Raises:
        ValueError: there is none; the message lists them.
    """
    if by not in DIMENSIONS:
        raise ValueError(f"cannot summarise by {by!r}; choose one of {', '.join(DIMENSIONS)}")
    return DIMENSIONS[by]


def reachable(scope: Scope, dimension: Dimension, only: Only | None = None) -> Scope:
    """The part of a scope that can be answered: all of it from rollups, else its last `MAX_SCAN_DAYS`."""
    columns = [*dimension.columns, *(column for column, _ in scope.filters.items()), *(only or {})]
    window = scope.window
    if rolled_up(columns) or window.length_us <= MAX_SCAN_DAYS * DAY_US:
        return scope
    return replace(scope, window=Window(window.end_us - MAX_SCAN_DAYS * DAY_US, window.end_us))


def summarise(
    store: Store,
    scope: Scope,
    by: str = "operation",
    *,
    targets: ApdexTargets | None = None,
    now_us: int | None = None,
    limit: int = 50,
    only: Only | None = None,
    ask: Ask | None = None,
) -> Summaries:
    """Summaries per group of a dimension, those that took the most time first, at most `limit`.

    `now_us` keeps the part of the window that is still to come out of rates. Nothing in the window: no rows, and a
    total of zeros and Nones.

    Raises:
        ValueError: `by` is not a dimension.
    """
    dimension = dimension_of(by)
    answered = reachable(scope, dimension, only)
    narrowed = {**dimension.only, **(only or {})}
    found = Collected(store, answered, dimension.columns, narrowed, targets or ApdexTargets(), ask)
    length_us = min(answered.window.end_us, now_us or answered.window.end_us) - answered.window.start_us
    order = sorted(
        found.tallies, key=lambda group: (-found.tallies[group].duration_ms, *(part or "" for part in group))
    )
    return Summaries(
        dimension=dimension,
        window=answered.window,
        total=found.summary("", (), list(found.tallies), length_us),
        rows=[found.summary(dimension.key_of(group), group, [group], length_us) for group in order[:limit]],
        groups=len(order),
        histograms={group: found.histogram(group) for group in order[:limit]},
        clipped=answered.window != scope.window,
    )


class Collected:
    """What was asked of the store for one table, by group and kind: targets differ by kind."""

    def __init__(
        self,
        store: Store,
        scope: Scope,
        columns: Sequence[str],
        only: dict[str, str | None],
        targets: ApdexTargets,
        ask: Ask | None = None,
    ) -> None:
        ask = ask or at_once
        self._targets = targets
        keys = [*columns, *(["kind"] if "kind" not in columns else [])]
        place, width = keys.index("kind"), len(columns)
        asked = ask(lambda: histograms(store, scope, keys, only))
        self.tallies: dict[Group, GroupTally] = ask(lambda: tallies(store, scope, columns, only)).result()
        self._by_kind: dict[Group, list[tuple[str, Histogram]]] = {}
        for key, histogram in asked.result().items():
            self._by_kind.setdefault(key[:width], []).append((str(key[place]), histogram))
        kinds = sorted({kind for rows in self._by_kind.values() for kind, _ in rows})
        self._failed: dict[tuple[Group, str], tuple[int, ...]] = {}
        if kinds and any(tally.errors for tally in self.tallies.values()):
            limits = [targets.of(kind) * factor for kind in kinds for factor in (1, TOLERATED)]
            for key, counts in failures_within(store, scope, keys, limits, only).items():
                kind = str(key[place])
                if kind in kinds:
                    first = 2 * kinds.index(kind)
                    self._failed[key[:width], kind] = counts[first : first + 2]
        self._first_token: dict[Group, tuple[float, ...]] = {}
        self._whole_first_token: tuple[float, ...] | None = None
        if scope.window.length_us <= MAX_TTFT_DAYS * DAY_US and any(t.ttft_timed for t in self.tallies.values()):
            calls = {**only, "kind": "llm"}
            self._first_token = first_token_percentiles(store, scope, columns, (0.5, 0.95), calls)
            self._whole_first_token = first_token_percentiles(store, scope, (), (0.5, 0.95), calls).get(())

    def order(self) -> list[Group]:
        """Groups by the time they took in all, most first."""
        return sorted(
            self.tallies, key=lambda group: (-self.tallies[group].duration_ms, *(part or "" for part in group))
        )

    def histogram(self, group: Group) -> Histogram:
        """The durations of a group; empty when nothing was timed."""
        return merged([histogram for _, histogram in self._by_kind.get(group, ())])

    def summary(self, key: str, group: Group, groups: Sequence[Group], length_us: int) -> LatencySummary:
        """Everything known of the groups together."""
        tally = _added([self.tallies[name] for name in groups])
        parts = [(name, kind, histogram) for name in groups for kind, histogram in self._by_kind.get(name, ())]
        first_token = self._first_token.get(group) if group else self._whole_first_token
        values: list[float | None] = [None] * len(QUANTILES)
        if parts:
            values = percentiles(*merged([histogram for _, _, histogram in parts]), QUANTILES)
        p50, p90, p95, p99, longest = values
        return LatencySummary(
            key=key,
            group=group,
            operations=tally.operations,
            errors=tally.errors,
            timed=tally.timed,
            per_minute=tally.operations / (length_us / MINUTE_US) if length_us > 0 else None,
            p50_ms=p50,
            p90_ms=p90,
            p95_ms=p95,
            p99_ms=p99,
            max_ms=longest,
            mean_ms=tally.duration_ms / tally.timed if tally.timed else None,
            total_ms=tally.duration_ms,
            apdex=self._apdex(parts),
            busy=tally.duration_ms * 1000 / length_us if length_us > 0 and tally.timed else None,
            mean_ttft_ms=tally.ttft_ms / tally.ttft_timed if tally.ttft_timed else None,
            p50_ttft_ms=first_token[0] if first_token else None,
            p95_ttft_ms=first_token[1] if first_token else None,
            output_tokens=tally.output_tokens,
            output_tokens_per_s=tally.output_tokens * 1000 / tally.llm_ms
            if tally.output_tokens and tally.llm_ms
            else None,
        )

    def _apdex(self, parts: Sequence[tuple[Group, str, Histogram]]) -> float | None:
        timed = sum(int(histogram.counts.sum()) for _, _, histogram in parts)
        if not timed:
            return None
        score = 0.0
        for name, kind, histogram in parts:
            target = self._targets.of(kind)
            satisfied, tolerated = (
                int(histogram.counts[histogram.bins <= bin_of(target * factor)].sum()) for factor in (1, TOLERATED)
            )
            quick, slow = self._failed.get((name, kind), (0, 0))
            score += max(0, satisfied - quick) + max(0, (tolerated - slow) - (satisfied - quick)) / 2
        return score / timed


def _added(parts: Sequence[GroupTally]) -> GroupTally:
    total = GroupTally()
    for part in parts:
        total.operations += part.operations
        total.errors += part.errors
        total.timed += part.timed
        total.duration_ms += part.duration_ms
        total.llm_operations += part.llm_operations
        total.llm_ms += part.llm_ms
        total.output_tokens += part.output_tokens
        total.ttft_timed += part.ttft_timed
        total.ttft_ms += part.ttft_ms
    return total


def merged(parts: Sequence[Histogram]) -> Histogram:
    """Several histograms as one."""
    import numpy as np

    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Histogram(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int64))
    distinct, places = np.unique(np.concatenate([part.bins for part in parts]), return_inverse=True)
    counts = np.bincount(places, weights=np.concatenate([part.counts for part in parts]))
    return Histogram(distinct, counts.astype(np.int64))
