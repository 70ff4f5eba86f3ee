"""`/ws/monitoring`: what the live hub has to say, to one browser.

Plain ASGI: a client costs two coroutines and, per message, one `send`. Origin, host and token were checked by
`security.Guard` before this is reached.
"""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from ralex_core.dashboard.live import Client, LiveHub, TooManyClients
from ralex_core.dashboard.params import read_filters
from ralex_core.dashboard.problems import RequestProblem
from ralex_core.selfmetrics import SelfMetrics

MAX_MESSAGE = 1024
"""Clients have nothing to say but "ping"."""

BAD_REQUEST = 4400
TRY_AGAIN_LATER = 1013
TOO_BIG = 1009


class MonitoringSocket:
    """The WebSocket endpoint as an ASGI application."""

    def __init__(self, hub: LiveHub, metrics: SelfMetrics) -> None:
        self._hub = hub
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        try:
            filters = read_filters(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        except RequestProblem as problem:
            await send({"type": "websocket.close", "code": BAD_REQUEST, "reason": problem.message[:120]})
            return
        try:
            async with self._hub.subscribe(filters) as client:
                await self._talk(client, receive, send)
        except TooManyClients:
            self._metrics.add("live_refused_total")
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": "too many live views are open"})

    async def _talk(self, client: Client, receive: Receive, send: Send) -> None:
        sender = asyncio.create_task(_send_all(client, send))
        try:
            await self._listen(receive, send)
        finally:
            sender.cancel()
            # the connection is gone: what the sender ran into is not news
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await sender

    async def _listen(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                return
            text = event.get("text")
            if len(text or event.get("bytes") or b"") > MAX_MESSAGE:
                await send({"type": "websocket.close", "code": TOO_BIG})
                return
            if text == "ping":
                await send({"type": "websocket.send", "text": "pong"})


async def _send_all(client: Client, send: Send) -> None:
    while True:
        await send({"type": "websocket.send", "text": await client.next()})
