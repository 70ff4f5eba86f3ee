"""The live hub: takes every commit, keeps the last 15 minutes, and tells all watching browsers what changed.

Clients with the same filters form a group. A group's message is built and serialised once, however many clients it
has; what is left per client is one `send`. A message goes out at once when nothing was sent for a while, then at most
every `MIN_INTERVAL_S`, and every `HEARTBEAT_S` when nothing happens. Each client has room for one message: when it is
slower than that, the next one replaces it and the client later gets a whole snapshot. Nothing queues up.

`publish` runs on the writer thread, everything about groups and clients on the event loop; one lock is between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from decimal import Decimal
from heapq import nlargest
from itertools import islice
from operator import attrgetter

from ralex_core.clock import Clock
from ralex_core.config import Settings
from ralex_core.dashboard.contexts.rows import FeedItem, TodayView
from ralex_core.dashboard.live_cells import (
    Cells,
    Today,
    matches,
)
from ralex_core.dashboard.live_group import Client, Group, first_start
from ralex_core.dashboard.live_message import Health, LiveMessage
from ralex_core.dashboard.rows import feed_item
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, Filters
from ralex_core.monitoring.cost_analytics import day_window
from ralex_core.render import to_iso
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.queries import extent, recent_operations
from ralex_core.storage.telemetry import Store
from ralex_core.zone import zone_of

logger = logging.getLogger(__name__)

MIN_INTERVAL_S = 0.3
"""Between two messages of a group: with the way through commit and network still under half a second."""
HEARTBEAT_S = 5.0
TICK_S = 1.0
FEED_KEPT = 200
RECENT_KEPT = 5_000
"""Operations remembered whole, so that a newer revision can take out the one before."""
CHUNK = 512
"""Operations added per hold of the lock: the event loop never waits long."""
RESEED_AFTER_S = 10.0
_started_at = attrgetter("started_at")

MAX_GROUPS = 100
MAX_CLIENTS = 2_000
PROJECTION_EVERY_S = 60.0


class TooManyClients(Exception):
    """The hub serves as many clients or different filters as it can."""


class LiveHub:
    """See the module. `start` and `stop` belong to the event loop, `publish` to the writer thread."""

    def __init__(self, clock: Clock, settings: Settings, metrics: SelfMetrics | None = None) -> None:
        self.clock = clock
        self._settings = settings
        self._metrics = metrics or SelfMetrics()
        self._zone, _ = zone_of(settings)
        self.lock = threading.Lock()
        self._cells = Cells()
        self._today = Today()
        self._recent: OrderedDict[str, Operation] = OrderedDict()
        self._feed: list[Operation] = []
        self._dirty: set[int] = set()
        self._groups: dict[Filters, Group] = {}
        self._store: Store | None = None
        self._stale = False
        self._seeded_at = float("-inf")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = False
        self._news_since: float | None = None
        """When the first commit came in that clients were not told of yet."""
        self._timer: asyncio.TimerHandle | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._sent_at = float("-inf")
        self.health_source: Callable[[], Health] | None = None
        """Asked for every message; set by the application."""
        self.rest_of_day_source: Callable[[Filters], Decimal | None] | None = None
        """What the rest of today usually costs; asked in a thread, now and then; set by the application."""
        self.older_feed_source: Callable[[Filters], list[FeedItem]] | None = None
        """The newest stored operations of some filters; asked in a thread when such a group begins."""
        self.catch_up_source: Callable[[], object] | None = None
        """Seeds the hub on the writer's thread, and returns when that is done. With it the hub sleeps while nobody
        watches; set by whoever owns the writer."""
        self._watchers = 0
        self._asleep = False

    # --- the writer thread -------------------------------------------------------------------------------------

    def seed(self, store: Store) -> None:
        """Start over with what a store holds. Call it on the thread that writes to this store, or before it starts:
        then no commit is missed or counted twice."""
        now_us = self.clock.now_us()
        held = extent(store)
        since = (min(held[1], now_us) if held else now_us) - DAY_US
        newest = recent_operations(store, since, FEED_KEPT)
        with self.lock:
            self._store = store
            self._begin_day(now_us)
            self._cells.load(store, now_us)
            self._today.load(store)
            self._recent = OrderedDict((operation.operation_id, operation) for operation in reversed(newest))
            self._feed = list(reversed(newest))
            self._stale = self._asleep = False
            self._seeded_at = self.clock.monotonic()
            self._dirty.clear()
            for group in self._groups.values():
                group.rebuild(self._cells, now_us)
                group.give_older_feed([])
        self._wake()

    def publish(self, operations: Sequence[Operation]) -> None:
        """Take in what was just committed. Quick: about 5 µs an operation of the last minutes, less for older ones."""
        with self.lock:
            if self._watchers == 0 and self.catch_up_source is not None:
                self._asleep = True
                return
        store = self._store
        if (
            (self._stale or self._asleep)
            and store is not None
            and (self._asleep or self.clock.monotonic() - self._seeded_at >= RESEED_AFTER_S)
        ):
            self.seed(store)  # it holds these operations already
            with self.lock:
                self._take_feed(operations)
            self._wake()
            return
        now_us = self.clock.now_us()
        rest = iter(operations)
        while chunk := list(islice(rest, CHUNK)):
            with self.lock:
                self._take(chunk, now_us)
        with self.lock:
            self._take_feed(operations)
        self._wake()

    def reseed(self) -> None:
        """Start over with the store last seeded from: after stored operations were amended. Same thread as `seed`."""
        if self._store is not None:
            self.seed(self._store)

    def _take(self, operations: Sequence[Operation], now_us: int) -> None:
        if not self._today.day_start_us <= now_us < self._today.day_end_us:
            self._begin_day(now_us)
        cells, today, dirty, recent = self._cells, self._today, self._dirty, self._recent
        overflowed = cells.overflowed
        today_changed = False
        for operation in operations:
            if operation.revision:
                before = recent.get(operation.operation_id)
                if before is not None:
                    start = cells.add(before, -1, now_us)
                    if start is not None:
                        dirty.add(start)
                    today_changed |= today.add(before, -1)
                elif operation.started_at >= min(today.day_start_us, first_start(now_us)):
                    self._stale = True  # it may replace one that was counted and is not remembered
            start = cells.add(operation, 1, now_us)
            counted = today.add(operation, 1)
            today_changed |= counted
            if start is not None:
                dirty.add(start)
            if start is not None or counted:
                recent[operation.operation_id] = operation
        while len(recent) > RECENT_KEPT:
            recent.popitem(last=False)
        if cells.overflowed != overflowed:
            self._metrics.add("live_overflow_operations_total", cells.overflowed - overflowed)
        if today_changed:
            for group in self._groups.values():
                group.touch()

    def _take_feed(self, operations: Sequence[Operation]) -> None:
        """Keep the operations that started last. An old log that is imported does not push live ones out."""
        if len(self._feed) == FEED_KEPT:
            oldest = self._feed[0].started_at
            operations = [operation for operation in operations if operation.started_at >= oldest]
        newest = sorted(nlargest(FEED_KEPT, operations, key=_started_at), key=_started_at)
        self._feed = sorted([*self._feed, *newest], key=_started_at)[-FEED_KEPT:]
        for group in self._groups.values():
            group.feed(newest)

    def _begin_day(self, now_us: int) -> None:
        day = day_window(now_us, self._zone)
        self._today.begin(day.start_us, day.end_us)

    def _wake(self) -> None:
        loop = self._loop
        if loop is None or not self._groups:
            return
        if self._news_since is None:
            self._news_since = self.clock.monotonic()
        if self._woken:
            return
        self._woken = True
        with contextlib.suppress(RuntimeError):  # the loop has just been closed
            loop.call_soon_threadsafe(self._on_wake)

    # --- the event loop ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to send; call it on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._ticker = asyncio.create_task(self._tick(), name="live-hub")

    async def stop(self) -> None:
        """Send nothing more."""
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker

    def _on_wake(self) -> None:
        self._woken = False
        loop = self._loop
        if loop is None or self._timer is not None:
            return
        wait = self._sent_at + MIN_INTERVAL_S - loop.time()
        if wait <= 0:
            self._flush()
        else:
            self._timer = loop.call_later(wait, self._flush)

    def _flush(self) -> None:
        """Tell every group what changed for it."""
        self._timer = None
        if self._loop is None:
            return
        self._sent_at = self._loop.time()
        since, self._news_since = self._news_since, None
        self._advance()
        for group in list(self._groups.values()):
            if group.changed:
                self._send(group, self._sent_at)
        if since is not None:
            self._metrics.observe("live_lag_seconds", self.clock.monotonic() - since)

    def _advance(self) -> None:
        now_us = self.clock.now_us()
        with self.lock:
            if now_us >= self._today.day_end_us:
                self._begin_day(now_us)
                for group in self._groups.values():
                    group.touch()
            dirty, self._dirty = self._dirty, set()
            self._cells.forget_before(first_start(now_us))
            for group in self._groups.values():
                group.advance(self._cells, dirty, now_us)

    def _send(self, group: Group, now: float) -> None:
        try:
            with self.lock:
                text = group.update()
        except Exception:
            logger.exception("A live message could not be built")
            self._metrics.add("live_failures_total")
            return
        group.sent_at = now
        dropped = sum(not client.offer(text) for client in group.clients)
        self._metrics.add("live_messages_total", len(group.clients))
        if dropped:
            self._metrics.add("live_messages_replaced_total", dropped)

    async def _tick(self) -> None:
        """Heartbeats, and projections now and then."""
        while True:
            await asyncio.sleep(TICK_S)
            if not self._groups or self._loop is None:
                continue
            now = self._loop.time()
            quiet = [group for group in self._groups.values() if now - group.sent_at >= HEARTBEAT_S]
            if quiet:
                self._advance()
                for group in quiet:
                    self._send(group, now)
            for group in list(self._groups.values()):
                if now - group.rest_known_at >= PROJECTION_EVERY_S:
                    await self._learn_rest_of_day(group)

    async def _learn_rest_of_day(self, group: Group) -> None:
        group.rest_known_at = asyncio.get_running_loop().time()
        if self.rest_of_day_source is None:
            return
        try:
            group.rest_of_day_usd = await asyncio.to_thread(self.rest_of_day_source, group.filters)
        except Exception:
            logger.exception("The projection of today's spend could not be read")
            self._metrics.add("live_failures_total")

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncGenerator[None]:
        """Somebody looks, until the end of the block: what was missed while nobody did is read from the store."""
        with self.lock:
            self._watchers += 1
            asleep = self._asleep
        try:
            if asleep and self.catch_up_source is not None:
                await asyncio.to_thread(self.catch_up_source)
            yield
        finally:
            with self.lock:
                self._watchers -= 1

    @contextlib.asynccontextmanager
    async def subscribe(self, filters: Filters) -> AsyncGenerator[Client]:
        """A client of the group with these filters, until the end of the block.

        Raises:
            TooManyClients: the hub is full.
        """
        async with self._watched(), self._joined(filters) as client:
            yield client

    @contextlib.asynccontextmanager
    async def _joined(self, filters: Filters) -> AsyncGenerator[Client]:
        if sum(len(group.clients) for group in self._groups.values()) >= MAX_CLIENTS:
            raise TooManyClients
        group = self._groups.get(filters)
        if group is None:
            if len(self._groups) >= MAX_GROUPS:
                raise TooManyClients
            group = await self._open(filters)
        client = Client(group)
        group.clients.add(client)
        self._metrics.set("live_clients", sum(len(each.clients) for each in self._groups.values()))
        try:
            yield client
        finally:
            group.clients.discard(client)
            if not group.clients and self._groups.get(filters) is group:
                del self._groups[filters]
            self._metrics.set("live_clients", sum(len(each.clients) for each in self._groups.values()))

    async def _open(self, filters: Filters) -> Group:
        """A group with these filters; two clients that come at once share it."""
        group = await asyncio.to_thread(self._build, filters)
        await self._learn_rest_of_day(group)
        existing = self._groups.get(filters)
        if existing is not None:
            return existing
        with self.lock:
            group.rebuild(self._cells, self.clock.now_us())
            self._groups[filters] = group
        return group

    def _build(self, filters: Filters) -> Group:
        group = Group(self, filters)
        if filters.items() and self.older_feed_source is not None:
            group.give_older_feed(self.older_feed_source(filters))
        return group

    async def snapshot(self, filters: Filters) -> LiveMessage:
        """What a client that connects now would be told first."""
        async with self._watched():
            group = self._groups.get(filters) or await self._open_aside(filters)
            with self.lock:
                group.advance(self._cells, set(self._dirty), self.clock.now_us())
                return group.snapshot_message()

    async def _open_aside(self, filters: Filters) -> Group:
        group = await asyncio.to_thread(self._build, filters)
        await self._learn_rest_of_day(group)
        with self.lock:
            group.rebuild(self._cells, self.clock.now_us())
        return group

    # --- asked by groups ---------------------------------------------------------------------------------------

    def recent(self, filters: Filters, limit: int) -> list[FeedItem]:
        """The newest operations that the filters let through, newest first; each id once, in its latest state."""
        found: dict[str, FeedItem] = {}
        for operation in reversed(self._feed):
            key = (operation.project, operation.model, operation.tier, operation.user_id, operation.session_id)
            if operation.operation_id not in found and matches(filters, key):
                found[operation.operation_id] = feed_item(operation)
                if len(found) == limit:
                    break
        return list(found.values())

    def today(self, filters: Filters, rest_of_day_usd: Decimal | None) -> TodayView:
        cost, billable, priced = self._today.total(filters)
        return TodayView(
            cost_usd=cost,
            budget_usd=None if filters.items() else self._settings.daily_budget_usd,
            projected_usd=None if rest_of_day_usd is None else cost + rest_of_day_usd,
            day_start_at=to_iso(self._today.day_start_us) or "",
            coverage_ratio=priced / billable if billable else None,
        )

    def health(self) -> Health:
        if self.health_source is None:
            return Health("ok", None, 0, 0, None, False, "", None)
        return self.health_source()
