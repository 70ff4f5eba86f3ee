"""What the HTTP client instruments share: a request, from sending it to the last byte of its answer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ralex_core.collection.instrument.leaf import Leaf, now

HEADER = "traceparent"
MAX_HOSTS = 1000
"""Hosts with a name of their own; what is called beyond them shares one per method."""
METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "QUERY"))
OTHER_METHOD = "OTHER"

_named: dict[tuple[str, str, int | None], tuple[str, dict[str, Any]]] = {}


def _name(method: str, host: str, port: int | None) -> tuple[str, dict[str, Any]]:
    """Name and shared attributes of calls to a host."""
    known = _named.get((method, host, port))
    if known is None:
        shown = method if method in METHODS else OTHER_METHOD
        attributes: dict[str, Any] = {"http.request.method": shown, "http.direction": "client"}
        if len(_named) >= MAX_HOSTS * 2:
            return f"{shown} (other hosts)", attributes | {"server.address": host[:255]}
        attributes["server.address"] = host[:255]
        if port is not None:
            attributes["server.port"] = port
        known = _named[method, host, port] = f"{shown} {host[:255]}", attributes
    return known


def may_send(host: str, traceparent: bool | Collection[str]) -> bool:
    """Whether a host may get our `traceparent`: all, none, or those named (`example.org` includes its subdomains)."""
    if isinstance(traceparent, bool):
        return traceparent
    return any(host == allowed or host.endswith("." + allowed) for allowed in traceparent)


class Call(Leaf):
    """One request on the network. Recorded when its answer was read, failed, or was abandoned."""

    __slots__ = ("_answered_ns",)

    def __init__(self, method: str, host: str, port: int | None) -> None:
        name, attributes = _name(method.upper(), host, port)
        self._answered_ns = 0
        super().__init__(name, "api", attributes)

    def answered(self, status: int, attempt: int = 1, size: str | None = None) -> None:
        """The head of the answer is there; its body may follow."""
        self._answered_ns = now()
        fields = self.fields
        fields["http_status"] = status
        if status >= 400:
            fields["status"] = "error"
            fields["error_type"] = f"HTTP {status}"
        if attempt > 1:
            fields["attempt"] = attempt
        if size is not None and size.isdecimal() and len(size) < 16:
            fields["http.response.body.size"] = int(size)

    def __del__(self) -> None:
        # Nobody read the answer to its end: what is known is when it came.
        if not self.end_ns and self._answered_ns:
            self.finish(at_ns=self._answered_ns)
