"""What became slower or faster, tested so that noise is not called a regression. Every verdict says why.

Three things to compare a window with: the one just before it, the same hours a week ago, and what is usual at this
time (`stats.baseline`, from the days before). The test is that of `stats.compare`; over many groups the rate of false
calls is held by Benjamini and Hochberg's procedure, and a change below `FLOOR` is never called one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from ralex_core.config import ApdexTargets
from ralex_core.model.window import DAY_US, HOUR_US, Scope, Window
from ralex_core.monitoring.latency import (
    Ask,
    LatencySummary,
    Summaries,
    at_once,
    dimension_of,
    reachable,
    summarise,
)
from ralex_core.render import count, duration
from ralex_core.stats.baseline import FEWEST_VALUES, expect
from ralex_core.stats.compare import (
    FEWEST_BEYOND,
    Difference,
    Sample,
    against_expected,
    benjamini_hochberg,
    difference,
    enough,
)
from ralex_core.stats.quantiles import percentiles
from ralex_core.storage.queries.latency import Group, Histogram, Past, Slots, earlier_windows, histograms, slots
from ralex_core.storage.queries.segments import Only, bucket_for
from ralex_core.storage.telemetry import Store

if TYPE_CHECKING:
    from concurrent.futures import Future

    from numpy.typing import NDArray

Earlier = Callable[[Store, Scope, Sequence[str], Sequence[float], int, Only | None], dict[Group, Past]]
Against = Literal["previous", "last_week", "usual"]
State = Literal["slower", "faster", "same", "too_few", "new"]

FLOOR = 0.10
"""A percentile that moved by less is as it was, however sure the difference is."""
FLOOR_MS = 1.0
"""Nor does anybody wait for a millisecond."""
ALPHA = 0.05
WEEK_US = 7 * DAY_US
LONGEST_WEEKLY_US = WEEK_US + HOUR_US
"""The longest window compared with the same hours last week: a week, and what rounding to whole buckets adds."""
SLOTS = 24
"""A window is cut into up to this many slots to see how alike neighbouring operations are."""
EARLIER = 24
"""Earlier pairs of windows that say how far two such windows usually differ."""
MAX_EARLIER_DAYS = 63
USUAL_DAYS = 7
JUDGED = (0.95, 0.5)
"""The percentile a verdict is about: the first of which both windows hold enough."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a group became slower, and why this is said. Ratios are now ÷ before; the interval has 95 % confidence.

    `p_value` is adjusted for how many groups were tested. `percentile` is what was compared: 95, or 50 where there is
    too little for 95. `usual_ratio` is how far windows of this length differ as a rule.
    """

    state: State
    why: str
    percentile: int | None = None
    now_ms: float | None = None
    before_ms: float | None = None
    ratio: float | None = None
    low_ratio: float | None = None
    high_ratio: float | None = None
    p_value: float | None = None
    n_now: int = 0
    n_before: int = 0
    usual_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """A group in the window compared with; percentiles within 1 %, ms."""

    timed: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Compared:
    """A group now and before. `before` is None where nothing was timed then, and against what is usual."""

    now: LatencySummary
    before: Before | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """The groups of a dimension in two windows, those that took the most time first."""

    against: Against
    summaries: Summaries
    before_window: Window | None
    """None against what is usual."""
    rows: list[Compared]


def window_before(window: Window, against: Against) -> Window | None:
    """The window to compare with; None when it is not one window, or a week ago would be part of the window itself."""
    if against == "usual" or (against == "last_week" and window.length_us > LONGEST_WEEKLY_US):
        return None
    shift = window.length_us if against == "previous" else WEEK_US
    return Window(window.start_us - shift, window.end_us - shift)


def compare(
    store: Store,
    scope: Scope,
    by: str = "operation",
    *,
    against: Against = "previous",
    targets: ApdexTargets | None = None,
    now_us: int | None = None,
    limit: int = 50,
    only: Only | None = None,
    ask: Ask | None = None,
    earlier: Earlier = earlier_windows,
) -> Comparison:
    """Summaries with what each group was before and a verdict, those that took the most time first.

    `ask` spreads the questions over threads; `earlier` may remember what `earlier_windows` answered.

    Raises:
        ValueError: unknown dimension or comparison, or a window longer than a week against the same hours last week.
    """
    if against not in get_args(Against):
        raise ValueError(f"cannot compare with {against!r}; choose one of {', '.join(get_args(Against))}")
    dimension = dimension_of(by)
    scope = reachable(scope, dimension, only)
    before_window = window_before(scope.window, against)
    if against == "last_week" and before_window is None:
        raise ValueError("the same hours last week can be compared for windows of up to 7 days; choose a shorter one")
    ask = ask or at_once
    test = _Test(store, scope, dimension.columns, {**dimension.only, **(only or {})}, against, ask, earlier)
    summaries = summarise(store, scope, by, targets=targets, now_us=now_us, limit=limit, only=only, ask=ask)
    test.take(summaries.histograms)
    before = {row.group: test.before(row.group) for row in summaries.rows}
    rows = judge([(row, before[row.group]) for row in summaries.rows], test.of, against)
    return Comparison(against, summaries, before_window, rows)


def judge(
    rows: Sequence[tuple[LatencySummary, Before | None]],
    test: Callable[[LatencySummary, Before | None], Difference | None],
    against: Against,
) -> list[Compared]:
    """Test every pair, adjust for their number, and say what follows."""
    found = [test(now, before) for now, before in rows]
    adjusted = iter(benjamini_hochberg([each.p_value for each in found if each is not None]))
    return [
        Compared(now, before, _untested(now, before, against) if each is None else verdict(now, each, next(adjusted)))
        for (now, before), each in zip(rows, found, strict=True)
    ]


def verdict(now: LatencySummary, found: Difference, p_value: float) -> Verdict:
    """What a tested difference means: real (adjusted p ≤ 0.05, 1 outside the interval) and large enough to matter."""
    percentile = round(found.q * 100)
    now_ms = now.p95_ms if percentile == 95 else now.p50_ms
    before_ms = None if now_ms is None else now_ms / found.ratio
    moved_ms = abs((now_ms or 0.0) - (before_ms or 0.0))
    sure = p_value <= ALPHA and not found.low_ratio <= 1 <= found.high_ratio
    state: State = "same"
    if sure and moved_ms >= FLOOR_MS:
        state = "slower" if found.ratio >= 1 + FLOOR else "faster" if found.ratio <= 1 / (1 + FLOOR) else "same"
    told = Verdict(
        state=state,
        why="",
        percentile=percentile,
        now_ms=now_ms,
        before_ms=before_ms,
        ratio=found.ratio,
        low_ratio=found.low_ratio,
        high_ratio=found.high_ratio,
        p_value=p_value,
        n_now=found.n_now,
        n_before=found.n_before,
        usual_ratio=found.usual_ratio,
    )
    return replace(told, why=_why(told, sure, found.pairs))


def _why(told: Verdict, sure: bool, pairs: int) -> str:
    """The numbers behind a verdict, in words."""
    ratio, low, high = told.ratio or 1.0, told.low_ratio or 1.0, told.high_ratio or 1.0
    words = {"slower": "Slower", "faster": "Faster"}.get(told.state, "No clear change")
    text = (
        f"{words}: p{told.percentile} {duration(told.before_ms)} → {duration(told.now_ms)}, {signed(ratio)} "
        f"(95 % interval {signed(low)} to {signed(high)}; {count(told.n_now)} and {count(told.n_before)} operations)."
    )
    if told.usual_ratio is not None:
        text += f" Such windows usually differ by {(told.usual_ratio - 1) * 100:.1f} % ({pairs} before)."
    if told.state != "same":
        return f"{text} Chance does this in {_chance(told.p_value or 0.0)} of comparisons."
    if sure:
        return f"{text} The difference is real, but under the {FLOOR * 100:.0f} % (and {FLOOR_MS:.0f} ms) that count."
    return f"{text} Chance alone differs as much in {_chance(told.p_value or 0.0)} of comparisons."


def _chance(p_value: float) -> str:
    return "less than 0.1 %" if p_value < 0.001 else f"{p_value * 100:.1f} %"


def signed(ratio: float) -> str:
    """A ratio as a change: +24 %, −3 %, +4.1×."""
    change = (ratio - 1) * 100
    if change >= 300:
        return f"{ratio:,.1f}×" if ratio < 1e4 else ">10,000×"
    return f"{'+' if change >= 0 else '−'}{abs(change):.0f} %"


def _untested(now: LatencySummary, before: Before | None, against: Against) -> Verdict:
    need = math.ceil(FEWEST_BEYOND / (1 - JUDGED[-1]))
    if not now.timed:
        return Verdict("too_few", "Nothing was timed.")
    if against == "usual":
        why = f"Too little history: {FEWEST_VALUES} earlier windows of this length with {need} timed operations needed."
        return Verdict("too_few", why, n_now=now.timed)
    if before is None:
        return Verdict("new", "Did not run in the window it is compared with.", n_now=now.timed)
    if min(now.timed, before.timed) >= need:
        why = f"The slow ones of {count(now.timed)} and {count(before.timed)} come in bursts: too few stand alone."
        return Verdict("too_few", why, n_now=now.timed, n_before=before.timed)
    why = f"Too few to compare: {count(now.timed)} and {count(before.timed)} were timed, {need} of each are needed."
    return Verdict("too_few", why, n_now=now.timed, n_before=before.timed)


class _Test:
    """The samples of two windows (or of one and its past), per group."""

    def __init__(
        self,
        store: Store,
        scope: Scope,
        columns: Sequence[str],
        only: dict[str, str | None],
        against: Against,
        ask: Ask,
        earlier: Earlier,
    ) -> None:
        """Ask for what does not depend on the summaries."""
        self._against: Against = against
        self._scope = scope
        self._ask = ask
        before = window_before(scope.window, against)
        self._before_scope = None if before is None else replace(scope, window=before)
        slot_us = bucket_for(scope.window, SLOTS)

        def spread(about: Scope, levels: dict[Group, int]) -> dict[Group, Slots]:
            return slots(store, about, columns, levels, slot_us, only)

        self._spread = spread
        windows = usual_windows(scope.window.length_us) if against == "usual" else earlier_pairs(scope.window.length_us)
        stretches: list[Scope] = [scope] if windows else []
        if windows and against == "previous":
            windows += 1
        if windows and against == "last_week":
            week = Window(scope.window.start_us - WEEK_US, scope.window.end_us - WEEK_US)
            stretches.append(replace(scope, window=week))
        self._pasts = [
            ask(lambda about=about: earlier(store, about, columns, JUDGED, windows, only)) for about in stretches
        ]
        there = self._before_scope
        self._there = None if there is None else ask(lambda: histograms(store, there, columns, only))

    def take(self, now: dict[Group, Histogram]) -> None:
        """Note the durations of the groups shown, and ask how the slow ones are spread over time."""
        there = {} if self._there is None else self._there.result()
        self._judged: dict[Group, float] = {}
        for group, histogram in now.items():
            sizes = [int(histogram.counts.sum())]
            if self._there is not None:
                sizes.append(int(there[group].counts.sum()) if group in there else 0)
            best = next((q for q in JUDGED if enough(min(sizes), q)), None)
            if best is not None:
                self._judged[group] = best
        self._sides: list[tuple[dict[Group, Histogram], Future[dict[Group, Slots]]]] = []
        scopes = [self._scope] if self._before_scope is None else [self._scope, self._before_scope]
        for about, found in zip(scopes, (now, there), strict=False):
            levels = {group: _level(found[group], q) for group, q in self._judged.items()}
            self._sides.append((found, self._ask(lambda about=about, levels=levels: self._spread(about, levels))))

    def before(self, group: Group) -> Before | None:
        """The group in the window compared with."""
        found = None if self._there is None else self._there.result().get(group)
        if found is None:
            return None
        return Before(int(found.counts.sum()), *percentiles(found.bins, found.counts, (0.5, 0.95, 0.99)))

    def of(self, now: LatencySummary, before: Before | None) -> Difference | None:
        """The difference of one group; None when too little is known."""
        group = now.group
        q = self._judged.get(group)
        if q is None:
            return None
        samples = [Sample(*found[group], *spread.result()[group]) for found, spread in self._sides]
        if self._against != "usual":
            return difference(samples[0], samples[1], q, self._differences(group, q))
        past = self._pasts[0].result().get(group) if self._pasts else None
        expected = None if past is None else expect(_logs(past, q), period_of(self._scope.window.length_us))
        if past is None or expected is None:
            return None
        return against_expected(samples[0], q, expected, int(past.counts.sum()))

    def _differences(self, group: Group, q: float) -> list[float]:
        """Log differences of earlier pairs of windows that lay as far apart as the two in question."""
        import numpy as np

        found = [past.result().get(group) for past in self._pasts]
        logs = [_logs(past, q) for past in found if past is not None]
        if not logs or len(logs) < len(found):
            return []
        moved = logs[0][1:] - logs[0][:-1] if len(logs) == 1 else logs[0] - logs[1]
        return [float(value) for value in moved[np.isfinite(moved)]]


def _level(histogram: Histogram, q: float) -> int:
    """The bin of a quantile."""
    import numpy as np

    running = np.cumsum(histogram.counts)
    return int(histogram.bins[np.searchsorted(running, q * running[-1] - 1e-9)])


def _logs(past: Past, q: float) -> NDArray[Any]:
    import numpy as np

    known = past.counts * min(q, 1 - q) >= FEWEST_BEYOND - 1e-9
    return np.where(known, np.log(past.values_ms[JUDGED.index(q)]), np.nan)


def earlier_pairs(length_us: int) -> int:
    """How many earlier pairs of windows are looked at: a day of hours, fewer of long windows, none beyond a week."""
    return 0 if length_us > WEEK_US + HOUR_US else min(EARLIER, MAX_EARLIER_DAYS * DAY_US // length_us - 1)


def usual_windows(length_us: int) -> int:
    """How many earlier windows say what is usual: a week of hours, four weeks of days, a day of shorter ones."""
    if length_us < HOUR_US:
        return min(168, DAY_US // length_us)
    if length_us < DAY_US:
        return min(168, USUAL_DAYS * DAY_US // length_us)
    return min(28, MAX_EARLIER_DAYS * DAY_US // length_us)


def period_of(length_us: int) -> int:
    """Windows per rhythm: those of a day for parts of a day, those of a week for days, 1 (no rhythm) else."""
    if HOUR_US <= length_us < DAY_US and DAY_US % length_us == 0:
        return DAY_US // length_us
    return 7 if length_us == DAY_US else 1
