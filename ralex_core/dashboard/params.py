"""Reads range, filters and paging from the address, and writes them back: every view is a link that can be shared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Literal, get_args
from urllib.parse import urlencode

from ralex_core.dashboard.contexts.frame import RangeView
from ralex_core.dashboard.problems import bad_parameter
from ralex_core.model.operation import KINDS, STATUSES
from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US, Filters, Scope, Window
from ralex_core.render import exact, to_iso
from ralex_core.storage.queries import bucket_for

LIVE_US = 15 * MINUTE_US

RANGES: dict[str, tuple[str, int | None]] = {
    "live": ("Live 15 min", LIVE_US),
    "1h": ("1 hour", HOUR_US),
    "24h": ("24 hours", DAY_US),
    "7d": ("7 days", 7 * DAY_US),
    "30d": ("30 days", 30 * DAY_US),
    "all": ("All time", None),
    "custom": ("Custom", None),
}
REFRESH_S: dict[str, int | None] = {"live": None, "1h": 5, "24h": 15, "7d": 60, "30d": 60, "all": 60, "custom": None}
"""How often a page that shows this range asks for it again while operations come in; live comes by WebSocket."""

FILTER_FIELDS: dict[str, tuple[str, str]] = {
    "project": ("project", "Project"),
    "model": ("model", "Model"),
    "tier": ("tier", "Tier"),
    "user": ("user_id", "User"),
    "session": ("session_id", "Session"),
}
"""Parameter → (column, label)."""

MAX_VALUES = 50
MAX_VALUE_LENGTH = 500
EARLIEST_US = 0
LATEST_US = 4_102_444_800_000_000
"""2100-01-01: a year typed with one digit too many is a mistake, not a question."""

Query = Sequence[tuple[str, str]]
Extent = tuple[int, int] | None

SortColumn = Literal["started_at", "duration_ms", "cost_usd", "input_tokens", "output_tokens", "name", "model"]
SORT_COLUMNS: tuple[str, ...] = get_args(SortColumn)
LIST_FIELDS: dict[str, str] = {
    "name": "Operation",
    "provider": "Provider",
    "service": "Service",
    "client": "Client",
    "feature": "Feature",
    "workflow": "Workflow",
    "door": "Door",
}
"""Columns by which the table of operations, and nothing else, can be narrowed to one value; and their labels."""

BASES = ("billed", "computed", "reported", "unknown")
PAGE_SIZES = (25, 50, 100, 200)
MAX_OFFSET = 100_000
"""Nobody pages further; a filter finds it."""


@dataclass(frozen=True, slots=True)
class View:
    """A range and filters, as asked for and as resolved."""

    range: RangeView
    filters: Filters
    bucket_us: int
    """The width of a bucket of this range's charts."""
    custom: tuple[str, str] | None = None
    """`from` and `to` as they were written, for range `custom`."""

    @property
    def scope(self) -> Scope:
        return Scope(Window(self.range.start_us, self.range.end_us), self.filters)

    def range_pairs(self) -> list[tuple[str, str]]:
        pairs = [("range", self.range.key)]
        if self.custom is not None:
            pairs += [("from", self.custom[0]), ("to", self.custom[1])]
        return pairs

    def pairs(self) -> list[tuple[str, str]]:
        return self.range_pairs() + filter_pairs(self.filters)

    @property
    def query(self) -> str:
        """The canonical query string of range and filters."""
        return urlencode(self.pairs())


@dataclass(frozen=True, slots=True)
class ListRequest:
    """Which operations the explorer shows, in which order, which page of them."""

    kind: str | None = None
    status: str | None = None
    basis: str | None = None
    quarantined: bool = False
    search: str | None = None
    exactly: tuple[tuple[str, str], ...] = ()
    """Columns of `LIST_FIELDS` and the one value of each; empty means "not known"."""
    sort: SortColumn = "started_at"
    descending: bool = True
    page: int = 1
    size: int = 50

    def pairs(self) -> list[tuple[str, str]]:
        """What differs from the default, as query parameters."""
        pairs = [
            (name, value)
            for name, value in (("kind", self.kind), ("status", self.status), ("basis", self.basis))
            if value
        ]
        if self.quarantined:
            pairs.append(("quarantined", "1"))
        if self.search:
            pairs.append(("q", self.search))
        pairs += self.exactly
        if self.sort != "started_at" or not self.descending:
            pairs += [("sort", self.sort), ("dir", "desc" if self.descending else "asc")]
        if self.size != 50:
            pairs.append(("size", str(self.size)))
        if self.page != 1:
            pairs.append(("page", str(self.page)))
        return pairs

    def at_page(self, page: int) -> ListRequest:
        return replace(self, page=page)


