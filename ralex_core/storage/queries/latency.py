"""Questions about durations: histograms per group, per slot of time, over earlier windows, and what rollups leave out.

A group is a value of one dimension, or a pair such as (kind, name). Everything is read from rollups where a cube knows
the columns, else from the operations; the caller bounds the window then (`rolled_up`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US, Scope, Window
from ralex_core.stats.quantiles import bin_of, value_of
from ralex_core.storage.queries.segments import Only, binned, conditions, measured, percentiles, sums_rolled_up
from ralex_core.storage.schema import LATENCY_CUBES
from ralex_core.storage.telemetry import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

Group = tuple[str | None, ...]

_TALLIED = (
    "operations",
    "errors",
    "timed",
    "duration_ms",
    "billable",
    "output_tokens",
    "ttft_timed",
    "ttft_ms",
)
MAX_PEAK_OPERATIONS = 200_000
"""The exact peak of concurrency sorts every start and end: a twentieth of a second at this many."""


def rolled_up(columns: Sequence[str]) -> bool:
    """Whether rollups of sums and of latency know these columns; else the operations themselves have to be read."""
    wanted = set(columns)
    return sums_rolled_up(wanted) and any(cube.covers(wanted) for cube in LATENCY_CUBES)


@dataclass(slots=True)
class GroupTally:
    """Sums over a group. Tokens, and `llm_ms` (what they took), are of calls to models only."""

    operations: int = 0
    errors: int = 0
    timed: int = 0
    duration_ms: float = 0.0
    llm_operations: int = 0
    llm_ms: float = 0.0
    output_tokens: int = 0
    ttft_timed: int = 0
    ttft_ms: float = 0.0


def tallies(store: Store, scope: Scope, group: Sequence[str], only: Only | None = None) -> dict[Group, GroupTally]:
    """Sums per group; groups without operations are absent."""
    keys = [*group, *(["kind"] if "kind" not in group else [])]
    place = keys.index("kind")
    found: dict[Group, GroupTally] = {}
    for row in measured(store, scope, _TALLIED, group=keys, only=only):
        operations, errors, timed, duration_ms, billable, tokens, ttft_timed, ttft_ms = row[len(keys) :]
        if not operations:
            continue
        tally = found.setdefault(row[: len(group)], GroupTally())
        tally.operations += operations
        tally.errors += errors
        tally.timed += timed
        tally.duration_ms += duration_ms
        if row[place] == "llm":
            tally.llm_operations += billable
            tally.llm_ms += duration_ms
            tally.output_tokens += tokens
            tally.ttft_timed += ttft_timed
            tally.ttft_ms += ttft_ms
    return found


class Histogram(NamedTuple):
    """Counts per bin, bins ascending; see `stats.quantiles`."""

    bins: NDArray[Any]
    counts: NDArray[Any]


def histograms(store: Store, scope: Scope, group: Sequence[str], only: Only | None = None) -> dict[Group, Histogram]:
    """The histogram of durations of every group; groups in which nothing was timed are absent."""
    import numpy as np

    bins, parameters = binned(store, scope, group=group, only=only)
    listed = "".join(f"{column}, " for column in group)
    by = f" group by {', '.join(group)}" if group else ""
    rows = store.query(
        f"with merged as (select {listed}bin, sum(n)::BIGINT as n from ({bins}) group by {listed}bin) "
        f"select {listed}list(bin order by bin), list(n order by bin) from merged{by}",
        parameters,
    )
    width = len(group)
    return {
        row[:width]: Histogram(np.array(row[width], dtype=np.int32), np.array(row[width + 1], dtype=np.int64))
        for row in rows
        if row[width]
    }


class Slots(NamedTuple):
    """Operations per slot of time in order, and how many of them were above the group's quantile."""

    n: NDArray[Any]
    over: NDArray[Any]


