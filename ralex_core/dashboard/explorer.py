"""The operations table: which rows, in which order, and the links that change both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ralex_core.dashboard.contexts.frame import Chip, Choice
from ralex_core.dashboard.contexts.operations import Column, Explorer, OperationList, Select
from ralex_core.dashboard.params import (
    BASES,
    LIST_FIELDS,
    MAX_OFFSET,
    PAGE_SIZES,
    SORT_COLUMNS,
    ListRequest,
    SortColumn,
    View,
    href,
)
from ralex_core.dashboard.rows import operation_row
from ralex_core.model.operation import KINDS, STATUSES
from ralex_core.storage.queries import operations_page
from ralex_core.storage.telemetry import Store

PATH = "/operations"

_COLUMNS: tuple[tuple[str, str, bool], ...] = (
    ("started_at", "Started", False),
    ("name", "Operation", False),
    ("model", "Model", False),
    ("tier", "Tier", False),
    ("status", "Status", False),
    ("duration_ms", "Duration", True),
    ("input_tokens", "Tokens in", True),
    ("output_tokens", "Tokens out", True),
    ("cost_usd", "Cost", True),
    ("project", "Project", False),
    ("user", "User", False),
)
"""(key, title, whether its values are numbers)"""

_TEXT_COLUMNS = frozenset({"name", "model"})
"""Sorted from A to Z at the first click; everything else from the largest or newest down."""


def read_page(store: Store, view: View, request: ListRequest) -> OperationList:
    """One page of operations. A page beyond the last one is empty."""
    page = operations_page(
        store,
        view.scope,
        sort=request.sort,
        descending=request.descending,
        limit=request.size,
        offset=(request.page - 1) * request.size,
        kind=request.kind,
        status=request.status,
        basis=request.basis,
        quarantined=request.quarantined,
        search=request.search,
        exactly=request.exactly,
    )
    reachable = min(page.total, MAX_OFFSET + request.size)
    return OperationList(
        rows=[operation_row(operation) for operation in page.rows],
        total=page.total,
        total_is_exact=page.total_is_exact,
        page=request.page,
        size=request.size,
        pages=max(1, -(-reachable // request.size)),
    )


def explorer(listed: OperationList, view: View, request: ListRequest) -> Explorer:
    """The table with all its links; each keeps range, filters and the rest of the selection."""

    def link(changed: ListRequest) -> str:
        return href(PATH, view.pairs() + changed.pairs())

    first_page = request.at_page(1)
    first = (listed.page - 1) * listed.size + 1 if listed.rows else 0
    return Explorer(
        rows=listed.rows,
        total=listed.total,
        total_is_exact=listed.total_is_exact,
        total_text=f"{listed.total:,}" + ("" if listed.total_is_exact else "+"),
        page=listed.page,
        size=listed.size,
        pages=listed.pages,
        first=first,
        last=first + len(listed.rows) - 1 if listed.rows else 0,
        columns=[_column(key, title, numeric, request, link) for key, title, numeric in _COLUMNS],
        prev_href=link(request.at_page(min(listed.page - 1, listed.pages))) if listed.page > 1 else None,
        next_href=link(request.at_page(listed.page + 1)) if listed.page < listed.pages else None,
        sizes=[
            Choice(str(size), str(size), link(replace(first_page, size=size)), size == listed.size)
            for size in PAGE_SIZES
        ],
        selects=[
            _select("kind", "Kind", request.kind, KINDS, "All kinds"),
            _select("status", "Status", request.status, STATUSES, "Any status"),
            _select("basis", "Cost basis", request.basis, BASES, "Any basis"),
        ],
        search=request.search or "",
        quarantined=request.quarantined,
        chips=[_chip(name, value, first_page, link) for name, value in request.exactly],
        hidden=view.pairs()
        + [pair for pair in first_page.pairs() if pair[0] in ("sort", "dir", "size") or pair[0] in LIST_FIELDS],
        reset_href=href(PATH, view.range_pairs()),
    )


def _column(key: str, title: str, numeric: bool, request: ListRequest, link: Callable[[ListRequest], str]) -> Column:
    if key not in SORT_COLUMNS:
        return Column(key, title, False, None, "", numeric)
    column: SortColumn = key  # pyright: ignore[reportAssignmentType] - just checked
    active = request.sort == key
    descending = not request.descending if active else key not in _TEXT_COLUMNS
    target = link(replace(request.at_page(1), sort=column, descending=descending))
    return Column(key, title, True, target, ("desc" if request.descending else "asc") if active else "", numeric)


def _chip(name: str, value: str, request: ListRequest, link: Callable[[ListRequest], str]) -> Chip:
    others = tuple(pair for pair in request.exactly if pair[0] != name)
    return Chip(name, LIST_FIELDS[name], value or "not known", link(replace(request, exactly=others)))


def _select(param: str, label: str, value: str | None, options: tuple[str, ...], everything: str) -> Select:
    return Select(param, label, value or "", [("", everything), *((option, option) for option in options)])
