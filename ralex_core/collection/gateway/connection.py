"""One HTTP/1.1 connection to an upstream: a request goes out in one write, the answer comes in as it arrives.

Made for passing through: the body of an answer is handed on in the pieces the network delivered, undecoded, and
reading pauses while nobody takes them. `bench/gateway.py` measures it beside other clients.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any, Literal, cast

import httptools

PAUSE_BYTES = 256 * 1024
"""Of an answer that waits to be taken; beyond it the upstream is made to wait."""
MAX_HEAD_BYTES = 256 * 1024
"""Headers of an answer."""
LAST_STATUS = 599

Trouble = Literal["unreachable", "timeout", "closed", "bad_answer", "client_gone"]


class UpstreamProblem(Exception):
    """What kept an answer from coming whole. `trouble` is for programs, the message for people."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble: Trouble = trouble


class UpstreamConnection(asyncio.Protocol):
    """Belongs to one event loop. One request at a time: `send`, then `head`, then `read` until it gives nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._busy = False
        self._paused = False
        self.requests = 0
        """Sent so far."""
        self.idle_since = 0.0
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        """Of the answer, names in lower case, in its order."""
        self.complete = False
        self.answered = False
        """Whether any byte of the answer has come."""
        self.reusable = False
        self.first_byte_at = 0.0
        """When the first byte of the answer came."""
        self.active_at = 0.0
        """When something last went out or came in."""
        self._head_done = False
        self._framed = False
        self._head_bytes = 0
        self._chunks: list[bytes] = []
        self._waiting_bytes = 0
        self._problem: UpstreamProblem | None = None
        self._misread: UpstreamProblem | None = None
        """Why the parser was stopped."""

    # The gateway's side

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_waiting(self) -> bool:
        """Whether somebody waits for the upstream now."""
        return self._waiter is not None

    def send(self, message: bytes) -> None:
        """Send a request, head and body. Raises `UpstreamProblem` when the connection is gone."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise UpstreamProblem("closed", "The connection was closed.")
        self._begin()
        self._busy = True
        self.requests += 1
        self.active_at = perf_counter()
        transport.write(message)

    async def head(self) -> None:
        """Wait for status and headers. Raises `UpstreamProblem`."""
        while not self._head_done:
            if self._problem is not None:
                raise self._problem
            await self._wait()

    async def read(self) -> bytes:
        """The next part of the body as it came; empty when that was all. Raises `UpstreamProblem`."""
        while not self._chunks:
            if self.complete:
                return b""
            if self._problem is not None:
                raise self._problem
            await self._wait()
        return self.read_now()

    def read_now(self) -> bytes:
        """What has arrived of the body and was not read yet."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        self._waiting_bytes = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def fail(self, problem: UpstreamProblem) -> None:
        """Give the request up: the connection is closed at once, and who waits for the answer hears why."""
        if self._problem is None and not self.complete:
            self._problem = problem
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def finish(self, now: float) -> bool:
        """The answer was read; whether the connection can carry another request."""
        self._busy = False
        self.idle_since = now
        if self.complete and self.reusable and self.is_open:
            return True
        self.close()
        return False

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._busy:  # nobody asked: it is out of step, or says goodbye
            self.close()
            return
        now = self.active_at = perf_counter()
        if not self.answered:
            self.answered, self.first_byte_at = True, now
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.fail(self._misread or UpstreamProblem("bad_answer", f"Its answer is not HTTP: {str(error)[:100]}."))
            return
        if self._waiting_bytes > PAUSE_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._busy or self.complete:
            return
        if self._head_done and not self._framed and exc is None:
            self.complete = True  # an answer without a length ends with its connection
        elif self._problem is None:
            self._problem = UpstreamProblem("closed", "It closed the connection before its answer was complete.")
        self._wake()

    # The parser's side

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError("its headers are too long")
        if name in (b"content-length", b"transfer-encoding"):
            self._framed = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # only a sign of life; the answer follows
            return
        if status > LAST_STATUS:
            self._misread = UpstreamProblem(
                "bad_answer", f"It answered with status {status}, which HTTP does not have."
            )
            raise self._misread
        self.status = status
        self._head_done = True

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._waiting_bytes += len(body)

    def on_message_complete(self) -> None:
        if not self._head_done:
            self.headers = []
            self._framed = False
            return
        self.complete = True
        self.reusable = self._parser.should_keep_alive()
