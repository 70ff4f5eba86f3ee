"""What every page and every API route shares: the host, its templates, its pool of threads, and the frame of a page."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ralex_core import __version__
from ralex_core.collection.gateway.app import Gateway
from ralex_core.dashboard.bottlenecks import RememberedBottlenecks
from ralex_core.dashboard.budgets import Budgets
from ralex_core.dashboard.contexts.frame import Chip, Choice, DemoView, FilterField, NavItem, ScopeBar, Shell
from ralex_core.dashboard.contexts.monitor import SelfCheck
from ralex_core.dashboard.contexts.rows import FeedItem
from ralex_core.dashboard.costs import Costs
from ralex_core.dashboard.envelope import request_id
from ralex_core.dashboard.forecasts import Forecasts
from ralex_core.dashboard.health import HealthDesk
from ralex_core.dashboard.host import Host
from ralex_core.dashboard.live_message import Health
from ralex_core.dashboard.log_watch import LogWatch
from ralex_core.dashboard.monitor import checks_of
from ralex_core.dashboard.overview import Overviews
from ralex_core.dashboard.params import (
    FILTER_FIELDS,
    RANGES,
    REFRESH_S,
    Query,
    View,
    filter_pairs,
    href,
    read_view,
)
from ralex_core.dashboard.performance import Performances
from ralex_core.dashboard.problems import RequestProblem
from ralex_core.dashboard.questions import Pool, Remembered
from ralex_core.dashboard.resource_rows import process_point, state_view
from ralex_core.dashboard.rows import feed_item, resource_point
from ralex_core.dashboard.security import EndedSessions
from ralex_core.dashboard.self_checks import reason
from ralex_core.dashboard.self_watch import SelfWatch
from ralex_core.dashboard.static_files import StaticFiles
from ralex_core.dashboard.welcome import Imports
from ralex_core.errors import StoreError
from ralex_core.model.window import DAY_US, Filters, Scope, Window
from ralex_core.render import environment, exact
from ralex_core.storage.queries import extent, operations_page
from ralex_core.zone import zone_of

logger = logging.getLogger(__name__)

LIVE_PATH = "/ws/monitoring"
EXTENT_REMEMBER_S = 1.0
CHECKS_REMEMBER_S = 1.0
"""Live messages tell the monitor's health; judging it for every one would cost more than the message."""
OLDER_FEED_DAYS = 30
MAX_PARAMETERS = 300

PAGES: tuple[tuple[str, str, str, bool], ...] = (
    ("overview", "Overview", "/", True),
    ("operations", "Operations", "/operations", True),
    ("performance", "Performance", "/performance", True),
    ("costs", "Costs", "/costs", True),
    ("budgets", "Budgets", "/budgets", False),
    ("traces", "Traces", "/traces", True),
    ("resources", "Resources", "/resources", True),
    ("database", "Database", "/database", True),
    ("books", "Statement", "/statement", False),
    ("forecast", "Forecast", "/forecast", False),
    ("welcome", "Connect", "/welcome", False),
    ("monitor", "This monitor", "/monitor", False),
    ("docs", "API", "/docs", False),
)
"""(key, title, path, whether it has range and filters). Only what exists."""
UNFILTERED = ("/resources",)
"""Pages with a range to which filters mean nothing."""