def href(path: str, pairs: Iterable[tuple[str, str]]) -> str:
    query = urlencode(list(pairs))
    return f"{path}?{query}" if query else path


def filter_pairs(filters: Filters) -> list[tuple[str, str]]:
    """Filters as query parameters, in the order of `FILTER_FIELDS`."""
    return [(param, value) for param, (column, _) in FILTER_FIELDS.items() for value in getattr(filters, column)]


def read_filters(query: Query) -> Filters:
    """The filters of a query string; a value given twice counts once, and an empty one means "not known".

    Raises:
        RequestProblem: 422, too many values or a value too long.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    for param, (column, _) in FILTER_FIELDS.items():
        values = tuple(dict.fromkeys(value for name, value in query if name == param))
        if len(values) > MAX_VALUES:
            raise bad_parameter(param, f"{len(values)} values", f"at most {MAX_VALUES} can be combined.")
        for value in values:
            if len(value) > MAX_VALUE_LENGTH:
                raise bad_parameter(param, value, f"it is longer than {MAX_VALUE_LENGTH} characters.")
        chosen[column] = values
    return Filters(**chosen)


def read_view(query: Query, *, now_us: int, zone: tzinfo, extent: Callable[[], Extent]) -> View:
    """Range and filters of a query string.

    Without a range, the smallest of 24 h, 7 d, 30 d and all that reaches the newest operation is chosen, so that a
    page opens on data when an old log was imported. `extent` is asked only when it is needed.

    Raises:
        RequestProblem: 422, naming the parameter and what it can be.
    """
    filters = read_filters(query)
    given = dict(query)
    key = given.get("range") or ("custom" if given.get("from") or given.get("to") else "")
    # whole seconds: requests of the same second share one answer
    now_us = now_us // 1_000_000 * 1_000_000 + 1_000_000
    if key == "custom":
        window, custom = _custom(given, now_us, zone)
        label = f"{exact(window.start_us, zone)[:16]} – {exact(window.end_us, zone)[:16]}"
        return View(_range("custom", label, window, explicit=True), filters, bucket_for(window), custom)
    if key and key not in RANGES:
        raise bad_parameter("range", key, f"use one of {', '.join(RANGES)}.")
    explicit = bool(key)
    held = extent() if key in ("", "all") else None
    if not key:
        key = _reaching(held, now_us)
    label, length = RANGES[key]
    window = Window(now_us - length, now_us) if length is not None else _everything(held, now_us)
    bucket_us = bucket_for(window)
    return View(_range(key, label, _whole_buckets(window, bucket_us), explicit=explicit), filters, bucket_us)


def _range(key: str, label: str, window: Window, *, explicit: bool) -> RangeView:
    return RangeView(
        key,
        label,
        key == "live",
        explicit,
        window.start_us,
        window.end_us,
        to_iso(window.start_us) or "",
        to_iso(window.end_us) or "",
    )


def _whole_buckets(window: Window, bucket_us: int) -> Window:
    """The window from the start of its first bucket on, and in long ones to the end of the minute.

    No chart begins with a part of a bucket, and long ranges are answered from rollups alone: a third less work.
    """
    end_us = window.end_us if bucket_us < MINUTE_US else -(-window.end_us // MINUTE_US) * MINUTE_US
    return Window(window.start_us // bucket_us * bucket_us, end_us)


def _reaching(held: Extent, now_us: int) -> str:
    if held is None:
        return "24h"
    for key in ("24h", "7d", "30d"):
        if held[1] >= now_us - (RANGES[key][1] or 0):
            return key
    return "all"


def _everything(held: Extent, now_us: int) -> Window:
    if held is None:
        return Window(now_us - DAY_US, now_us)
    first, last = held
    end = max(last + 1, now_us) if now_us - last < DAY_US else last + 1
    return Window(first, max(end, first + MINUTE_US))


def _custom(given: dict[str, str], now_us: int, zone: tzinfo) -> tuple[Window, tuple[str, str]]:
    start_text, end_text = given.get("from", ""), given.get("to", "")
    if not start_text:
        raise bad_parameter("from", start_text, "a custom range needs a start, such as 2026-11-01 or 2026-11-01T08:00.")
    start = read_moment("from", start_text, zone)
    end = read_moment("to", end_text, zone) if end_text else now_us
    if end <= start:
        raise bad_parameter("to", end_text, f"it must be later than 'from' ({start_text}).")
    return Window(start, end), (start_text, end_text or (to_iso(end) or ""))


def read_moment(name: str, text: str, zone: tzinfo) -> int:
    """An ISO-8601 date or date and time as UTC microseconds; without an offset it is wall time of `zone`.

    Raises:
        RequestProblem: 422, not a moment, or not between 1970 and 2100.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise bad_parameter(
            name, text, "write a date and time such as 2026-11-01T08:00 or 2026-11-01T08:00Z."
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    moment_us = round(moment.timestamp() * 1_000_000)
    if not EARLIEST_US <= moment_us <= LATEST_US:
        raise bad_parameter(name, text, "choose a year from 1970 to 2099.")
    return moment_us


def read_list_request(query: Query) -> ListRequest:
    """Selection, order and page of the operations table.

    Raises:
        RequestProblem: 422, naming the parameter and what it can be.
    """
    given = {name: value for name, value in query if value}
    sort = given.get("sort", "started_at")
    descending = given.get("dir", "desc")
    if sort not in SORT_COLUMNS:
        raise bad_parameter("sort", sort, f"sort by one of {', '.join(SORT_COLUMNS)}.")
    if descending not in ("asc", "desc"):
        raise bad_parameter("dir", descending, "use asc or desc.")
    search = given.get("q", "").strip()
    if len(search) > MAX_VALUE_LENGTH:
        raise bad_parameter("q", search, f"search for at most {MAX_VALUE_LENGTH} characters.")
    exactly = {name: value for name, value in query if name in LIST_FIELDS}
    for name, value in exactly.items():
        if len(value) > MAX_VALUE_LENGTH:
            raise bad_parameter(name, value, f"it is longer than {MAX_VALUE_LENGTH} characters.")
    size = _whole(given, "size", 50, 1, PAGE_SIZES[-1])
    page = _whole(given, "page", 1, 1, MAX_OFFSET)
    if (page - 1) * size > MAX_OFFSET:
        raise bad_parameter(
            "page", str(page), f"only the first {MAX_OFFSET:,} rows can be paged through; narrow the filters."
        )
    return ListRequest(
        kind=_one_of(given, "kind", KINDS),
        status=_one_of(given, "status", STATUSES),
        basis=_one_of(given, "basis", BASES),
        quarantined=given.get("quarantined", "0") not in ("0", "false"),
        search=search or None,
        exactly=tuple(exactly.items()),
        sort=sort,  # pyright: ignore[reportArgumentType] - checked against SORT_COLUMNS above
        descending=descending == "desc",
        page=page,
        size=size,
    )


def read_limit(query: Query, default: int, most: int) -> int:
    """The parameter `limit`, from 1 to `most`."""
    return _whole({name: value for name, value in query if value}, "limit", default, 1, most)


def read_whole(query: Query, name: str, default: int, least: int, most: int) -> int:
    """A parameter that is a whole number from `least` to `most`.

    Raises:
        RequestProblem: 422, saying which numbers can be given.
    """
    return _whole({key: value for key, value in query if value}, name, default, least, most)


def one_of(query: Query, name: str, allowed: Sequence[str], default: str) -> str:
    """A parameter that must be one of a few words.

    Raises:
        RequestProblem: 422, listing the words.
    """
    return _one_of({key: value for key, value in query if value}, name, allowed) or default


def _one_of(given: dict[str, str], name: str, allowed: Sequence[str]) -> str | None:
    value = given.get(name)
    if value is not None and value not in allowed:
        raise bad_parameter(name, value, f"use one of {', '.join(allowed)}.")
    return value


def _whole(given: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and least <= int(text[:12]) <= most and len(text) <= 12):
        raise bad_parameter(name, text, f"use a whole number from {least} to {most:,}.")
    return int(text)


def require_known(query: Query, known: Iterable[str]) -> None:
    """Refuse parameters nobody reads: a misspelt filter would silently show everything.

    Raises:
        RequestProblem: 422, listing what can be given.
    """
    allowed = set(known)
    for name, value in query:
        if name not in allowed:
            raise bad_parameter(name, value, f"it is not known here; known are {', '.join(sorted(allowed))}.")


SCOPE_PARAMS = ("range", "from", "to", *FILTER_FIELDS)
LIST_PARAMS = ("kind", "status", "basis", "quarantined", "q", *LIST_FIELDS, "sort", "dir", "page", "size")
