"""The values people can filter by."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from ralex_core.dashboard.api.described import SCOPE_PARAMETERS, described, parameter
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.params import FILTER_FIELDS, SCOPE_PARAMS, one_of, require_known
from ralex_core.dashboard.site import Site, query_of
from ralex_core.storage.queries import filter_values

SEARCHED = 2000
ANSWERED = 100


@dataclass(frozen=True, slots=True)
class FilterValue:
    value: str
    operations: int


def filters_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Figures"])
    field = parameter("field", "Which filter; by default project.", words=list(FILTER_FIELDS))
    part = parameter("q", "Only values that contain this, in any case.")

    @router.get(
        "/filters",
        openapi_extra=described(Envelope[list[FilterValue]], [*SCOPE_PARAMETERS, field, part]),
    )
    def values(request: Request) -> Response:
        """Values of a filter in the range, most frequent first, at most 100."""
        query = query_of(request)
        require_known(query, (*SCOPE_PARAMS, "field", "q"))
        column = FILTER_FIELDS[one_of(query, "field", list(FILTER_FIELDS), "project")][0]
        wanted = next((value for name, value in query if name == "q"), "").lower()
        window = site.view(query).scope.window
        found = filter_values(site.host.active_store(), column, window=window, limit=SEARCHED)
        matching = [FilterValue(value, count) for value, count in found if wanted in value.lower()]
        return answer(matching[:ANSWERED])

    return router