def slots(
    store: Store,
    scope: Scope,
    group: Sequence[str],
    levels: Mapping[Group, int],
    slot_us: int,
    only: Only | None = None,
) -> dict[Group, Slots]:
    """Per group of `levels`, how its operations above that bin are spread over the window.

    Slots without operations are left out, and groups without any.
    """
    import numpy as np

    if not levels:
        return {}
    bins, parameters = binned(store, scope, group=group, bucket_us=slot_us, only=only)
    for place, column in enumerate(group):
        parameters[f"level_{column}"] = [key[place] for key in levels]
    parameters["level_bin"] = list(levels.values())
    columns = "".join(f"unnest($level_{column}::VARCHAR[]) as {column}, " for column in group)
    same = " and ".join(f"found.{column} is not distinct from levels.{column}" for column in group) or "true"
    keys = "".join(f", levels.{column}" for column in group)
    by = f" group by {', '.join(group)}" if group else ""
    rows = store.query(
        f"with levels as (select {columns}unnest($level_bin::INTEGER[]) as level), "
        f"counted as (select bucket_start{keys}, sum(n)::BIGINT as n, "
        f"coalesce(sum(n) filter (bin > level), 0)::BIGINT as above "
        f"from ({bins}) as found join levels on {same} group by bucket_start{keys}) "
        f"select {''.join(f'{column}, ' for column in group)}list(n order by bucket_start), "
        f"list(above order by bucket_start) from counted{by}",
        parameters,
    )
    width = len(group)
    return {
        row[:width]: Slots(np.array(row[width], dtype=np.int64), np.array(row[width + 1], dtype=np.int64))
        for row in rows
        if row[width]
    }


class Past(NamedTuple):
    """Percentiles in earlier windows of one length, oldest first: how many were timed in each, and the values, ms."""

    counts: NDArray[Any]
    values_ms: NDArray[Any]
    """A row per percentile asked for; nan where nothing was timed."""


def earlier_windows(
    store: Store,
    scope: Scope,
    group: Sequence[str],
    quantiles: Sequence[float],
    windows: int,
    only: Only | None = None,
) -> dict[Group, Past]:
    """Percentiles in the `windows` windows of the scope's length before it, per group.

    So that rollups answer, they end at the last whole hour (whole day from windows of a day on, minute for those
    shorter than an hour) before the scope begins: near enough to say how windows of this length differ.
    """
    import numpy as np

    grain = earlier_grain(scope.window.length_us)
    length = max(grain, round(scope.window.length_us / grain) * grain)
    end = scope.window.start_us // grain * grain
    start = end - windows * length
    earlier = Scope(Window(start, end), scope.filters)
    found = percentiles(store, earlier, quantiles, group=group, bucket_us=length, origin_us=start, only=only)
    past: dict[Group, Past] = {}
    for (bucket, *key), (count, *bins) in found.items():
        name = tuple(key)
        if name not in past:
            past[name] = Past(np.zeros(windows, dtype=np.int64), np.full((len(quantiles), windows), np.nan))
        place = (bucket - start) // length
        past[name].counts[place] = count
        past[name].values_ms[:, place] = [max(value_of(bin), 1e-3) for bin in bins]
    return past


def earlier_grain(length_us: int) -> int:
    """What earlier windows of this length are cut at: whole days, hours or minutes."""
    if length_us >= DAY_US:
        return DAY_US
    return HOUR_US if length_us >= HOUR_US else MINUTE_US


def failures_within(
    store: Store, scope: Scope, group: Sequence[str], limits_ms: Sequence[float], only: Only | None = None
) -> dict[Group, tuple[int, ...]]:
    """Failed operations per group that took at most each of the limits: {group: (count, …)}.

    Read from the operations: rollups do not tell how long the failed ones took.
    """
    parameters: dict[str, Any] = {"low": scope.window.start_us, "high": scope.window.end_us}
    where = conditions(scope.filters, parameters) + _equal(only, parameters)
    counted = ", ".join(f"count(*) filter (duration_bin <= {bin_of(limit)})" for limit in limits_ms)
    listed = "".join(f"{column}, " for column in group)
    by = f" group by {', '.join(group)}" if group else ""
    rows = store.query(
        f"select {listed}{counted} from operations where started_at >= $low and started_at < $high "
        f"and status = 'error'{where}{by}",
        parameters,
    )
    return {row[: len(group)]: row[len(group) :] for row in rows}


def first_token_percentiles(
    store: Store, scope: Scope, group: Sequence[str], quantiles: Sequence[float], only: Only | None = None
) -> dict[Group, tuple[float, ...]]:
    """Nearest-rank percentiles of the time to first token per group, ms; read from the operations."""
    parameters: dict[str, Any] = {"low": scope.window.start_us, "high": scope.window.end_us}
    where = conditions(scope.filters, parameters) + _equal(only, parameters)
    listed = "".join(f"{column}, " for column in group)
    by = f" group by {', '.join(group)}" if group else ""
    asked = ", ".join(f"quantile_disc(ttft_ms, {float(quantile)})" for quantile in quantiles)
    rows = store.query(
        f"select {listed}{asked} from operations where started_at >= $low and started_at < $high "
        f"and ttft_ms is not null{where}{by}",
        parameters,
    )
    return {row[: len(group)]: row[len(group) :] for row in rows if row[len(group)] is not None}


