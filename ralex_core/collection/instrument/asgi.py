"""ASGI applications: every request by method and route template, timed to its last byte.

Work done for a request becomes its children, background tasks included. The handshake of a WebSocket is timed; the
connection itself, which may last for hours, is left alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from ralex_core.collection import active
from ralex_core.collection.active import current, defaults, fail, operation
from ralex_core.collection.guard import guard
from ralex_core.collection.instrument.binding import compiled
from ralex_core.collection.instrument.clients import client_of
from ralex_core.collection.instrument.leaf import Leaf
from ralex_core.collection.instrument.routes import Endpoints
from ralex_core.collection.instrument.switch import Switch
from ralex_core.collection.prepared import steady

if TYPE_CHECKING:
    from ralex_core.collection.active import ActiveOperation
    from ralex_core.collection.prepared import Prepared

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TIMED = "ralex_monitor.timed"
"""In a scope: an instrument around this application times the request already."""


class AppSwitch(Switch):
    """A switch that is the instrumented application as well, for frameworks that cannot be instrumented in place."""

    __slots__ = ("app",)

    app: App

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def install_everywhere(switch: Switch, traceparent: bool) -> None:
    """Time every Starlette and FastAPI application, made before or later."""
    from starlette.applications import Starlette

    endpoints = Endpoints()

    def make(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def __call__(self: Any, scope: Scope, receive: Receive, send: Send) -> None:
            if switch.on and scope["type"] == "http" and TIMED not in scope:
                request = _new_request(scope, endpoints, self, send, traceparent, TIMED)
                try:
                    await original(self, scope, receive, request.send)
                except BaseException as error:
                    request.failed(error)
                    raise
                finally:
                    request.left()
            elif switch.on and scope["type"] == "websocket" and TIMED not in scope:
                await original(self, scope, receive, _handshake(endpoints, self, scope, send))
            else:
                await original(self, scope, receive, send)

        return __call__

    switch.replace(Starlette, "__call__", make)


def install(switch: Switch, app: Any, traceparent: bool) -> None:
    """Time one application: Starlette and FastAPI in place, others through the switch, which is an application too."""
    endpoints = Endpoints()

    def wrap(inner: App) -> App:
        async def instrumented(scope: Scope, receive: Receive, send: Send) -> None:
            if switch.on and scope["type"] == "http" and TIMED not in scope:
                request = _new_request(scope, endpoints, app, send, traceparent, TIMED)
                try:
                    await inner(scope, receive, request.send)
                except BaseException as error:
                    request.failed(error)
                    raise
                finally:
                    request.left()
            elif switch.on and scope["type"] == "websocket" and TIMED not in scope:
                await inner(scope, receive, _handshake(endpoints, app, scope, send))
            else:
                await inner(scope, receive, send)

        return instrumented

    if isinstance(switch, AppSwitch):
        switch.app = app
    if not hasattr(app, "build_middleware_stack"):
        if isinstance(switch, AppSwitch):
            switch.app = wrap(app)
        return
    switch.replace(app, "build_middleware_stack", lambda original: lambda: wrap(original()))
    built: Any = app.middleware_stack
    if built is not None:
        app.middleware_stack = wrap(built)

    def unwrap() -> None:
        # Built anew at the next request, from what is left: nothing of ours.
        app.middleware_stack = built

    switch.undo_with(unwrap)


class _Rare:
    """What is rare about a request, or where the compiled half is not used, all of it: an operation from its head to
    the last byte of the answer."""

    __slots__ = ()

    _scope: Scope
    _endpoints: Endpoints
    _outer: Any
    _send: Send
    _status: int
    _size: int
    _first_ns: int
    _root: str
    _op: ActiveOperation
    _token: Any

    def _begin(self, traceparent: bool) -> None:
        scope, op = self._scope, self._op
        fields = op.fields
        parent = ""
        for name, value in scope["headers"]:
            if name == b"user-agent":
                client = client_of(value)
                if client is not None:
                    fields["client"] = client
            elif name == b"traceparent":
                parent = value.decode("latin-1") if len(value) < 200 else ""
            elif name == b"content-length" and value.isdigit() and len(value) < 16 and value != b"0":
                fields["http.request.body.size"] = int(value)
        scope[TIMED] = True
        if parent and traceparent:
            op.parent = parent
        elif current.get() is None:
            op.parent = ""  # its own trace: not that of what started the server
        op.__enter__()
        self._token, op.token = op.token, None  # it stays around what follows the last byte, until `left`

    def _prepared(self) -> Prepared:
        """What requests are alike that were answered like this one and have no more to tell than a client."""
        found = self._endpoints.of(self._scope, self._root, self._outer)
        return found.answered(self._status, {**self._op.fields, "http_status": self._status})

    async def _last(self, message: Message) -> None:
        """The last part of a stream: it waits until the client has taken enough of those before."""
        try:
            await self._send(message)
        finally:
            self._end()

    def _end(self) -> None:
        """The last byte is out: record the request, though the application may go on with background tasks."""
        op = self._op
        if op.end_ns:
            return
        op.end_ns = steady()
        try:
            fields, status = op.fields, self._status
            found = self._endpoints.of(self._scope, self._root, self._outer)
            is_plain = op.extra is None and len(fields) == ("client" in fields) and not self._first_ns
            op.name = found.name
            op.extra = found.attributes.copy() if op.extra is None else {**found.attributes, **op.extra}
            if 100 <= status <= 599:
                fields["http_status"] = status
                op.extra["http.response.body.size"] = self._size
            if status >= 500 and "status" not in fields:
                fields["status"] = "error"
                fields["error_type"] = f"HTTP {status}"
            if self._first_ns:
                fields["http.response.time_to_first_byte_ms"] = (self._first_ns - op.start_ns) / 1e6
            name: Any = op.name
            values: Any = fields
            attributes = op.extra
            if is_plain and status:
                name, values, attributes = found.answered(status, fields), self._size, None
            op.defaults = around = defaults.get()
            recorder = active.default_recorder
            recorder.put(
                (
                    name,
                    "api",
                    values,
                    attributes,
                    op.trace,
                    op.span,
                    op.parent,
                    op.started_ns,
                    op.start_ns,
                    op.end_ns,
                    around,
                )
            )
        except Exception:
            guard.swallow("instrument asgi")

    def failed(self, error: BaseException) -> None:
        """An exception left the application; the server makes a 500 of it when nothing was sent before."""
        try:
            if self._op.end_ns:
                self._op.error(error)
                return
            fail(self._op.fields, error)
            if not self._status and isinstance(error, Exception):
                self._op.fields.setdefault("http_status", 500)
        except Exception:
            guard.swallow("instrument asgi")


class _Request(_Rare):
    __slots__ = ("_endpoints", "_first_ns", "_op", "_outer", "_root", "_scope", "_send", "_size", "_status", "_token")

    def __init__(
        self, scope: Scope, endpoints: Endpoints, outer: Any, send: Send, traceparent: bool, timed: str, /
    ) -> None:
        self._scope = scope
        self._endpoints = endpoints
        self._outer = outer
        self._send = send
        self._status = self._size = self._first_ns = 0
        self._root = scope.get("root_path", "")
        self._op = operation("request", "api")
        self._token = None
        try:
            self._begin(traceparent)
        except Exception:
            guard.swallow("instrument asgi")

    def send(self, message: Message) -> Awaitable[None]:
        """Look at a message on its way out."""
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
        elif kind == "http.response.body":
            self._size += len(message.get("body", b""))
            if message.get("more_body", False):
                if not self._first_ns:
                    self._first_ns = steady()
            elif self._first_ns:
                return self._last(message)
            else:
                self._end()  # all of it in one part, which the server takes without waiting
        return self._send(message)

    def left(self) -> None:
        """The application is done."""
        if not self._op.end_ns:
            self._end()
        if self._token is not None:
            try:  # noqa: SIM105 - contextlib.suppress costs half a microsecond
                current.reset(self._token)
            except (ValueError, RuntimeError):
                pass  # left in another context than it was entered in


_new_request: Any = _Request
if compiled is not None:
    _new_request = type("_CompiledRequest", (compiled.Request, _Rare), {"__slots__": (), "__doc__": _Rare.__doc__})


def _handshake(endpoints: Endpoints, outer: Any, scope: Scope, send: Send) -> Send:
    """Time a WebSocket until it is accepted or refused."""
    try:
        scope[TIMED] = True
        leaf: Leaf | None = Leaf("websocket", "api")
        root: str = scope.get("root_path", "")
        agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
        client = client_of(agent)
        if client is not None:
            leaf.fields["client"] = client
    except Exception:
        guard.swallow("instrument asgi")
        return send

    async def answer(message: Message) -> None:
        nonlocal leaf
        begun, leaf = leaf, None
        if begun is not None:
            try:
                accepted = message["type"] == "websocket.accept"
                begun.fields["http_status"] = 101 if accepted else message.get("status", 403)
                found = endpoints.of({**scope, "method": "WEBSOCKET"}, root, outer)
                begun.name, begun.attributes = found.name, found.attributes
                begun.finish()
            except Exception:
                guard.swallow("instrument asgi")
        await send(message)

    return answer
