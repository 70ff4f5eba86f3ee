"""What reaches the server before any of its code runs: request heads, the pace of bodies, and offers to upgrade.

uvicorn's protocol bounds none of these. This one answers before the token is looked at, so that a stranger cannot fill
the memory or hold connections, and it ignores an `Upgrade` the server does not know (RFC 9110, 7.8) with the body kept:
httptools stops at the end of such a head, and uvicorn leaves it there.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple

import httptools
import orjson
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from ralex_core.dashboard.security import SECURITY_HEADERS
from ralex_core.selfmetrics import SelfMetrics

logger = logging.getLogger(__name__)


class EdgeLimits(NamedTuple):
    """Fixed, since no honest client comes near them; tests shorten the times. Sizes are bytes."""

    url: int = 8_000
    """The least a server should take (RFC 9110, 4.1); the WebSocket library takes a line of 8,192."""
    head: int = 64 * 1024
    headers: int = 120
    """The WebSocket library takes 128."""
    websocket_header: int = 8_000
    head_s: float = 20.0
    """Within which a head is complete, from its first byte or, on a new connection, from its opening."""
    body_window_s: float = 10.0
    body_window_bytes: int = 4 * 1024
    """Each window of a body brings this much, or its end."""
    reader_s: float = 60.0
    """Within which a caller takes what the server has buffered of an answer."""
    linger_s: float = 2.0
    """How long a refused sender may go on before the connection is cut; cut at once, it would not see the answer."""


LIMITS = EdgeLimits()


class _Refused(Exception):
    """Raised through the parser, to stop it."""


class EdgeProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits. `http_edge_refused_total{reason}` counts what they stop."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        metrics: SelfMetrics,
        limits: EdgeLimits = LIMITS,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._metrics = metrics
        self._limits = limits
        self._in_head = True
        self._head_bytes = 0
        """Of the headers that are complete."""
        self._fed_bytes = 0
        """What came while the head was not complete: a line that does not end is shown by the parser only then."""
        self._completed = 0
        """Requests that were read to their end."""
        self._refusal: tuple[int, str, str] | None = None
        self._is_refused = False
        self._received = 0
        """Bytes of the current body in the current window."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self._limits.head_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        was_in_head, completed = self._in_head, self._completed
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._take_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse(*(self._refusal or (400, "bad_request", "This is not a request in HTTP/1.1.")))
            return
        if self._in_head:
            if was_in_head and completed == self._completed:  # else it held a request, and its body may be long
                self._fed_bytes += len(data)
                if self._fed_bytes > self._limits.head:
                    self._refuse(*self._head_too_long())
                    return
            if self._head_timer is None and self._is_idle():
                self._head_timer = self.loop.call_later(self._limits.head_s, self._head_is_late)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reader_timer is None:
            self._reader_timer = self.loop.call_later(self._limits.reader_s, self._reader_is_late)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    # The parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._fed_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._limits.url:
            self._stop(414, "url_too_long", f"The address is longer than {self._limits.url:,} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self._limits.head or len(self.headers) >= self._limits.headers:
            self._stop(*self._head_too_long())
        if self._in_head:  # trailers are not headers: they come after everything was decided
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = self._fed_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self.parser.should_upgrade():  # the parser stops here; `_take_upgrade` goes on
            self.scope["method"] = self.parser.get_method().decode("ascii")
            self.scope["http_version"] = self.parser.get_http_version()
            return
        super().on_headers_complete()
        self._received = 0
        if self._body_timer is None:
            self._body_timer = self.loop.call_later(self._limits.body_window_s, self._look_at_body)

    def on_body(self, body: bytes) -> None:
        self._received += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_head = True
        self._completed += 1
        self._head_bytes = self._fed_bytes = 0
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
        super().on_message_complete()

    # Upgrades

    def _take_upgrade(self, rest: bytes) -> None:
        """A WebSocket goes to its library; any other request is read again without its offer."""
        method = self.scope["method"]
        if method == "CONNECT":
            self._refuse(405, "method_not_allowed", "This server is no proxy.")
            return
        if method == "GET" and self._get_upgrade() == b"websocket":
            if any(len(name) + len(value) > self._limits.websocket_header for name, value in self.headers):
                self._refuse(431, "header_too_long", "A header is too long for a WebSocket.")
                return
            self._stop_timers()
            self.handle_websocket_upgrade()
            return
        head = [method.encode(), b" ", self.url, b" HTTP/", self.scope["http_version"].encode(), b"\r\n"]
        for name, value in self.headers:
            if name != b"upgrade":
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"".join([*head, b"\r\n", rest]))

    # Refusals

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "bad_request", msg)

    def _head_too_long(self) -> tuple[int, str, str]:
        limits = self._limits
        return (
            431,
            "head_too_long",
            f"A request has at most {limits.headers} headers of {limits.head:,} bytes together.",
        )

    def _stop(self, status: int, code: str, message: str) -> None:
        self._refusal = status, code, message
        raise _Refused

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._fed_bytes or self.scope is not None:  # pyright: ignore[reportUnnecessaryComparison] - None until a request begins
            self._refuse(408, "head_too_slow", f"The request's head was not complete in {self._limits.head_s:g} s.")
        else:
            self.transport.close()

    def _look_at_body(self) -> None:
        """Called for each window of a body: whether its sender stalls. While reading is paused it is not the sender."""
        self._body_timer = None
        waits = self.flow.read_paused or self.cycle.waiting_for_100_continue
        if not waits and self._received < self._limits.body_window_bytes:
            self._refuse(
                408,
                "body_too_slow",
                f"The body brought less than {self._limits.body_window_bytes:,} bytes in "
                f"{self._limits.body_window_s:g} s. Send it in one go.",
            )
            return
        self._received = 0
        self._body_timer = self.loop.call_later(self._limits.body_window_s, self._look_at_body)

    def _reader_is_late(self) -> None:
        self._reader_timer = None
        self._metrics.add("http_edge_refused_total", 1, (("reason", "reader_too_slow"),))
        self.transport.abort()

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer, unless an answer has begun, and end the connection; what runs for it learns that the caller left."""
        self._is_refused = True
        self._stop_timers()
        self._unset_keepalive_if_required()
        self._metrics.add("http_edge_refused_total", 1, (("reason", code),))
        cycle = self.cycle
        is_running = not self._is_idle()
        if is_running:
            cycle.disconnected = True
            cycle.message_event.set()
        self.pipeline.clear()
        if is_running and cycle.response_started:
            self.transport.abort()
            return
        body = orjson.dumps({"error": {"code": code, "message": message}})
        head = [STATUS_LINE[status]]
        own = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
        for name, value in (*own, *SECURITY_HEADERS, (b"connection", b"close")):
            head += [name, b": ", value, b"\r\n"]
        self.transport.write(b"".join([*head, b"\r\n", body]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._body_timer = self.loop.call_later(self._limits.linger_s, self.transport.abort)

    def _is_idle(self) -> bool:
        """Whether no request waits for its answer."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison] - None at first

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._body_timer, self._reader_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._body_timer = self._reader_timer = None
