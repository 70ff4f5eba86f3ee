"""The application: every route, what protects them, and how errors are answered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.routing import Match, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from ralex_core import __version__
from ralex_core.collection.gateway.app import Gateway
from ralex_core.collection.gateway.gate import Gate
from ralex_core.collection.gateway.recorder import GatewayRecorder
from ralex_core.collection.gateway.routes import PREFIX
from ralex_core.collection.otlp_http import otlp_router
from ralex_core.collection.request_body import BODIES_AT_ONCE, BodyBudget
from ralex_core.dashboard.api.books import books_router
from ralex_core.dashboard.api.budgets import budgets_router
from ralex_core.dashboard.api.costs import costs_router
from ralex_core.dashboard.api.database import database_router
from ralex_core.dashboard.api.demo import demo_router
from ralex_core.dashboard.api.described import DescribedApi
from ralex_core.dashboard.api.door import door_router
from ralex_core.dashboard.api.figures import figures_router
from ralex_core.dashboard.api.filters import filters_router
from ralex_core.dashboard.api.forecast import forecast_router
from ralex_core.dashboard.api.gateway import gateway_router
from ralex_core.dashboard.api.imports import imports_router
from ralex_core.dashboard.api.live import live_router
from ralex_core.dashboard.api.monitor import monitor_router
from ralex_core.dashboard.api.operations import operations_router
from ralex_core.dashboard.api.performance import performance_router
from ralex_core.dashboard.api.resources import resources_router
from ralex_core.dashboard.api.status import probes_router, status_router
from ralex_core.dashboard.api.traces import traces_router
from ralex_core.dashboard.api_page import api_groups
from ralex_core.dashboard.envelope import error_answer, request_id
from ralex_core.dashboard.gateway_guard import GatewayGuard
from ralex_core.dashboard.host import Host
from ralex_core.dashboard.pages import error_page, pages_router
from ralex_core.dashboard.problems import RequestProblem, as_problem
from ralex_core.dashboard.request_times import RequestTimes
from ralex_core.dashboard.security import SECURITY_HEADERS, Guard
from ralex_core.dashboard.site import LIVE_PATH, Site
from ralex_core.dashboard.websocket import MonitoringSocket
from ralex_core.errors import RalexError
from ralex_core.storage.queries import is_empty

logger = logging.getLogger(__name__)

API = "/api/v1"
COMPRESS_FROM_BYTES = 1024
COMPRESSION_LEVEL = 5
"""A page shrinks by another 3 % at level 9, for three times the time."""
PROGRAM_PATHS = (API, PREFIX, "/v1/", "/metrics", "/healthz", "/readyz", "/openapi.json", "/static/")
"""Below these, errors are JSON whatever the client says it accepts."""

DESCRIPTION = (
    "What AI coding assistants cost, how fast they are and what they are worth. "
    "Money is a decimal string, times are UTC, ratios go from 0 to 1, unknown is null."
)


def create_app(runtime: Host) -> FastAPI:
    """The server for a running monitor.

    Raises:
        ConfigError: it would be reachable from other machines without a token.
    """
    site = Site(runtime)
    bodies = BodyBudget(BODIES_AT_ONCE * (runtime.settings.max_body_mb << 20))
    gateway = site.gateway = make_gateway(runtime)
    app = DescribedApi(
        title="Ralex Monitor",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(site, gateway),
        license_info={"name": "Apache-2.0"},
    )
    # Routes are looked through in this order: what programs send comes first, and a POST to /operations is the door.
    app.include_router(
        otlp_router(lambda: runtime.intake, runtime.settings, runtime.metrics, lambda: runtime.own_store, bodies=bodies)
    )
    app.include_router(door_router(site, bodies), prefix=API)
    for make in (operations_router, traces_router, figures_router, filters_router, live_router):
        app.include_router(make(site), prefix=API)
    for make in (performance_router, costs_router, database_router, books_router, forecast_router):
        app.include_router(make(site), prefix=API)
    app.include_router(budgets_router(site), prefix=API)
    for make in (imports_router, demo_router, status_router, monitor_router, resources_router):
        app.include_router(make(site), prefix=API)
    app.include_router(gateway_router())
    app.include_router(probes_router(site))
    app.include_router(pages_router(site))
    _add_files_and_docs(app, site)
    app.router.routes.append(WebSocketRoute(LIVE_PATH, MonitoringSocket(runtime.hub, runtime.metrics)))
    _add_errors(app, site)
    app.add_middleware(HeadAsGet)
    app.add_middleware(GZipMiddleware, minimum_size=COMPRESS_FROM_BYTES, compresslevel=COMPRESSION_LEVEL)
    app.add_middleware(
        Guard, settings=runtime.settings, clock=runtime.clock, metrics=runtime.metrics, ended=site.ended_sessions
    )
    app.add_middleware(RequestTimes, metrics=runtime.metrics, prefix=API)
    app.in_front = (PREFIX, gateway)
    return app


def make_gateway(host: Host) -> Gateway:
    """The gateway of a running monitor. It records to the real data, whatever is shown."""
    recorder = GatewayRecorder(lambda: host.intake, host.settings.spool_dir / "gateway", host.metrics)
    guard = GatewayGuard(host.settings, host.clock)
    gate = Gate(host.budgets.guard, host.book, host.settings.gateway)
    return Gateway(
        host.settings,
        recorder,
        host.metrics,
        host.clock.now_us,
        guard,
        gate,
        own_headers=SECURITY_HEADERS,
    )


class HeadAsGet:
    """Answers HEAD with what GET would say; the server leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send)
        finally:
            scope["route"] = asked.get("route")  # for those outside that count by route


