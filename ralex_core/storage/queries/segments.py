"""Which tables answer for a window: whole days from day rollups, the rest from hours, minutes and operations.

Everything stored is additive, so a window is cut into segments, each read from the coarsest table that covers it
exactly; the sums of the segments are exact for the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US, Filters, Scope, Window
from ralex_core.storage.schema import DIMENSIONS, GRAINS_US, MEASURES
from ralex_core.storage.telemetry import Store

SECOND_US = 1_000_000
_ROUND_BUCKETS = (
    *(SECOND_US * n for n in (1, 5, 10, 30)),
    *(MINUTE_US * n for n in (1, 5, 10, 30)),
    *(HOUR_US * n for n in (1, 2, 4, 12)),
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


def segments(window: Window, minute_floor_us: int, *, bucket_us: int | None = None) -> list[Segment]:
    """Cut a window, coarse grains first. With `bucket_us`, only grains that fit whole into such a bucket are used."""
    found: list[Segment] = []
    _cut(window.start_us, window.end_us, ["day", "hour", "minute"], minute_floor_us, bucket_us, found)
    return found


def _cut(
    start: int, end: int, grains: Sequence[str], minute_floor_us: int, bucket_us: int | None, found: list[Segment]
) -> None:
    if start >= end:
        return
    if not grains:
        found.append(Segment(None, start, end))
        return
    grain, *finer = grains
    size = GRAINS_US[grain]
    first, last = -(-start // size) * size, end // size * size
    fits = bucket_us is None or bucket_us % size == 0
    kept = grain != "minute" or first >= minute_floor_us
    if first >= last or not fits or not kept:
        _cut(start, end, finer, minute_floor_us, bucket_us, found)
        return
    _cut(start, first, finer, minute_floor_us, bucket_us, found)
    found.append(Segment(grain, first, last))
    _cut(last, end, finer, minute_floor_us, bucket_us, found)


def needs_operations(filters: Filters, group: Iterable[str]) -> bool:
    """Whether a question asks about something that rollups do not keep apart."""
    return any(column not in DIMENSIONS for column, _ in filters.items()) or any(c not in DIMENSIONS for c in group)


def conditions(filters: Filters, parameters: dict[str, Any]) -> str:
    """` and …` for the filters, their values added to `parameters`. The empty string stands for "not known"."""
    text = ""
    for column, values in filters.items():
        parameters[f"f_{column}"] = list(values)
        subject = f"coalesce({column}, '')" if "" in values else column
        text += f" and {subject} in (select unnest($f_{column}::VARCHAR[]))"
    return text


def planned(store: Store, scope: Scope, group: Sequence[str], bucket_us: int | None) -> list[Segment]:
    """The segments a question reads."""
    if needs_operations(scope.filters, group):
        return [Segment(None, scope.window.start_us, scope.window.end_us)]
    return segments(scope.window, store.minute_floor_us, bucket_us=bucket_us)


def measured(
    store: Store,
    scope: Scope,
    measures: Sequence[str],
    *,
    group: Sequence[str] = (),
    bucket_us: int | None = None,
    where: str = "",
) -> list[tuple[Any, ...]]:
    """Rows of (bucket if asked, group columns, measures), one per group, unordered; no group gives exactly one row.

    `where` is a further condition on dimensions, written as ` and …`.
    """
    parameters: dict[str, Any] = {}
    condition = conditions(scope.filters, parameters) + where
    keys = [*(["bucket_start"] if bucket_us else []), *group]
    parts: list[str] = []
    for number, segment in enumerate(planned(store, scope, group, bucket_us)):
        parameters[f"lo{number}"], parameters[f"hi{number}"] = segment.start_us, segment.end_us
        table = "operations" if segment.grain is None else f"rollup_{segment.grain}"
        time = "started_at" if segment.grain is None else "bucket"
        columns = [f"{time} // {bucket_us} * {bucket_us} as bucket_start"] if bucket_us else []
        columns += group
        columns += [f"{MEASURES[name][1] if segment.grain is None else _summed(name)} as {name}" for name in measures]
        by = f" group by {', '.join(keys)}" if keys else ""
        parts.append(
            f"select {', '.join(columns)} from {table} "
            f"where {time} >= $lo{number} and {time} < $hi{number}{condition}{by}"
        )
    outer = ", ".join([*keys, *(_summed(name) for name in measures)])
    by = f" group by {', '.join(keys)}" if keys else ""
    return store.query(f"select {outer} from ({' union all '.join(parts)}){by}", parameters)


def _summed(name: str) -> str:
    return f"sum({name})::{MEASURES[name][0]}"


def percentiles(
    store: Store,
    scope: Scope,
    quantiles: Sequence[float],
    *,
    group: Sequence[str] = (),
    bucket_us: int | None = None,
    kind: str | None = None,
) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """Histogram bins at the quantiles: {(bucket if asked, *group): (count, bin, …)}; empty groups are absent."""
    parameters: dict[str, Any] = {}
    condition = conditions(scope.filters, parameters)
    if kind is not None:
        parameters["kind"] = kind
        condition += " and kind = $kind"
    slim = not group and not scope.filters.items()
    keys = [*(["bucket_start"] if bucket_us else []), *group]
    listed = "".join(f"{key}, " for key in keys)
    parts: list[str] = []
    for number, segment in enumerate(planned(store, scope, group, bucket_us)):
        parameters[f"lo{number}"], parameters[f"hi{number}"] = segment.start_us, segment.end_us
        raw = segment.grain is None
        table = "operations" if raw else f"latency_{'kind_' if slim else ''}{segment.grain}"
        time = "started_at" if raw else "bucket"
        bucket = f"{time} // {bucket_us} * {bucket_us} as bucket_start, " if bucket_us else ""
        groups = "".join(f"{column}, " for column in group)
        parts.append(
            f"select {bucket}{groups}{'duration_bin' if raw else 'bin'} as bin, {'count(*)' if raw else 'sum(n)'} as n "
            f"from {table} where {time} >= $lo{number} and {time} < $hi{number}"
            f"{' and duration_bin is not null' if raw else ''}{condition} group by {listed}bin"
        )
    over = f"partition by {', '.join(keys)}" if keys else ""
    ranks = ", ".join(f"min(bin) filter (running >= {quantile} * total - 1e-9)" for quantile in quantiles)
    rows = store.query(
        f"with bins as (select {listed}bin, sum(n) as n from ({' union all '.join(parts)}) group by {listed}bin), "
        f"ranked as (select {listed}bin, sum(n) over ({over} order by bin) as running, "
        f"sum(n) over ({over}) as total from bins) "
        f"select {listed}max(total)::BIGINT, {ranks} from ranked{' group by ' + ', '.join(keys) if keys else ''}",
        parameters,
    )
    width = len(keys)
    return {row[:width]: row[width:] for row in rows if row[width]}
