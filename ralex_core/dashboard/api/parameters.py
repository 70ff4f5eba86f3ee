"""Query parameters as OpenAPI describes them. They are read by `dashboard.params`, for pages and API alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ralex_core.dashboard.params import BASES, FILTER_FIELDS, PAGE_SIZES, RANGES, SORT_COLUMNS
from ralex_core.model.operation import KINDS, STATUSES


def parameter(
    name: str,
    description: str,
    *,
    words: Sequence[str] | None = None,
    kind: str = "string",
    many: bool = False,
    required: bool = False,
) -> dict[str, Any]:
    """One query parameter; `words` are the values it can have, `many` that it may be repeated."""
    schema: dict[str, Any] = {"type": kind}
    if words is not None:
        schema["enum"] = list(words)
    if many:
        schema = {"type": "array", "items": schema}
    return {"name": name, "in": "query", "required": required, "description": description, "schema": schema}


FILTER_PARAMETERS = [
    parameter(name, f"{label}; may be repeated, values are alternatives; empty means not known.", many=True)
    for name, (_, label) in FILTER_FIELDS.items()
]
SCOPE_PARAMETERS = [
    parameter(
        "range", "Time range; by default the smallest of 24h, 7d, 30d and all that holds data.", words=list(RANGES)
    ),
    parameter("from", "Start of a custom range, ISO-8601; without an offset it is local time."),
    parameter("to", "End of a custom range; by default now."),
    *FILTER_PARAMETERS,
]
LIST_PARAMETERS = [
    parameter("kind", "Only this kind.", words=KINDS),
    parameter("status", "Only this status.", words=STATUSES),
    parameter("basis", "Only operations priced on this basis.", words=BASES),
    parameter("quarantined", "1: only operations with a quarantined claim.", words=("0", "1")),
    parameter("q", "Part of a name, model, session, user, operation or trace id, in any case."),
    parameter("sort", "Column to sort by; unknown values come last.", words=SORT_COLUMNS),
    parameter("dir", "Direction.", words=("desc", "asc")),
    parameter("page", "Page, from 1.", kind="integer"),
    parameter("size", f"Rows per page, up to {PAGE_SIZES[-1]}.", kind="integer"),
]


def documented(parameters: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """For `openapi_extra` of a route."""
    return {"parameters": list(parameters)}
