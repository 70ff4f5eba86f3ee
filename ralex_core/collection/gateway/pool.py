"""Connections to one upstream, kept open between requests."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from time import perf_counter

from ralex_core.collection.gateway.connection import UpstreamConnection, UpstreamProblem

MAX_CONNECTIONS = 256
"""To one upstream. Requests beyond it wait their turn."""
CONNECT_TIMEOUT_S = 10.0
IDLE_S = 30.0
"""How long an unused connection is kept; servers close them by themselves after five seconds to a few minutes."""
TICK_S = 1.0
"""How often silence and idleness are looked at, while there is any connection."""


class UpstreamPool:
    """For one event loop: it is made on the first request and ends with `close`."""

    def __init__(self, host: str, port: int, *, secure: bool, silence_s: float) -> None:
        self._host, self._port = host, port
        self._tls = _tls_context() if secure else None
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self._idle: deque[UpstreamConnection] = deque()
        self._busy: set[UpstreamConnection] = set()
        self._opening = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._ticking: asyncio.TimerHandle | None = None

    @property
    def open_connections(self) -> int:
        return len(self._busy) + len(self._idle)

    def idle(self) -> UpstreamConnection | None:
        """A connection that is open and free, the one used last; it is the caller's until `give_back`."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                self._busy.add(connection)
                return connection
        return None

    async def fresh(self) -> UpstreamConnection:
        """A new connection, or a free one when all there may be are in use; the caller's until `give_back`.

        Raises:
            UpstreamProblem: there is no connection to be had.
        """
        while len(self._busy) + self._opening >= MAX_CONNECTIONS:
            turn: asyncio.Future[None] = self._loop.create_future()
            self._queue.append(turn)
            await turn
            connection = self.idle()
            if connection is not None:
                return connection
        self._opening += 1
        try:
            connection = await self._connect()
        except BaseException:
            self._next_turn()
            raise
        finally:
            self._opening -= 1
        self._busy.add(connection)
        if self._ticking is None:
            self._ticking = self._loop.call_later(TICK_S, self._tick)
        return connection

    async def _connect(self) -> UpstreamConnection:
        where = f"{self._host} port {self._port}"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await self._loop.create_connection(
                    lambda: UpstreamConnection(self._loop),
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
        except TimeoutError:
            raise UpstreamProblem(
                "timeout", f"No connection to {where} within {CONNECT_TIMEOUT_S:g} seconds."
            ) from None
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", None) or error.reason or "TLS failed"
            raise UpstreamProblem("unreachable", f"No secure connection to {where}: {reason}.") from error
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UpstreamProblem("unreachable", f"No connection to {where}: {reason}.") from error
        return connection

    def give_back(self, connection: UpstreamConnection) -> None:
        """The answer was read, or given up."""
        self._busy.discard(connection)
        if connection.finish(perf_counter()):
            self._idle.append(connection)
        self._next_turn()

    def _next_turn(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _tick(self) -> None:
        now = perf_counter()
        for connection in list(self._busy):
            if connection.is_waiting and now - connection.active_at > self._silence_s:
                connection.fail(UpstreamProblem("timeout", f"It said nothing for {self._silence_s:g} seconds."))
        while self._idle and (now - self._idle[0].idle_since > IDLE_S or not self._idle[0].is_open):
            self._idle.popleft().close()
        live = self._busy or self._idle or self._opening
        self._ticking = self._loop.call_later(TICK_S, self._tick) if live else None

    def close(self) -> None:
        """Close what is open; requests that still run are given up."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        for connection in [*self._idle, *self._busy]:
            connection.close()
        self._idle.clear()


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
