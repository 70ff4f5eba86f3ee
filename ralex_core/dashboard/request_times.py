"""Counts and times every request by route template. Plain ASGI, outside everything else: refusals are counted too."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ralex_core.selfmetrics import SelfMetrics

UNMATCHED = "unmatched"
"""The route of a request that no route took, or that was refused before: its path comes from outside and is not
kept."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestTimes:
    """Records `http_requests_total` and `http_request_seconds`: to the last byte of the answer, about five
    microseconds a request."""

    def __init__(self, app: ASGIApp, metrics: SelfMetrics, prefix: str) -> None:
        self._app = app
        self._metrics = metrics
        self._prefix = prefix
        """Of routes that were included under one: depending on its version, the framework tells them without it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500  # what the server answers when nothing was sent

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, took_s: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        labels = (("method", method), ("route", self._route(scope)))
        self._metrics.add("http_requests_total", 1, (*labels, ("status", f"{status // 100}xx")))
        self._metrics.observe("http_request_seconds", took_s, labels)

    def _route(self, scope: Scope) -> str:
        template = getattr(scope.get("route"), "path", None)
        if not isinstance(template, str):
            return UNMATCHED
        included = scope["path"].startswith(f"{self._prefix}/") and not template.startswith(self._prefix)
        return self._prefix + template if included else template
