"""Pages of operations: chosen, sorted and counted without reading more of history than the page needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, HOUR_US, Scope, Window
from ralex_core.stats.quantiles import MAX_BIN, ZERO_BIN, bin_of
from ralex_core.storage.queries.search import matching
from ralex_core.storage.queries.segments import conditions, measured, sums_rolled_up
from ralex_core.storage.schema import COLUMN_TYPES
from ralex_core.storage.telemetry import Store

_COLUMNS = ", ".join(Operation._fields)

SORTS = ("started_at", "duration_ms", "cost_usd", "input_tokens", "output_tokens", "name", "model")
_BINS = {"duration_ms": "duration_bin", "cost_usd": "cost_bin"}
EXACT_COLUMNS = ("name", "provider", "service", "client", "feature", "workflow", "door")
_MEASURES = {("status", "error"): "errors"} | {
    ("cost_basis", basis): f"basis_{basis}" for basis in ("billed", "computed", "reported")
}
"""What of a rollup counts the operations with a value."""
MAX_LIMIT = 500
COUNT_UP_TO = 100_000
"""Exact totals of a page are counted this far; beyond it the page says "more than"."""


@dataclass(frozen=True, slots=True)
class OperationsPage:
    """A page of operations and how many there are in all (`total_is_exact` False: at least that many)."""

    rows: list[Operation]
    total: int
    total_is_exact: bool


class _Near(NamedTuple):
    """A condition that holds for all values up to a bound and for few beyond it, with its parameters."""

    condition: str = ""
    parameters: Mapping[str, Any] = {}


_ANYWHERE = _Near()


@dataclass(slots=True)
class _Asked:
    """What a page is asked of: the condition in SQL, its parameters, and the columns it names."""

    scope: Scope
    where: str = ""
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])
    only: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """Columns that must have one value beside the filters."""
    measure: str | None = "operations"
    """What of a rollup counts what is asked; None when something is asked that no rollup could tell."""

    def narrow(self, condition: str, measure: str | None = None) -> None:
        """Ask for a condition more, which `measure` of a rollup counts if it is the only one."""
        self.where += f" and {condition}"
        self.measure = measure if self.measure == "operations" else None

    def within(self, low_us: int, high_us: int, near: _Near = _ANYWHERE) -> tuple[str, dict[str, Any]]:
        """`from … where …` for a part of the window, and its parameters.

        `near` comes first: what rules out most and reads least is to be looked at before anything else.
        """
        return (
            f"from operations where {near.condition}started_at >= $low and started_at < $high{self.where}",
            {**self.parameters, **near.parameters, "low": low_us, "high": high_us},
        )


def operations_page(
    store: Store,
    scope: Scope,
    *,
    sort: str = "started_at",
    descending: bool = True,
    limit: int = 50,
    offset: int = 0,
    kind: str | None = None,
    status: str | None = None,
    basis: str | None = None,
    quarantined: bool = False,
    search: str | None = None,
    exactly: Sequence[tuple[str, str]] = (),
) -> OperationsPage:
    """Operations that started in the window, in the order asked for; unknown values come last.

    `search` is a case-insensitive part of a name, model or user, or a whole operation, session, trace or request id
    (the last two are looked for where nothing else is found). `exactly` names columns of `EXACT_COLUMNS` and their
    value; an empty one means "not known".

    Raises:
        ValueError: `sort` is not one of `SORTS`, or a column is not one of `EXACT_COLUMNS`.
    """
    if sort not in SORTS:
        raise ValueError(f"cannot sort by {sort!r}; choose one of {', '.join(SORTS)}")
    asked = _Asked(scope)
    asked.where = conditions(scope.filters, asked.parameters)
    _narrow(asked, kind, status, basis, quarantined, exactly)
    if search and (text := search.strip()):
        found = matching(store, scope, text, asked.parameters)
        if not found:
            return OperationsPage([], 0, True)
        condition, window = found
        asked.narrow(condition)
        asked.scope = Scope(window, scope.filters)
    wanted = range(max(offset, 0), max(offset, 0) + min(limit, MAX_LIMIT))
    ids = _page_ids(store, asked, sort, descending, wanted)
    direction = "desc" if descending else "asc"
    rows = store.query(
        f"select {_COLUMNS} from operations where rowid in (select unnest($ids::BIGINT[])) "
        f"order by {sort} {direction} nulls last, rowid {direction}",
        {"ids": ids},
    )
    counted = max(_count(store, asked), wanted.start + len(rows) if rows else 0)
    return OperationsPage([Operation._make(row) for row in rows], min(counted, COUNT_UP_TO), counted <= COUNT_UP_TO)


def _narrow(
    asked: _Asked,
    kind: str | None,
    status: str | None,
    basis: str | None,
    quarantined: bool,
    exactly: Sequence[tuple[str, str]],
) -> None:
    """Add to the condition what is asked beside the filters."""
    for column, value in (("kind", kind), *exactly):
        if column != "kind" and column not in EXACT_COLUMNS:
            raise ValueError(f"cannot select by {column!r}; choose one of {', '.join(EXACT_COLUMNS)}")
        if value is None:
            continue
        asked.only[column] = value or None
        asked.parameters |= {f"exact_{column}": value} if value else {}
        asked.where += f" and {column} = $exact_{column}" if value else f" and {column} is null"
    for column, value in (("status", status), ("cost_basis", basis)):
        if value:
            asked.parameters[column] = value
            asked.narrow(f"{column} = ${column}", _MEASURES.get((column, value)))
    if quarantined:
        asked.narrow("quarantine is not null", "quarantined")


def _count(store: Store, asked: _Asked) -> int:
    """How many operations there are, counted to just beyond `COUNT_UP_TO`.

    From rollups where they know what is asked, which are a moment behind: the last day is always counted.
    """
    window, filters = asked.scope.window, asked.scope.filters
    last_day = (window.end_us - DAY_US) // DAY_US * DAY_US
    since, rolled = window.start_us, 0
    columns = {"kind", *asked.only, *(column for column, _ in filters.items())}
    if asked.measure and since < last_day and sums_rolled_up(columns):
        before = Scope(Window(since, last_day), filters)
        rolled = measured(store, before, (asked.measure,), only=asked.only)[0][0] or 0
        since = last_day
    of, parameters = asked.within(since, window.end_us)
    return rolled + store.query(f"select count(*) from (select 1 {of} limit {COUNT_UP_TO + 1})", parameters)[0][0]


def _page_ids(store: Store, asked: _Asked, sort: str, descending: bool, wanted: range) -> list[int]:
    """The row ids of a page: sorting a few bytes a row and not forty-five columns keeps a page of many rows quick."""
    if sort == "started_at":
        return _ids_by_time(store, asked, descending, wanted)
    direction = "desc" if descending else "asc"
    order = f"order by value {direction} nulls last, place {direction} limit"
    window, columns = asked.scope.window, f"select {sort} as value, rowid as place"
    if sort in _BINS:
        near = _near_the_end(store, asked, sort, descending, wanted.stop)
        of, parameters = asked.within(window.start_us, window.end_us, near)
        rows = f"{columns} {of}"
    else:
        of, parameters = asked.within(window.start_us, window.end_us)
        rows = f"{columns} {of}"
        last = _bound(store, asked, sort, descending, wanted.stop)
        if last:  # names and counts repeat: of those that equal the bound only so many are sorted
            value, (before, up_to) = f"$bound::{COLUMN_TYPES[sort]}", (">", ">=") if descending else ("<", "<=")
            rows = (
                f"({rows} and {sort} {before} {value} {order} {wanted.stop}) union all "
                f"({rows} and {sort} = {value} and rowid {up_to} $last {order} {wanted.stop})"
            )
            parameters |= {"bound": last[0], "last": last[1]}
    ids = store.query(f"select place from ({rows}) {order} {len(wanted)} offset {wanted.start}", parameters)
    return [row[0] for row in ids]


def _ids_by_time(store: Store, asked: _Asked, newest: bool, wanted: range) -> list[int]:
    window, direction = asked.scope.window, "desc" if newest else "asc"
    ids: list[tuple[int]] = []
    for low, high in (*_ends(window, (HOUR_US, DAY_US, 7 * DAY_US), newest), (window.start_us, window.end_us)):
        of, parameters = asked.within(low, high)
        ids = store.query(
            f"select rowid {of} order by started_at {direction}, rowid {direction} "
            f"limit {len(wanted)} offset {wanted.start}",
            parameters,
        )
        if len(ids) == len(wanted):
            break
    return [row[0] for row in ids]


def _bound(store: Store, asked: _Asked, sort: str, descending: bool, count: int) -> tuple[Any, int] | None:
    """The value and row id up to which there are `count` operations in one day or week alone, so that nothing beyond is
    among the first `count` of the whole window: skipping that while reading spares sorting it. None: too few have one.
    """
    for low, high in _ends(asked.scope.window, (DAY_US, 7 * DAY_US), descending):
        if last := _last_of(store, asked.within(low, high), sort, descending, count):
            return last
    return None


def _near_the_end(store: Store, asked: _Asked, sort: str, descending: bool, count: int) -> _Near:
    """The same for a column with bins, as a condition on those. The bound of a day makes finding that of a fortnight
    cheap, and beyond that one are few."""
    near = _ANYWHERE
    for low, high in _ends(asked.scope.window, (DAY_US, 14 * DAY_US), descending):
        if last := _last_of(store, asked.within(low, high, near), sort, descending, count):
            bin = bin_of(float(last[0]))  # and one more on either side: DuckDB may round a logarithm otherwise
            near = (
                _Near(f"{_BINS[sort]} >= $bin::SMALLINT and ", {"bin": max(ZERO_BIN, bin - 1)})
                if descending
                else _Near(f"{_BINS[sort]} <= $bin::SMALLINT and ", {"bin": min(MAX_BIN, bin + 1)})
            )
    return near


def _last_of(
    store: Store, within: tuple[str, dict[str, Any]], sort: str, descending: bool, count: int
) -> tuple[Any, int] | None:
    """Value and row id of the last of the first `count` of known value; None when there are fewer."""
    of, parameters = within
    direction = "desc" if descending else "asc"
    found = store.query(
        f"select {sort}, rowid {of} and {sort} is not null order by {sort} {direction}, rowid {direction} "
        f"limit 1 offset {count - 1}",
        parameters,
    )
    return (found[0][0], found[0][1]) if found else None


def _ends(window: Window, spans_us: Sequence[int], newest: bool) -> list[tuple[int, int]]:
    """The last (or first) stretches of these lengths, as far as they are shorter than the window."""
    shorter = [span for span in spans_us if span < window.length_us]
    if newest:
        return [(window.end_us - span, window.end_us) for span in shorter]
    return [(window.start_us, window.start_us + span) for span in shorter]
