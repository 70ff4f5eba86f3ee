"""httpx and its successor httpx2: every request of clients, sync and async, redirects and repeated ones on their own.

Both have the same classes under the same names; what is said of httpx here holds for either.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ralex_core.collection.guard import guard
from ralex_core.collection.instrument.calls import HEADER, Call, may_send

if TYPE_CHECKING:
    import httpx

    from ralex_core.collection.instrument.switch import Switch

_SENT = "ralex_sent"
"""In a request's extensions: whose they are (a redirect copies them) and how often it was sent."""
_UNDER_WAY = "ralex_under_way"
_RETRIES = "x-stainless-retry-count"
"""Header in which the OpenAI and Anthropic clients say how often they tried before."""


def install(switch: Switch, library: str, client: Any, traceparent: bool | Collection[str]) -> None:
    """Time one client, or with None all of them; `library` is `httpx` or `httpx2`."""
    module: Any = import_module(library)
    timed, timed_async = _streams(library)
    hop = "_send_single_request"  # one request on the network; `send` is a chain of them

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def send(*args: Any) -> Any:
            begun = _begin(switch, args[-1], traceparent)
            if begun is None:
                return original(*args)
            call, ours = begun
            try:
                response = original(*args)
            except BaseException as error:
                call.finish(error)
                raise
            finally:
                _end(args[-1], ours)
            return _answered(call, response, timed)

        return send

    def make_async(original: Callable[..., Any]) -> Callable[..., Any]:
        async def send(*args: Any) -> Any:
            begun = _begin(switch, args[-1], traceparent)
            if begun is None:
                return await original(*args)
            call, ours = begun
            try:
                response = await original(*args)
            except BaseException as error:
                call.finish(error)
                raise
            finally:
                _end(args[-1], ours)
            return _answered(call, response, timed_async)

        return send

    if client is None:
        switch.replace(module.Client, hop, make)
        switch.replace(module.AsyncClient, hop, make_async)
    elif isinstance(client, module.AsyncClient):
        switch.replace(client, hop, make_async)
    elif isinstance(client, module.Client):
        switch.replace(client, hop, make)
    else:
        raise TypeError(f"instrument.{library}() takes an {library}.Client or {library}.AsyncClient, not {client!r}")


def _begin(switch: Switch, request: httpx.Request, traceparent: bool | Collection[str]) -> tuple[Call, bool] | None:
    """The call that begins with a request, and whether the request carries our header; None when it is not ours."""
    kept = request.extensions
    if not switch.on or _UNDER_WAY in kept:  # the client and all clients may be switched on
        return None
    try:
        host = request.url.host
        call = Call(request.method, host, request.url.port)
        before: Any = request.headers.get(_RETRIES)
        attempt = int(before) + 1 if before and before.isdecimal() and len(before) < 4 else 1
        whose, sent = kept.get(_SENT, (None, 0))
        if whose == id(request):
            attempt = max(attempt, sent + 1)
        kept[_SENT] = id(request), attempt
        kept[_UNDER_WAY] = True
        if attempt > 1:
            call.fields["attempt"] = attempt
        ours = HEADER not in request.headers and may_send(host, traceparent)
        if ours:
            request.headers[HEADER] = call.traceparent
        return call, ours
    except Exception:
        guard.swallow("instrument httpx")
        return None


def _end(request: httpx.Request, ours: bool) -> None:
    """Take back what a redirect would copy to another host."""
    request.extensions.pop(_UNDER_WAY, None)
    if ours:
        request.headers.pop(HEADER, None)


def _answered(call: Call, response: httpx.Response, timed: Callable[[Any, Call], Any]) -> httpx.Response:
    try:
        call.answered(response.status_code, size=response.headers.get("content-length"))
        if response.is_closed:
            call.finish()
        else:
            response.stream = timed(response.stream, call)
    except Exception:
        guard.swallow("instrument httpx")
    return response


@cache
def _streams(library: str) -> tuple[type[Any], type[Any]]:
    """Bodies that finish a call at their end, sync and async; made when the library is there."""
    module: Any = import_module(library)
    sync_stream: type[httpx.SyncByteStream] = module.SyncByteStream
    async_stream: type[httpx.AsyncByteStream] = module.AsyncByteStream

    class Timed(sync_stream):
        def __init__(self, stream: httpx.SyncByteStream, call: Call) -> None:
            self._stream = stream
            self._call = call

        def __iter__(self) -> Iterator[bytes]:
            try:
                yield from self._stream
            except GeneratorExit:
                raise
            except BaseException as error:
                self._call.finish(error)
                raise

        def close(self) -> None:
            try:
                self._stream.close()
            finally:
                self._call.finish()

    class TimedAsync(async_stream):
        def __init__(self, stream: httpx.AsyncByteStream, call: Call) -> None:
            self._stream = stream
            self._call = call

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for chunk in self._stream:
                    yield chunk
            except GeneratorExit:
                raise
            except BaseException as error:
                self._call.finish(error)
                raise

        async def aclose(self) -> None:
            try:
                await self._stream.aclose()
            finally:
                self._call.finish()

    return Timed, TimedAsync
