"""Which tables answer for a window: whole days from day rollups, the rest from hours, minutes and operations.

Everything stored is additive, so a window is cut into segments, each read from the coarsest table that covers it
exactly; the sums of the segments are exact for the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US, Filters, Scope, Window
from ralex_core.storage.schema import GRAINS_US, LATENCY_CUBES, MEASURES, SUM_CUBES, Cube
from ralex_core.storage.telemetry import Store

SECOND_US = 1_000_000
Only = Mapping[str, str | None]
"""Columns that must have one value each; None: where it is not known."""
_ROUND_BUCKETS = (
    *(SECOND_US * n for n in (1, 5, 10, 30)),
    *(MINUTE_US * n for n in (1, 5, 10, 30)),
    *(HOUR_US * n for n in (1, 2, 4)),
    *(DAY_US * n for n in (1, 7, 30, 90, 365)),
)


class Segment(NamedTuple):
    """Part of a window and the grain that answers for it; grain None means the operations themselves."""

    grain: str | None
    start_us: int
    end_us: int


def bucket_for(window: Window, target: int = 180) -> int:
    """The smallest round bucket (µs) that cuts the window into at most `target` buckets."""
    for bucket in _ROUND_BUCKETS:
        if window.length_us <= bucket * target:
            return bucket
    return _ROUND_BUCKETS[-1]


def segments(
    window: Window,
    minute_floor_us: int,
    *,
    coarse_until_us: int = 1 << 62,
    bucket_us: int | None = None,
    grains: Sequence[str] = tuple(GRAINS_US),
) -> list[Segment]:
    """Cut a window, coarse grains first. With `bucket_us`, only grains that fit whole into such a bucket are used."""
    grains = [grain for grain in grains if bucket_us is None or bucket_us % GRAINS_US[grain] == 0]
    found: list[Segment] = []
    _cut(window.start_us, window.end_us, grains, minute_floor_us, coarse_until_us, found)
    return found


def _cut(
    start: int, end: int, grains: Sequence[str], minute_floor_us: int, coarse_until_us: int, found: list[Segment]
) -> None:
    """Cover `[start, end)` with the coarsest of `grains` (finest first), its ragged ends with the finer ones."""
    if start >= end:
        return
    if not grains:
        found.append(Segment(None, start, end))
        return
    *finer, grain = grains
    size = GRAINS_US[grain]
    reach = end if grain == "minute" else min(end, coarse_until_us)
    first, last = -(-start // size) * size, reach // size * size
    if grain == "minute" and first < minute_floor_us:
        first = max(first, minute_floor_us)
    if first >= last:
        _cut(start, end, finer, minute_floor_us, coarse_until_us, found)
        return
    _cut(start, first, finer, minute_floor_us, coarse_until_us, found)
    found.append(Segment(grain, first, last))
    _cut(last, end, finer, minute_floor_us, coarse_until_us, found)


_IN_ATTRIBUTES = {"gateway_key": "json_extract_string({table}attributes, '$.gateway_key')"}
"""Filters that are no column of their own."""


def conditions(filters: Filters, parameters: dict[str, Any], table: str = "") -> str:
    """` and …` for the filters, their values added to `parameters`. The empty string stands for "not known".

    `table` qualifies the columns where several tables have them.
    """
    text = ""
    for column, values in filters.items():
        named = _IN_ATTRIBUTES.get(column, "{table}" + column).format(table=f"{table}." if table else "")
        subject = f"coalesce({named}, '')" if "" in values else named
        text += f" and {subject} {among(f'f_{column}', values, parameters)}"
    return text


def among(parameter: str, values: Sequence[str], parameters: dict[str, Any]) -> str:
    """`= …` or `in …` for a column that must have one of the values, which are added to `parameters`.

    A single value, which is what people mostly choose, is looked for while reading; several are joined afterwards.
    """
    if len(values) == 1:
        parameters[parameter] = values[0]
        return f"= ${parameter}"
    parameters[parameter] = list(values)
    return f"in (select unnest(${parameter}::VARCHAR[]))"


def sums_rolled_up(columns: set[str]) -> bool:
    """Whether a rollup of sums keeps all of these columns apart; else the operations themselves have to be read."""
    return any(cube.covers(columns) for cube in SUM_CUBES)


class _Plan(NamedTuple):
    """The cube that answers (None: no cube knows all columns) and the segments to read of it."""

    cube: Cube | None
    segments: list[Segment]

    def table(self, prefix: str, segment: Segment) -> str:
        return (
            "operations" if self.cube is None or segment.grain is None else f"{prefix}_{self.cube.name}_{segment.grain}"
        )


def _planned(store: Store, scope: Scope, cubes: Sequence[Cube], columns: set[str], bucket_us: int | None) -> _Plan:
    cube = next((cube for cube in cubes if cube.covers(columns)), None)
    if cube is not None:
        cut = segments(
            scope.window,
            store.minute_floor_us,
            coarse_until_us=store.coarse_until_us,
            bucket_us=bucket_us,
            grains=cube.grains,
        )
        return _Plan(cube, cut)
    window = _around_sessions(store, scope) if scope.filters.session_id else scope.window
    return _Plan(None, [Segment(None, window.start_us, window.end_us)])


def _around_sessions(store: Store, scope: Scope) -> Window:
    """The part of the window in which its sessions did anything: sessions are short, so this spares a long scan."""
    parameters: dict[str, Any] = {"sessions": list(scope.filters.session_id)}
    day = GRAINS_US["day"]
    if "" in scope.filters.session_id:
        return scope.window
    first, last = store.query(
        "select min(bucket), max(bucket) from rollup_session_day "
        "where session_id in (select unnest($sessions::VARCHAR[]))",
        parameters,
    )[0]
    if first is None:
        return scope.window
    # A day either side of what is rolled up, for what came since the last refresh.
    start = max(scope.window.start_us, first - day)
    end = min(scope.window.end_us, last + 2 * day)
    return Window(start, end) if start < end else Window(scope.window.start_us, scope.window.start_us + 1)


def _narrowed(
    filters: Filters, kind: str | None, only: Only | None, parameters: dict[str, Any]
) -> tuple[str, set[str]]:
    """The condition of filters, kind and `only`, and the columns it names (the kind aside: every cube has it)."""
    condition = conditions(filters, parameters)
    columns = {column for column, _ in filters.items()}
    wanted = {**({} if kind is None else {"kind": kind}), **(only or {})}
    for column, value in wanted.items():
        columns.add(column)
        if value is None:
            condition += f" and {column} is null"
        else:
            parameters[f"only_{column}"] = value
            condition += f" and {column} = $only_{column}"
    return condition, columns


def measured(
    store: Store,
    scope: Scope,
    measures: Sequence[str],
    *,
    group: Sequence[str] = (),
    bucket_us: int | None = None,
    kind: str | None = None,
    only: Only | None = None,
) -> list[tuple[Any, ...]]:
    """Rows of (bucket if asked, group columns, measures), one per group, unordered; no group gives exactly one row."""
    return store.query(*_measuring(store, scope, measures, group, bucket_us, kind, only))


def ranked(
    store: Store, scope: Scope, measures: Sequence[str], *, group: Sequence[str], limit: int, kind: str | None = None
) -> tuple[list[tuple[Any, ...]], int]:
    """The first `limit` rows of (group columns, measures) by the first two measures, and the number of all groups.

    Only the rows shown leave the store: a month has more sessions than a page has room.
    """
    sql, parameters = _measuring(store, scope, measures, group, None, kind, None)
    order = [f"{name} desc" for name in measures[:2]] + [f"{column} nulls last" for column in group]
    rows = store.query(
        f"select *, count(*) over () from ({sql}) order by {', '.join(order)} limit $most",
        {**parameters, "most": limit},
    )
    return [row[:-1] for row in rows], rows[0][-1] if rows else 0


def _measuring(
    store: Store,
    scope: Scope,
    measures: Sequence[str],
    group: Sequence[str],
    bucket_us: int | None,
    kind: str | None,
    only: Only | None,
) -> tuple[str, dict[str, Any]]:
    """The statement of `measured`, and its parameters."""
    parameters: dict[str, Any] = {}
    condition, columns = _narrowed(scope.filters, kind, only, parameters)
    plan = _planned(store, scope, SUM_CUBES, columns | set(group), bucket_us)
    keys = [*(["bucket_start"] if bucket_us else []), *group]
    by = f" group by {', '.join(keys)}" if keys else ""
    parts: list[str] = []
    for number, segment in enumerate(plan.segments):
        parameters[f"lo{number}"], parameters[f"hi{number}"] = segment.start_us, segment.end_us
        raw = segment.grain is None
        time = "started_at" if raw else "bucket"
        selected = [f"{time} // {bucket_us} * {bucket_us} as bucket_start"] if bucket_us else []
        selected += group
        selected += [f"{MEASURES[name][1] if raw else _summed(name)} as {name}" for name in measures]
        parts.append(
            f"select {', '.join(selected)} from {plan.table('rollup', segment)} "
            f"where {time} >= $lo{number} and {time} < $hi{number}{condition}{by}"
        )
    outer = ", ".join([*keys, *(f"{_summed(name)} as {name}" for name in measures)])
    return f"select {outer} from ({' union all '.join(parts)}){by}", parameters


def _summed(name: str) -> str:
    return f"sum({name})::{MEASURES[name][0]}"


def binned(
    store: Store,
    scope: Scope,
    *,
    group: Sequence[str] = (),
    bucket_us: int | None = None,
    origin_us: int = 0,
    kind: str | None = None,
    only: Only | None = None,
) -> tuple[str, dict[str, Any]]:
    """SQL for rows of (bucket_start if `bucket_us`, group columns, bin, n), a row or more per bin, and its parameters.

    Buckets are counted from `origin_us`, which must be a whole number of the finest grain the answer may come from.
    """
    parameters: dict[str, Any] = {}
    condition, columns = _narrowed(scope.filters, kind, only, parameters)
    fits = bucket_us if bucket_us is None or origin_us % bucket_us == 0 else _common_grain(bucket_us, origin_us)
    plan = _planned(store, scope, LATENCY_CUBES, columns | set(group), fits)
    groups = "".join(f"{column}, " for column in group)
    listed = f"{'bucket_start, ' if bucket_us else ''}{groups}"
    parts: list[str] = []
    for number, segment in enumerate(plan.segments):
        parameters[f"lo{number}"], parameters[f"hi{number}"] = segment.start_us, segment.end_us
        raw = segment.grain is None
        time = "started_at" if raw else "bucket"
        bucket = ""
        if bucket_us:
            bucket = f"({time} - {origin_us}) // {bucket_us} * {bucket_us} + {origin_us} as bucket_start, "
        parts.append(
            f"select {bucket}{groups}{'duration_bin' if raw else 'bin'} as bin, {'count(*)' if raw else 'sum(n)'} as n "
            f"from {plan.table('latency', segment)} where {time} >= $lo{number} and {time} < $hi{number}"
            f"{' and duration_bin is not null' if raw else ''}{condition} "
            f"group by {listed}{'duration_bin' if raw else 'bin'}"
        )
    return " union all ".join(parts), parameters


def _common_grain(bucket_us: int, origin_us: int) -> int:
    """The coarsest grain that divides both; 1 (operations only) when none does."""
    fitting = [size for size in GRAINS_US.values() if bucket_us % size == 0 and origin_us % size == 0]
    return max(fitting, default=1)


def percentiles(
    store: Store,
    scope: Scope,
    quantiles: Sequence[float],
    *,
    group: Sequence[str] = (),
    bucket_us: int | None = None,
    origin_us: int = 0,
    kind: str | None = None,
    only: Only | None = None,
) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """Histogram bins at the quantiles: {(bucket if asked, *group): (count, bin, …)}; empty groups are absent."""
    bins, parameters = binned(store, scope, group=group, bucket_us=bucket_us, origin_us=origin_us, kind=kind, only=only)
    keys = [*(["bucket_start"] if bucket_us else []), *group]
    listed = "".join(f"{key}, " for key in keys)
    over = f"partition by {', '.join(keys)}" if keys else ""
    ranks = ", ".join(f"min(bin) filter (running >= {quantile} * total - 1e-9)" for quantile in quantiles)
    rows = store.query(
        f"with bins as (select {listed}bin, sum(n) as n from ({bins}) group by {listed}bin), "
        f"ranked as (select {listed}bin, sum(n) over ({over} order by bin) as running, "
        f"sum(n) over ({over}) as total from bins) "
        f"select {listed}max(total)::BIGINT, {ranks} from ranked{' group by ' + ', '.join(keys) if keys else ''}",
        parameters,
    )
    width = len(keys)
    return {row[:width]: row[width:] for row in rows if row[width]}
