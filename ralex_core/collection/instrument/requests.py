"""requests: every request on the network, redirects each on their own; repeats by urllib3 count as attempts of one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ralex_core.collection.guard import guard
from ralex_core.collection.instrument.calls import HEADER, Call, may_send

if TYPE_CHECKING:
    import requests

    from ralex_core.collection.instrument.switch import Switch

_CALL = "_ralex_call"


def install(switch: Switch, traceparent: bool | Collection[str]) -> None:
    """Time all sessions."""
    import requests
    import requests.adapters

    def make_hop(original: Callable[..., Any]) -> Callable[..., Any]:
        def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            begun = _begin(request, traceparent) if switch.on else None
            if begun is None:
                return original(self, request, *args, **kwargs)
            call, ours = begun
            try:
                response = original(self, request, *args, **kwargs)
            except BaseException as error:
                call.finish(error)
                raise
            finally:
                if ours:  # a redirect would copy it to another host
                    request.headers.pop(HEADER, None)
            _answered(call, response)
            return response

        return send

    def make_send(original: Callable[..., Any]) -> Callable[..., Any]:
        def send(self: Any, request: Any, **kwargs: Any) -> Any:
            response = original(self, request, **kwargs)
            if not kwargs.get("stream", self.stream):
                for hop in (*response.history, response):
                    _finish(hop)
            return response

        return send

    def make_close(original: Callable[..., Any]) -> Callable[..., Any]:
        def close(self: Any) -> None:
            try:
                original(self)
            finally:
                _finish(self)

        return close

    switch.replace(requests.adapters.HTTPAdapter, "send", make_hop)
    switch.replace(requests.Session, "send", make_send)
    switch.replace(requests.Response, "close", make_close)


def _begin(request: requests.PreparedRequest, traceparent: bool | Collection[str]) -> tuple[Call, bool] | None:
    """The call that begins with a request, and whether the request carries our header."""
    try:
        parts = urlsplit(request.url or "")
        host = parts.hostname or "unknown"
        call = Call(request.method or "GET", host, parts.port)
        ours = HEADER not in request.headers and may_send(host, traceparent)
        if ours:
            request.headers[HEADER] = call.traceparent
        return call, ours
    except Exception:
        guard.swallow("instrument requests")
        return None


def _answered(call: Call, response: requests.Response) -> None:
    try:
        retries = getattr(response.raw, "retries", None)
        repeated = sum(1 for past in getattr(retries, "history", ()) if past.redirect_location is None)
        call.answered(response.status_code, repeated + 1, response.headers.get("content-length"))
        response.__dict__[_CALL] = call
    except Exception:
        guard.swallow("instrument requests")


def _finish(response: requests.Response) -> None:
    """The body was read, or nobody will read it."""
    call: Call | None = response.__dict__.pop(_CALL, None)
    if call is not None:
        call.finish()
