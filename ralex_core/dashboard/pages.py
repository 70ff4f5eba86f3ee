"""The HTML pages, and the plain forms that work without scripts."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from ralex_core.dashboard.api.demo import remove_demo, start_demo
from ralex_core.dashboard.api.imports import EVERYTHING, start_imports
from ralex_core.dashboard.api.operations import find_operation
from ralex_core.dashboard.books_page import books_pages
from ralex_core.dashboard.budgets_page import budgets_pages
from ralex_core.dashboard.contexts.frame import Login, Problem
from ralex_core.dashboard.costs_page import costs_pages
from ralex_core.dashboard.database_page import database_pages
from ralex_core.dashboard.detail import detail
from ralex_core.dashboard.envelope import request_id
from ralex_core.dashboard.explorer import explorer, read_page
from ralex_core.dashboard.forecast_page import forecast_pages
from ralex_core.dashboard.monitor_page import monitor_pages
from ralex_core.dashboard.overview import drawn
from ralex_core.dashboard.params import LIST_PARAMS, SCOPE_PARAMS, read_list_request, require_known
from ralex_core.dashboard.performance_page import performance_pages
from ralex_core.dashboard.problems import PROBLEM_TITLES, RequestProblem
from ralex_core.dashboard.reconciliations import bill_sentence
from ralex_core.dashboard.resources_page import resources_pages
from ralex_core.dashboard.security import SESSION_US, LoginDesk, cookie_header, safe_next
from ralex_core.dashboard.site import Site, query_of
from ralex_core.dashboard.traces_page import traces_pages
from ralex_core.dashboard.waterfall import MAX_SPANS
from ralex_core.dashboard.welcome import welcome
from ralex_core.storage.queries import trace

MAX_FORM_BYTES = 8192


def pages_router(site: Site) -> APIRouter:
    """The pages. None of them is part of the API, so none is in its description."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def overview(request: Request) -> Response:
        """The overview; the welcome page while there is nothing to see."""
        query = query_of(request)
        require_known(query, SCOPE_PARAMS)
        if site.extent() is None and not site.host.demo_active:
            return RedirectResponse("/welcome", 303)
        view = site.view(query)
        shown = site.overviews.get(view)
        return site.page(
            request,
            "overview.html",
            page="overview",
            title="Overview",
            context={"overview": shown},
            boot={"overview": drawn(shown)},
            view=view,
            live=True,
        )

    @router.get("/operations")
    def operations(request: Request) -> Response:
        query = query_of(request)
        require_known(query, (*SCOPE_PARAMS, *LIST_PARAMS))
        view, asked = site.view(query), read_list_request(query)
        listed = read_page(site.host.active_store(), view, asked)
        return site.page(
            request,
            "operations.html",
            page="operations",
            title="Operations",
            context={"explorer": explorer(listed, view, asked)},
            view=view,
            live=True,
        )

    @router.get("/operations/{operation_id:path}")
    def operation_page(request: Request, operation_id: str) -> Response:
        found = find_operation(site, operation_id)
        spans = trace(site.host.active_store(), found.trace_id, MAX_SPANS, found.started_at) if found.trace_id else []
        told = detail(found, spans, site.host.book, site.zone, _back(request), bill_sentence(site, found))
        return site.page(
            request,
            "operation.html",
            page="operation",
            title=found.name,
            context={"detail": told},
            boot={"operation_id": operation_id},
        )

    @router.get("/welcome")
    def welcome_page(request: Request) -> Response:
        shown = welcome(site.host, site.imports, str(request.base_url).rstrip("/"))
        return site.page(
            request,
            "welcome.html",
            page="welcome",
            title="Welcome" if shown.empty else "Connect",
            context={"welcome": shown},
            boot={"found": shown.found, "jobs": shown.jobs},
            live=True,
        )

    @router.post("/demo/start")
    def demo_start() -> Response:
        start_demo(site)
        return RedirectResponse("/?range=24h", 303)

    @router.post("/demo/remove")
    def demo_remove() -> Response:
        remove_demo(site)
        return RedirectResponse("/", 303)

    @router.post("/imports")
    async def imports(request: Request) -> Response:
        source = await _form_field(request, "source")
        await asyncio.to_thread(start_imports, site, source or EVERYTHING)
        return RedirectResponse("/welcome", 303)

    performance_pages(router, site)
    costs_pages(router, site)
    traces_pages(router, site)
    database_pages(router, site)
    books_pages(router, site)
    forecast_pages(router, site)
    monitor_pages(router, site)
    resources_pages(router, site)
    budgets_pages(router, site, read_form)
    _add_login(router, site)
    return router


def _add_login(router: APIRouter, site: Site) -> None:
    """Sign in with the token and out again; there is nothing to sign in to without one."""
    token = site.host.settings.token
    if token is None:
        return
    desk = LoginDesk(token, site.host.clock, site.ended_sessions)

    def form(request: Request, target: str, *, failed: bool) -> Response:
        status = 401 if failed else 200
        context: dict[str, object] = {"login": Login(safe_next(target), failed)}
        return site.page(request, "login.html", page="login", title="Sign in", context=context, status=status)

    @router.get("/login")
    def login_form(request: Request) -> Response:
        return form(request, request.query_params.get("next", "/"), failed=False)

    @router.post("/login")
    async def login(request: Request) -> Response:
        body = await read_form(request)
        target = safe_next(body.get("next", "/"))
        cookie = desk.sign_in(body.get("token", ""))
        if cookie is None:
            site.host.metrics.add("login_failures_total")
            return await asyncio.to_thread(form, request, target, failed=True)
        response = RedirectResponse(target, 303)
        secure = request.url.scheme == "https"
        header = cookie_header(cookie, secure=secure, max_age_s=SESSION_US // 1_000_000)
        response.headers["Set-Cookie"] = header
        return response

    @router.post("/logout")
    def logout(request: Request) -> Response:
        desk.sign_out(request.headers.get("cookie", ""))
        response = RedirectResponse("/login", 303)
        response.headers["Set-Cookie"] = cookie_header("", secure=request.url.scheme == "https", max_age_s=0)
        return response


def error_page(site: Site, request: Request, problem: RequestProblem) -> Response:
    """An error as a page: what happened, what to try, and the request id."""
    shown = Problem(
        status=problem.status,
        title=PROBLEM_TITLES.get(problem.status, "That did not work"),
        message=problem.message,
        request_id=request_id(request),
        retry_href=request.url.path if problem.status in (422, 500, 503) and request.method == "GET" else None,
    )
    response = site.page(
        request, "error.html", page="error", title=shown.title, context={"problem": shown}, status=problem.status
    )
    if problem.retry_after_s is not None:
        response.headers["Retry-After"] = str(problem.retry_after_s)
    return response


def _back(request: Request) -> str:
    """The list the reader came from, with its filters; else the list as it opens."""
    referer = request.headers.get("referer", "")
    _, found, query = referer.partition(f"{request.base_url}operations?")
    return f"/operations?{query}" if found else "/operations"


async def read_form(request: Request) -> dict[str, str]:
    """A short urlencoded form, first value of each field.

    Raises:
        RequestProblem: 413, it is longer than any of our forms.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise RequestProblem(413, "too_large", "The form is longer than any this page sends.")
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise RequestProblem(400, "bad_form", "The form has more fields than any this page sends.") from None
    return {name: values[0] for name, values in fields.items()}


async def _form_field(request: Request, name: str) -> str:
    return (await read_form(request)).get(name, "")
