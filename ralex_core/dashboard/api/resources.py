"""Resources of the host, of watched processes and of GPUs, and the states they are in."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ralex_core.dashboard.api.described import SCOPE_PARAMETERS, described
from ralex_core.dashboard.contexts.resources import ProcessesView, ResourceStatesView, ResourcesView
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.params import SCOPE_PARAMS, require_known
from ralex_core.dashboard.problems import not_found
from ralex_core.dashboard.resources import processes_view, resource_health, resources_view, resources_view_of
from ralex_core.dashboard.site import Site, query_of
from ralex_core.model.window import Window


class WatchRequest(BaseModel):
    """A process of this machine to measure from now on, until it ends."""

    model_config = ConfigDict(extra="forbid")

    pid: int = Field(ge=1, lt=2**31, description="Its process id, as `ps` shows it.")


@dataclass(frozen=True, slots=True)
class Watched:
    """Processes that are watched because their pid was given."""

    pids: list[int]


def resources_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Resources"])

    def window(request: Request) -> Window:
        query = query_of(request)
        require_known(query, SCOPE_PARAMS)
        shown = resources_view_of(site, query).range
        return Window(shown.start_us, shown.end_us)

    @router.get("/resources", openapi_extra=described(Envelope[ResourcesView], SCOPE_PARAMETERS))
    def resources(request: Request) -> Response:
        """Host, processes and GPUs over time, and their states; by default the last hour. Filters change nothing."""
        query = query_of(request)
        require_known(query, SCOPE_PARAMS)
        return answer(resources_view(site, resources_view_of(site, query)))

    @router.get("/resources/states", openapi_extra=described(Envelope[ResourceStatesView], SCOPE_PARAMETERS))
    def states(request: Request) -> Response:
        """Whether each resource is in trouble, since when and why, and the changes of the range, newest first."""
        return answer(resource_health(site, window(request)))

    @router.get("/resources/processes", openapi_extra=described(Envelope[ProcessesView], SCOPE_PARAMETERS))
    def processes(request: Request) -> Response:
        """The assistants' processes, each with all it started: CPU and memory over time, open files, traffic."""
        return answer(processes_view(site, window(request)))

    @router.post("/resources/processes", status_code=201, openapi_extra=described(Envelope[Watched], status=201))
    def watch(body: WatchRequest) -> Response:
        """Measure a process by its pid until it ends."""
        site.host.resources.watch.watch(body.pid)
        try:
            site.host.state.audit("watch_process", str(body.pid), None)
        except BaseException:
            site.host.resources.watch.unwatch(body.pid)
            raise
        return answer(Watched(site.host.resources.watch.pids), 201)

    @router.delete("/resources/processes/{pid}", openapi_extra=described(Envelope[Watched]))
    def unwatch(pid: int) -> Response:
        """No longer measure a process that was given by pid. One that is watched by its name stays."""
        if pid not in site.host.resources.watch.pids:
            raise not_found(f"No process {pid} is watched by its pid. See GET /api/v1/resources/processes for what is.")
        site.host.state.audit("unwatch_process", str(pid), None)
        site.host.resources.watch.unwatch(pid)
        return answer(Watched(site.host.resources.watch.pids))

    return router
