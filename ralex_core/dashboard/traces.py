"""The list of traces with its links, and one trace with what is conspicuous in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from ralex_core.dashboard.bottlenecks import finding_view, hot_spot_view, mended
from ralex_core.dashboard.contexts.frame import Choice
from ralex_core.dashboard.contexts.operations import Column
from ralex_core.dashboard.contexts.traces import TraceDetail, TraceExplorer, TraceItem, TraceList
from ralex_core.dashboard.params import PAGE_SIZES, Query, View, href, one_of, read_whole
from ralex_core.dashboard.problems import bad_parameter
from ralex_core.dashboard.waterfall import trace_view
from ralex_core.model.operation import Operation
from ralex_core.monitoring.bottlenecks import find_in_trace
from ralex_core.render import to_iso
from ralex_core.storage.queries import TraceRow, traces_page
from ralex_core.storage.queries.traces import TRACE_SORTS
from ralex_core.storage.telemetry import Store

PATH = "/traces"
MAX_OPERATIONS = 10_000
"""A trace is analysed up to this many operations."""
MAX_SEARCH = 500
MAX_PAGES = 2000
TRACE_PARAMS = ("q", "errors", "sort", "dir", "page", "size")

_COLUMNS: tuple[tuple[str, str, bool], ...] = (
    ("started_at", "Started", True),
    ("name", "Began with", False),
    ("duration_ms", "Duration", True),
    ("operations", "Operations", True),
    ("errors", "Errors", True),
    ("cost_usd", "Cost", True),
    ("project", "Project", False),
)
"""(key, title, whether it can be sorted by)"""


@dataclass(frozen=True, slots=True)
class TracesRequest:
    """Which traces the list shows, in which order, which page of them."""

    search: str | None = None
    errors: bool = False
    sort: str = "started_at"
    descending: bool = True
    page: int = 1
    size: int = 50

    def pairs(self) -> list[tuple[str, str]]:
        """What differs from the default, as query parameters."""
        pairs = [("q", self.search)] if self.search else []
        if self.errors:
            pairs.append(("errors", "1"))
        if self.sort != "started_at" or not self.descending:
            pairs += [("sort", self.sort), ("dir", "desc" if self.descending else "asc")]
        if self.size != 50:
            pairs.append(("size", str(self.size)))
        if self.page != 1:
            pairs.append(("page", str(self.page)))
        return pairs


def read_traces_request(query: Query) -> TracesRequest:
    """Selection, order and page of the list of traces.

    Raises:
        RequestProblem: 422, naming the parameter and what it can be.
    """
    given = {name: value for name, value in query if value}
    search = given.get("q", "").strip()
    if len(search) > MAX_SEARCH:
        raise bad_parameter("q", search, f"search for at most {MAX_SEARCH} characters.")
    return TracesRequest(
        search=search or None,
        errors=one_of(query, "errors", ("0", "1"), "0") == "1",
        sort=one_of(query, "sort", TRACE_SORTS, "started_at"),
        descending=one_of(query, "dir", ("desc", "asc"), "desc") == "desc",
        page=read_whole(query, "page", 1, 1, MAX_PAGES),
        size=read_whole(query, "size", 50, 1, PAGE_SIZES[-1]),
    )


def trace_href(trace_id: str) -> str:
    """The page of one trace; ids come from outside and may hold anything."""
    return f"{PATH}/{quote(trace_id, safe='')}"


def read_traces(store: Store, view: View, request: TracesRequest) -> TraceList:
    """One page of traces. A page beyond the last one is empty."""
    page = traces_page(
        store,
        view.scope,
        sort=request.sort,
        descending=request.descending,
        limit=request.size,
        offset=(request.page - 1) * request.size,
        errors=request.errors,
        search=request.search,
    )
    return TraceList(
        rows=[_item(row) for row in page.rows],
        total=page.total,
        page=request.page,
        size=request.size,
        pages=min(max(1, -(-page.total // request.size)), MAX_PAGES),
    )


def _item(row: TraceRow) -> TraceItem:
    return TraceItem(
        trace_id=row.trace_id,
        name=row.name,
        kind=row.kind,
        service=row.service,
        project=row.project,
        started_at=to_iso(row.started_at) or "",
        started_us=row.started_at,
        duration_ms=row.duration_ms,
        operations=row.operations,
        errors=row.errors,
        cost_usd=row.cost_usd,
        operation_id=row.operation_id,
        href=trace_href(row.trace_id),
    )


def trace_explorer(listed: TraceList, view: View, request: TracesRequest) -> TraceExplorer:
    """The list with all its links; each keeps range, filters and the rest of the selection."""

    def link(changed: TracesRequest) -> str:
        return href(PATH, view.pairs() + changed.pairs())

    first_page = replace(request, page=1)
    first = (listed.page - 1) * listed.size + 1 if listed.rows else 0
    return TraceExplorer(
        rows=listed.rows,
        total=listed.total,
        total_text=f"{listed.total:,}",
        page=listed.page,
        pages=listed.pages,
        first=first,
        last=first + len(listed.rows) - 1 if listed.rows else 0,
        columns=[_column(key, title, sortable, first_page, link) for key, title, sortable in _COLUMNS],
        prev_href=link(replace(request, page=min(listed.page - 1, listed.pages))) if listed.page > 1 else None,
        next_href=link(replace(request, page=listed.page + 1)) if listed.page < listed.pages else None,
        sizes=[
            Choice(str(size), str(size), link(replace(first_page, size=size)), size == listed.size)
            for size in PAGE_SIZES
        ],
        search=request.search or "",
        errors=request.errors,
        hidden=view.pairs() + [pair for pair in first_page.pairs() if pair[0] in ("sort", "dir", "size")],
        reset_href=href(PATH, view.range_pairs()),
    )


def _column(
    key: str, title: str, sortable: bool, request: TracesRequest, link: Callable[[TracesRequest], str]
) -> Column:
    numeric = key in ("duration_ms", "operations", "errors", "cost_usd")
    if not sortable:
        return Column(key, title, False, None, "", numeric)
    active = request.sort == key
    target = link(replace(request, sort=key, descending=not request.descending if active else True))
    return Column(key, title, True, target, ("desc" if request.descending else "asc") if active else "", numeric)


def trace_detail(operations: Sequence[Operation], exact: Callable[[int], str]) -> TraceDetail | None:
    """One trace in full; None without operations."""
    drawn, found = trace_view(operations, ""), find_in_trace(operations)
    if drawn is None or found is None:
        return None
    notes = mended(found.mends)
    if len(operations) >= MAX_OPERATIONS:
        notes.insert(0, f"The trace has more operations; the first {MAX_OPERATIONS:,} were read.")
    began = found.began
    recorded = sum(spot.path_ms for spot in found.spots)
    return TraceDetail(
        trace=drawn,
        name=began.name,
        kind=began.kind,
        errors=sum(op.status == "error" for op in operations),
        spots=[hot_spot_view(spot, [("range", "all")]) for spot in found.spots],
        unrecorded_ms=max(found.duration_ms - recorded, 0.0),
        findings=[finding_view(finding, exact) for finding in found.findings],
        notes=notes,
    )
