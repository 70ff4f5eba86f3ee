"""Importing the logs that were found on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from ralex_core.dashboard.api.described import described
from ralex_core.dashboard.contexts.welcome import FoundView, JobView
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.problems import not_found
from ralex_core.dashboard.site import Site
from ralex_core.dashboard.welcome import job_view

EVERYTHING = "all"


class ImportRequest(BaseModel):
    """Which of the found logs to import. Only what was found can be: a request never names a path."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(max_length=100, description="A source from `found`, or `all`.")


@dataclass(frozen=True, slots=True)
class ImportsAnswer:
    found: list[FoundView]
    jobs: list[JobView]


@dataclass(frozen=True, slots=True)
class JobsAnswer:
    jobs: list[JobView]


def start_imports(site: Site, source: str) -> list[JobView]:
    """Start importing found logs; each start is noted in the audit log.

    Raises:
        RequestProblem: 404, nothing of this source was found.
    """
    wanted = source.strip().lower().replace("_", "-")
    chosen = [found for found in site.imports.discovered() if wanted in (EVERYTHING, found.source.replace("_", "-"))]
    if not chosen:
        raise not_found(f"No logs of {source[:80]!r} were found on this machine. See GET /api/v1/imports for what was.")
    jobs: list[JobView] = []
    for found in chosen:
        site.host.state.audit("import", found.source, f"{found.files} files")
        jobs.append(job_view(site.host.start_import(found.source, found.paths)))
    return jobs


def imports_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Imports"])

    @router.get("/imports", openapi_extra=described(Envelope[ImportsAnswer]))
    def imports() -> Response:
        """The logs found on this machine, and the imports of this run, newest first."""
        return answer(ImportsAnswer(site.imports.found(), site.imports.jobs()))

    @router.post("/imports", status_code=202, openapi_extra=described(Envelope[JobsAnswer], status=202))
    def start(body: ImportRequest) -> Response:
        """Import found logs in the background. Importing again changes nothing that is stored already."""
        return answer(JobsAnswer(start_imports(site, body.source)), 202)

    return router