class HeatCell(NamedTuple):
    """Operations that started in a bucket and whose duration bins, `step` of them taken together, are `band`."""

    start_us: int
    band: int
    operations: int


def heat_map(store: Store, scope: Scope, bucket_us: int, step: int, only: Only | None = None) -> list[HeatCell]:
    """Cells with operations, by time and band; band `b` holds the bins from `b * step` up to `(b + 1) * step`."""
    bins, parameters = binned(store, scope, bucket_us=bucket_us, only=only)
    rows = store.query(
        f"select bucket_start, (bin::INTEGER + 40000 * {int(step)}) // {int(step)} - 40000 as band, sum(n)::BIGINT "
        f"from ({bins}) group by bucket_start, band order by bucket_start, band",
        parameters,
    )
    return [HeatCell(*row) for row in rows]


class PercentilePoint(NamedTuple):
    """Percentiles of one bucket, ms, in the order asked for."""

    start_us: int
    operations: int
    values_ms: tuple[float, ...]


def percentiles_over_time(
    store: Store, scope: Scope, bucket_us: int, quantiles: Sequence[float], only: Only | None = None
) -> list[PercentilePoint]:
    """Per bucket, ascending; buckets in which nothing was timed are absent."""
    found = percentiles(store, scope, quantiles, bucket_us=bucket_us, only=only)
    return [
        PercentilePoint(start, count, tuple(value_of(bin) for bin in bins))
        for (start,), (count, *bins) in sorted(found.items())
    ]


def daily_percentile(
    store: Store, scope: Scope, group: Sequence[str], quantile: float, only: Only | None = None
) -> dict[Group, list[tuple[int, int, float]]]:
    """Per group, rows of (day, operations, percentile in ms) per UTC day, ascending; days without are absent."""
    found = percentiles(store, scope, (quantile,), group=group, bucket_us=DAY_US, only=only)
    series: dict[Group, list[tuple[int, int, float]]] = {}
    for (day, *key), (count, bin) in found.items():
        series.setdefault(tuple(key), []).append((day, count, value_of(bin)))
    return {key: sorted(rows) for key, rows in series.items()}


class LoadBucket(NamedTuple):
    """What ran in one bucket: operations started, failed, and the sum of their durations."""

    start_us: int
    operations: int
    errors: int
    timed: int
    duration_ms: float


def load_over_time(store: Store, scope: Scope, bucket_us: int, only: Only | None = None) -> list[LoadBucket]:
    """Per bucket, ascending; buckets without operations are absent."""
    names = ("operations", "errors", "timed", "duration_ms")
    return [LoadBucket(*row) for row in sorted(measured(store, scope, names, bucket_us=bucket_us, only=only))]


class Busy(NamedTuple):
    """How many operations were under way at once: on average over the window, and at most."""

    mean: float
    peak: int
    peak_at_us: int


def concurrency(store: Store, scope: Scope, only: Only | None = None) -> Busy | None:
    """Exact, from the starts and ends of operations that started in the window or within a day before it.

    None without timed operations, and when there are more than `MAX_PEAK_OPERATIONS`.
    """
    window = scope.window
    parameters: dict[str, Any] = {"low": window.start_us, "high": window.end_us, "early": window.start_us - DAY_US}
    where = conditions(scope.filters, parameters) + _equal(only, parameters)
    held = (
        "with held as (select greatest(started_at, $low) as began, "
        "least(started_at + (duration_ms * 1000)::BIGINT, $high) as ended from operations "
        "where started_at >= $early and started_at < $high and duration_ms > 0 and duration_ms < 86400000 "
        f"and started_at + (duration_ms * 1000)::BIGINT > $low{where} limit {MAX_PEAK_OPERATIONS + 1}), "
    )
    rows = store.query(
        f"{held}moves as (select began as at_us, 1 as step from held union all select ended, -1 from held), "
        # an operation that ends where the next one begins does not overlap it
        "running as (select at_us, sum(step) over (order by at_us, step rows unbounded preceding) as busy from moves) "
        "select (select count(*) from held), (select sum(ended - began) from held), "
        "max(busy)::BIGINT, arg_max(at_us, busy) from running",
        parameters,
    )
    count, busy_us, peak, peak_at_us = rows[0]
    if not count or count > MAX_PEAK_OPERATIONS:
        return None
    return Busy(float(busy_us) / window.length_us, peak, peak_at_us)


def _equal(only: Only | None, parameters: dict[str, Any]) -> str:
    text = ""
    for column, value in (only or {}).items():
        if value is None:
            text += f" and {column} is null"
        else:
            parameters[f"only_{column}"] = value
            text += f" and {column} = $only_{column}"
    return text
