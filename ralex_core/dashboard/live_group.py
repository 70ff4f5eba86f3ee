"""What one group of browsers is shown, and the one-message slot of each."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from ralex_core.clock import Clock
from ralex_core.dashboard.contexts.rows import FeedItem, TodayView
from ralex_core.dashboard.live_cells import BUCKET_US, BUCKETS, OPERATIONS, Cells, Digest, matches
from ralex_core.dashboard.live_message import Health, LiveMessage, MessageKind, metrics_of
from ralex_core.dashboard.rows import feed_item
from ralex_core.model.operation import Operation
from ralex_core.model.window import MINUTE_US, Filters
from ralex_core.render import to_iso, to_json

FEED_SNAPSHOT = 50
FEED_UPDATE = 20
"""Operations told per message; nobody reads more in a third of a second."""


class Hub(Protocol):
    """What a group asks of its hub."""

    @property
    def clock(self) -> Clock: ...

    @property
    def lock(self) -> threading.Lock: ...

    def recent(self, filters: Filters, limit: int) -> list[FeedItem]: ...

    def today(self, filters: Filters, rest_of_day_usd: Decimal | None) -> TodayView: ...

    def health(self) -> Health: ...


class Client:
    """One connected browser. Iterate over it for the messages to send."""

    __slots__ = ("_behind", "_event", "_group", "_text", "dropped")

    def __init__(self, group: Group) -> None:
        self._group = group
        self._text: str | None = None
        self._behind = True
        self._event = asyncio.Event()
        self._event.set()  # the first message is a snapshot, at once
        self.dropped = 0

    def offer(self, text: str) -> bool:
        """Make this the next message. False: the one before had not been taken yet and is replaced."""
        replaced = self._text is not None
        if replaced:
            self._behind = True
            self.dropped += 1
        self._text = text
        self._event.set()
        return not replaced

    async def next(self) -> str:
        """Wait for the next message: an update, or a snapshot when updates were missed."""
        await self._event.wait()
        self._event.clear()
        text, self._text = self._text, None
        if self._behind or text is None:
            self._behind = False
            return self._group.snapshot()
        return text


class Group:
    """The view of all clients with the same filters."""

    def __init__(self, hub: Hub, filters: Filters) -> None:
        self._hub = hub
        self.filters = filters
        self.clients: set[Client] = set()
        self.seq = 0
        self.sent_at = float("-inf")
        self.rest_of_day_usd: Decimal | None = None
        self.rest_known_at = float("-inf")
        self._total = Digest()
        self._buckets: dict[int, Digest] = {}
        self._unsent: set[int] = set()
        self._unsent_feed: deque[Operation] = deque(maxlen=FEED_UPDATE)
        self._older_feed: list[FeedItem] = []
        self._changed = False
        self._start_over = False
        self._snapshot: tuple[int, str] | None = None

    # --- under the hub's lock ----------------------------------------------------------------------------------

    def rebuild(self, cells: Cells, now_us: int) -> None:
        """Forget what is known and add up all cells; clients are told everything anew."""
        self._total, self._buckets = Digest(), {}
        self._snapshot = None
        self.advance(cells, set(cells.starts()), now_us)
        self._unsent.clear()
        self._unsent_feed.clear()
        self._start_over = bool(self.clients)
        self._changed = self._start_over

    def advance(self, cells: Cells, dirty: set[int], now_us: int) -> None:
        """Take in changed buckets and let go of those that are too old."""
        first = first_start(now_us)
        for start in dirty:
            if start < first:
                continue
            digest = cells.digest(start, self.filters)
            old = self._buckets.get(start)
            if digest.sums == (old.sums if old else Digest().sums):
                continue
            if old is not None:
                self._total.merge(old, -1)
            self._total.merge(digest, 1)
            self._buckets[start] = digest
            self._unsent.add(start)
            self._changed = True
        for start in [start for start in self._buckets if start < first]:
            self._total.merge(self._buckets.pop(start), -1)
            self._unsent.discard(start)

    def feed(self, operations: Sequence[Operation]) -> None:
        """Take in operations for the feed, oldest first."""
        for operation in operations:
            if not self.filters.items() or matches(
                self.filters,
                (operation.project, operation.model, operation.tier, operation.user_id, operation.session_id),
            ):
                self._unsent_feed.append(operation)
                self._changed = True

    def touch(self) -> None:
        """Something outside the cells changed, such as today's spend."""
        self._changed = True

    # --- on the event loop -------------------------------------------------------------------------------------

    @property
    def changed(self) -> bool:
        return self._changed

    def give_older_feed(self, items: list[FeedItem]) -> None:
        """Operations from before the hub's own memory, for a group whose filters let few through."""
        self._older_feed = items

    def update(self) -> str:
        """The next message: what changed, a heartbeat when nothing did, a snapshot when everything may have."""
        self.seq += 1
        if self._start_over:
            self._start_over = self._changed = False
            return to_json(self.snapshot_message()).decode()
        kind: MessageKind = "update" if self._changed else "heartbeat"
        starts = sorted(self._unsent)
        feed = [feed_item(operation) for operation in reversed(self._unsent_feed)]
        self._unsent.clear()
        self._unsent_feed.clear()
        self._changed = False
        buckets = [(start, self._buckets[start]) for start in starts]
        return to_json(self._built(kind, buckets, feed)).decode()

    def snapshot(self) -> str:
        """Everything, as of the last message; serialised once for all clients that ask between two messages."""
        if self._snapshot is None or self._snapshot[0] != self.seq:
            with self._hub.lock:
                self._snapshot = (self.seq, to_json(self.snapshot_message()).decode())
        return self._snapshot[1]

    def snapshot_message(self) -> LiveMessage:
        """The message of a snapshot; the caller holds the hub's lock."""
        now_us = self._hub.clock.now_us()
        first = first_start(now_us)
        empty = Digest()
        buckets = [
            (start, self._buckets.get(start, empty)) for start in range(first, first + BUCKETS * BUCKET_US, BUCKET_US)
        ]
        feed = self._hub.recent(self.filters, FEED_SNAPSHOT)
        known = {item.operation_id for item in feed}
        feed += [item for item in self._older_feed if item.operation_id not in known]
        return self._built("snapshot", buckets, feed[:FEED_SNAPSHOT])

    def _built(self, kind: MessageKind, buckets: list[tuple[int, Digest]], feed: list[FeedItem]) -> LiveMessage:
        now_us = self._hub.clock.now_us()
        return LiveMessage(
            kind,
            self.seq,
            to_iso(now_us) or "",
            metrics_of(
                self._total, buckets, self._per_minute(now_us), self._hub.today(self.filters, self.rest_of_day_usd)
            ),
            [],
            self._hub.health(),
            feed,
        )

    def _per_minute(self, now_us: int) -> float:
        """Operations of the last minute; the current bucket has only begun, so it is measured over what has passed."""
        current = now_us // BUCKET_US * BUCKET_US
        oldest = current - MINUTE_US + BUCKET_US
        count = 0
        for start in range(oldest, current + 1, BUCKET_US):
            digest = self._buckets.get(start)
            if digest is not None:
                count += int(digest.sums[OPERATIONS])
        return round(count * MINUTE_US / max(now_us - oldest, BUCKET_US), 2)


def first_start(now_us: int) -> int:
    """The oldest bucket of the window that ends now."""
    return now_us // BUCKET_US * BUCKET_US - (BUCKETS - 1) * BUCKET_US
