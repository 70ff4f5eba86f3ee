"""What OpenAPI says of the routes: parameters, which `dashboard.params` reads, and the shapes of answers.

Answers are made of typed contexts, so the framework need not check them again. Their schemas are built when somebody
asks for the description, not at every start: that is a quarter of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from fastapi import FastAPI
from pydantic import TypeAdapter
from starlette.types import ASGIApp, Receive, Scope, Send

from ralex_core.dashboard.envelope import ErrorEnvelope
from ralex_core.dashboard.params import BASES, FILTER_FIELDS, LIST_FIELDS, PAGE_SIZES, RANGES, SORT_COLUMNS
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
    parameter("q", "Part of a name, model or user, in any case, or a whole operation, trace, session or request id."),
    *(parameter(name, f"{label}, this one exactly; empty means not known.") for name, label in LIST_FIELDS.items()),
    parameter("sort", "Column to sort by; unknown values come last.", words=SORT_COLUMNS),
    parameter("dir", "Direction.", words=("desc", "asc")),
    parameter("page", "Page, from 1.", kind="integer"),
    parameter("size", f"Rows per page, up to {PAGE_SIZES[-1]}.", kind="integer"),
]


_API = "/api/"
_SHAPE = "x-shape"
_STATUS = "x-status"
_shapes: dict[str, Any] = {}


def described(answer: object, parameters: Sequence[dict[str, Any]] = (), *, status: int = 200) -> dict[str, Any]:
    """For `openapi_extra` of a route: the type of its answer, the status it comes with, its query parameters."""
    _shapes[str(answer)] = answer
    told: dict[str, Any] = {_SHAPE: str(answer), _STATUS: str(status)}
    return {**told, "parameters": list(parameters)} if parameters else told


class DescribedApi(FastAPI):
    """An application whose description is completed with the shapes that routes name in `described`.

    `in_front` takes requests below its prefix before anything else of the application sees them.
    """

    in_front: tuple[str, ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        front = self.in_front
        if front is not None and scope["type"] == "http" and scope["path"].startswith(front[0]):
            await front[1](scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            complete(super().openapi())
        assert self.openapi_schema is not None  # noqa: S101 - the line above sets it
        return self.openapi_schema


def complete(description: dict[str, Any]) -> None:
    """Put the schemas of answers and errors into an OpenAPI description."""
    schemas, definitions = _schemas()
    for path, item in cast("dict[str, dict[str, Any]]", description["paths"]).items():
        for route in item.values():
            shape = route.pop(_SHAPE, None)
            route["responses"].pop("422", None)  # the framework's shape of it, in which none of our routes answers
            responses: dict[str, Any] = route["responses"]
            if shape is not None:
                responses = {route.pop(_STATUS): _response("What was asked for.", schemas[shape])}
            elif "4XX" in responses or not path.startswith(_API):
                continue
            error = schemas[_ERROR]
            responses["4XX"] = _response("The request cannot be answered as asked; the message says why.", error)
            responses["5XX"] = _response("The monitor cannot answer just now.", error)
            route["responses"] = responses
    known = description.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        known.pop(unused, None)
    known.update(definitions)


_ERROR = str(ErrorEnvelope)


def _schemas() -> tuple[dict[str, Any], dict[str, Any]]:
    """Schema by shape, and the definitions they refer to."""
    shapes: dict[str, Any] = {**_shapes, _ERROR: ErrorEnvelope}
    found, extra = TypeAdapter.json_schemas(
        [(name, "serialization", TypeAdapter(shape)) for name, shape in shapes.items()],
        ref_template="#/components/schemas/{model}",
    )
    return {name: schema for (name, _), schema in found.items()}, extra.get("$defs", {})


def _response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