def _lifespan(site: Site, gateway: Gateway) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        hub = site.host.hub
        hub.health_source = site.health
        hub.rest_of_day_source = site.overviews.rest_of_day
        hub.older_feed_source = site.older_feed
        hub.start()
        await asyncio.to_thread(site.start)
        gateway.recorder.start()
        warming = asyncio.create_task(asyncio.to_thread(_load_prices, site))
        try:
            yield
        finally:
            await gateway.close()
            await hub.stop()
            await warming
            await asyncio.to_thread(site.close)

    return lifespan


def _load_prices(site: Site) -> None:
    """No operation should wait for the price list. A monitor that nothing was sent to yet does without its 8 MB."""
    host = site.host
    if host.budgets.guard.has_budgets or not is_empty(host.own_store):
        host.book.warm()


def _add_files_and_docs(app: FastAPI, site: Site) -> None:
    @app.get("/static/{path:path}", include_in_schema=False)
    def static(request: Request, path: str) -> Response:
        return site.files.answer(request, path)

    @app.get("/favicon.ico", include_in_schema=False)
    def favicon(request: Request) -> Response:
        return site.files.answer(request, "icons/favicon.svg")

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> Response:
        groups = api_groups(app.openapi(), str(request.base_url).rstrip("/"))
        return site.page(request, "api.html", page="docs", title="API", context={"groups": groups})


def _add_errors(app: FastAPI, site: Site) -> None:
    def told(request: Request, problem: RequestProblem) -> Response:
        is_program = request.url.path.startswith(PROGRAM_PATHS) or "text/html" not in request.headers.get("accept", "")
        return error_answer(request, problem) if is_program else error_page(site, request, problem)

    @app.exception_handler(RalexError)
    def ours(request: Request, error: RalexError) -> Response:
        problem = as_problem(error)
        if problem.status >= 500 and not isinstance(error, RequestProblem):
            logger.warning("%s %s (%s): %s", request.method, request.url.path, request_id(request), error)
        return told(request, problem)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        found = [
            f"{'.'.join(str(part) for part in item['loc'][1:]) or 'body'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        ]
        return told(request, RequestProblem(422, "invalid_request", f"Please correct: {'; '.join(found[:5])}."))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            message = f"There is no page or route {request.url.path[:80]!r}. The API is listed at /docs."
        elif error.status_code == 405:
            message = f"{request.method} is not possible on {request.url.path[:80]!r}. The API is listed at /docs."
        else:
            message = str(error.detail)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        response = told(request, RequestProblem(error.status_code, code, message))
        response.headers.update(error.headers or {})
        if error.status_code == 405:
            response.headers["allow"] = ", ".join(_methods(app, request.scope))
        return response

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> Response:
        # Starlette raises it again, so the server logs it with its traceback; here the two are tied together
        logger.error("%s %s failed, request %s", request.method, request.url.path, request_id(request))
        site.host.metrics.add("http_failures_total")
        problem = RequestProblem(
            500, "internal", "Something went wrong in the monitor; its log has the details under this request id."
        )
        response = told(request, problem)
        # this answer is made outside the guard
        response.raw_headers += [*SECURITY_HEADERS, (b"x-request-id", request_id(request).encode())]
        return response


def _methods(app: FastAPI, scope: Scope) -> list[str]:
    """What can be asked of a path, over all its routes: the framework names only those of the first."""
    found: set[str] = set()
    for route in app.router.routes:
        match, _ = route.matches({**scope, "method": "GET"})
        if isinstance(route, Route) and match is not Match.NONE:
            found |= route.methods or set()
    return sorted(found)