class Site:
    """One per application."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.zone, self.zone_name = zone_of(host.settings)
        self.files = StaticFiles()
        self.pool = Pool()
        self.overviews = Overviews(host, self.pool)
        self.performances = Performances(host, self.pool)
        self.costs = Costs(host, self.pool)
        self.budgets = Budgets(host, self.pool, self.zone)
        self.bottlenecks = RememberedBottlenecks(host, self.exact)
        self.forecasts = Forecasts(host)
        self.imports = Imports(host)
        self.gateway: Gateway | None = None
        """In front of everything, where the application has one."""
        self.watch = SelfWatch(host)
        self.log = LogWatch(host.metrics)
        self.health_desk = HealthDesk(host)
        self.ended_sessions = EndedSessions(host.state, host.clock) if host.settings.token else None
        self._checks = Remembered(host.clock, CHECKS_REMEMBER_S, entries=1)
        self._extents = Remembered(host.clock, EXTENT_REMEMBER_S, entries=2)
        self._templates = environment(zone=self.zone, now_us=host.clock.now_us, static_url=self.files.url)

    def start(self) -> None:
        """Begin to watch the monitor itself."""
        self.host.books.on_change = self.costs_changed
        self.log.start()
        self.watch.start()

    def close(self) -> None:
        self.watch.stop()
        self.log.stop()
        self.pool.close()

    def exact(self, moment_us: int) -> str:
        """UTC microseconds as the wall time that pages show."""
        return exact(moment_us, self.zone)

    # --- what is asked for -------------------------------------------------------------------------------------

    def view(self, query: Query) -> View:
        """Range and filters of a request."""
        return read_view(query, now_us=self.host.clock.now_us(), zone=self.zone, extent=self.extent)

    def extent(self) -> tuple[int, int] | None:
        """When the first and the last operation of the shown data started."""
        store = self.host.active_store()
        return self._extents.get(self.host.demo_active, functools.partial(extent, store))

    def data_changed(self) -> None:
        """Stored operations were amended, or other data is shown from now on."""
        self.overviews.forget()
        self.bottlenecks.forget()
        self.costs.forget()
        self.forecasts.forget()
        self.budgets.forget()
        self._extents.forget()

    def costs_changed(self) -> None:
        """Costs of stored operations were corrected; returns when everything counts them again."""
        writer = self.host.active_writer()
        writer.run(self.host.hub.reseed).result()
        try:
            writer.flush()
        except StoreError as error:  # what was corrected is stored; rollups follow, and questions do without them
            logger.warning("Rollups could not be brought up to a correction yet: %s", error)
            self.host.metrics.add("writer_failures_total")
        self.data_changed()

    def older_feed(self, filters: Filters) -> list[FeedItem]:
        """The newest stored operations that filters let through, within the last month of what is stored."""
        held = self.extent()
        if held is None:
            return []
        window = Window(max(held[0], held[1] - OLDER_FEED_DAYS * DAY_US), held[1] + 1)
        page = operations_page(self.host.active_store(), Scope(window, filters), limit=50)
        return [feed_item(operation) for operation in page.rows]

    def checks(self) -> list[SelfCheck]:
        """What could be wrong with the monitor itself, at most a second old."""
        return self._checks.get("checks", self._judge)

    def _judge(self) -> list[SelfCheck]:
        return checks_of(self.host, self.watch, self.health_desk)

    def health(self) -> Health:
        """How the monitor itself is: told in every live message."""
        host = self.host
        problem = reason(self.checks())
        commit_s = host.metrics.gauges().get("commit_last_seconds")
        sample = host.latest_resources()
        return Health(
            status="ok" if problem is None else "degraded",
            reason=problem,
            queue_operations=host.writer.waiting,
            queue_limit=host.settings.queue_operations,
            commit_ms=None if commit_s is None else round(commit_s * 1000, 2),
            demo=host.demo_active,
            version=__version__,
            resources=None if sample is None else resource_point(sample),
            resource_states=[state_view(state) for state in host.resources.states()],
            processes=[process_point(process) for process in host.resources.processes()],
        )

    # --- pages -------------------------------------------------------------------------------------------------

    def page(
        self,
        request: Request,
        template: str,
        *,
        page: str,
        title: str,
        context: dict[str, object],
        boot: dict[str, object] | None = None,
        view: View | None = None,
        extra: Sequence[tuple[str, str]] = (),
        live: bool = False,
        status: int = 200,
    ) -> Response:
        """Render a page in its frame.

        Args:
            context: what the template shows, beside `shell` and `boot`.
            boot: data for the page's scripts, beside what every page gets.
            view: range and filters, for pages that have them.
            extra: further parameters of the page, which links that change range or filters keep.
            live: whether the page's scripts open the WebSocket.
        """
        shell = self.shell(request, page, title, view, extra)
        filters_query = href("", filter_pairs(view.filters)).lstrip("?") if view else ""
        started: dict[str, object] = {
            "page": page,
            "version": __version__,
            "timezone": self.zone_name,
            "query": view.query if view else "",
            "filters_query": filters_query,
            "range": view.range if view else None,
            "refresh_s": REFRESH_S[view.range.key] if view else None,
            "ws": (f"{LIVE_PATH}?{filters_query}" if filters_query else LIVE_PATH) if live else None,
            "demo": self.host.demo_active,
            **(boot or {}),
        }
        html = self._templates.get_template(f"dashboard/{template}").render(shell=shell, boot=started, **context)
        return HTMLResponse(html, status, headers={"Cache-Control": "no-store"})

    def shell(
        self,
        request: Request,
        page: str,
        title: str,
        view: View | None,
        extra: Sequence[tuple[str, str]] = (),
    ) -> Shell:
        return Shell(
            page=page,
            title=title,
            version=__version__,
            timezone=self.zone_name,
            request_id=request_id(request),
            server_now_us=self.host.clock.now_us(),
            nav=_nav(page, view),
            demo=DemoView(self.host.demo_active),
            signed_in=bool(getattr(request.state, "signed_in", False)),
            scope=None if view is None else _scope_bar(request.url.path, view, extra),
        )


def query_of(request: Request) -> Query:
    """The query string as pairs; empty values are kept, since an empty filter value means "not known".

    Raises:
        RequestProblem: 422, there are more parameters than any page has.
    """
    try:
        return parse_qsl(request.url.query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise RequestProblem(422, "bad_parameter", f"At most {MAX_PARAMETERS} parameters can be given.") from None


def _nav(page: str, view: View | None) -> list[NavItem]:
    here = {"operation": "operations", "trace": "traces", "statement": "database"}.get(page, page)
    carried: Sequence[tuple[str, str]] = ()
    if view is not None:
        carried = view.pairs() if view.range.explicit else filter_pairs(view.filters)
    return [
        NavItem(key, title, href(path, carried) if scoped else path, key == here) for key, title, path, scoped in PAGES
    ]


def _scope_bar(path: str, view: View, extra: Sequence[tuple[str, str]] = ()) -> ScopeBar:
    filters = filter_pairs(view.filters)
    kept = [*filters, *extra]
    labels = {param: label for param, (_, label) in FILTER_FIELDS.items()}
    return ScopeBar(
        range=view.range,
        ranges=[
            Choice(key, label, "" if key == "custom" else href(path, [("range", key), *kept]), key == view.range.key)
            for key, (label, _) in RANGES.items()
        ],
        chips=[
            Chip(
                param,
                labels[param],
                value or "not known",
                href(path, [*view.range_pairs(), *(pair for pair in kept if pair != (param, value))]),
            )
            for param, value in filters
        ],
        fields=[] if path in UNFILTERED else [FilterField(param, label) for param, (_, label) in FILTER_FIELDS.items()],
        clear_href=href(path, [*view.range_pairs(), *extra]),
        hidden=kept,
        hidden_range=view.range_pairs(),
        query=view.query,
        path=path,
    )
