"""One call to a model while it runs: one operation, from the request to the last part of the answer.

The instruments of the providers' SDKs begin one and tell it what happens. It never raises into the host, and of the
text of prompts and answers it keeps nothing.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from ralex_core.collection.active import ActiveOperation, current, operation
from ralex_core.collection.guard import guard
from ralex_core.collection.llm_answer import Answer
from ralex_core.collection.llm_usage import Usage, fields_of
from ralex_core.collection.semconv import provider_of

CUT = "stream_cut"
"""`error_type` of an answer whose connection ended before it was complete."""
CLOSED = "stream_closed"
"""… that the program closed before it was complete."""
DROPPED = "stream_dropped"
"""… that the program lost interest in, without closing it; it ends when the garbage collector finds it."""

MAX_RAW_BYTES = 16 * 2**20
"""A longer body that the program asked for unparsed is not parsed for its usage either: that would take 50 ms."""

RETRY_HEADER = "x-stainless-retry-count"
"""In which the SDKs of OpenAI and Anthropic say how many requests went before this one for the same call."""

_CODE = re.compile(r"[A-Za-z][\w.:-]{0,63}")
"""What a provider's code for an error looks like. A number only repeats the HTTP status, and a sentence is no code."""

_NOTHING_USED = {**dict.fromkeys(Usage._fields), "input_tokens": 0, "output_tokens": 0, "reported_usd": 0}


def enclosing_call() -> ActiveOperation | None:
    """The call to a model this code is a part of, which then is recorded and not the part.

    That is how one call is one operation whatever lies between: the outermost is the current operation while it waits
    for its answer, and whoever finds one of kind llm there passes on.
    """
    around = current.get()
    if around is None or around.end_ns:
        return None
    return around if around.fields.get("kind", around.kind) == "llm" else None  # `operation(…, kind=…)` puts it there


class ModelCall:
    """A call to a model. Begins when it is made; ends once, by whatever happens first."""

    __slots__ = ("__weakref__", "answer", "from_cache", "is_advancing", "is_open", "operation", "unread")

    def __init__(
        self,
        name: str,
        answer: Answer,
        *,
        provider: str | None,
        requested_model: Any,
        attributes: Mapping[str, Any],
    ) -> None:
        self.is_open = False
        self.answer = answer
        self.from_cache = False
        """Whether a client on the way answered from a cache of its own: no model was asked, and nothing is billed."""
        self.is_advancing = False
        """Whether the next event of a stream is being waited for; whoever does so also tells of the end."""
        self.unread: Any = None
        """The HTTP response, where the program means to read the body of a whole answer by itself."""
        fields = {"provider": provider} if provider else {}
        if isinstance(requested_model, str):
            fields["requested_model"] = requested_model
        self.operation = operation(name, "llm", attributes, **fields)
        self.operation.__enter__()
        self.is_open = True

    # What came of the request

    def answered(self, answer: Any) -> None:
        """The whole answer is there."""
        try:
            if self.is_open:
                self.answer.whole(answer)
        except Exception:
            guard.swallow("reading an answer")
        self.end()

    def failed(self, error: BaseException) -> None:
        """The request, or the stream, ended with an exception, which is on its way to the caller."""
        try:
            if self.is_open:
                self.operation.error(error)
                self.add(error_fields(error))
        except Exception:
            guard.swallow("reading an error")
        self.end()

    def detach(self) -> None:
        """The answer streams: what its consumer does between two events is no part of the call."""
        active = self.operation
        token, active.token = active.token, None
        if token is not None:
            try:
                current.reset(token)
            except ValueError:
                guard.swallow("stream")  # begun in another context

    # A stream

    def saw(self, event: Any) -> None:
        """The next event of the stream."""
        try:
            if self.answer.add(event):
                self.operation.first_token()
        except Exception:
            guard.swallow("reading a stream")

    def ran_out(self) -> None:
        """There is no further event."""
        if self.is_open and not self.answer.is_complete:
            self.operation.fields.update(status="error", error_type=CUT)
        self.end()

    def closed(self, reason: str = CLOSED) -> None:
        """Nobody will read the rest. After the end of the answer proper that is no loss."""
        if self.is_advancing or not self.is_open:
            return
        if self.unread is not None and self.unread.is_stream_consumed:
            self.answered(parsed_body(self.unread))
            return
        if not self.answer.is_complete:
            self.operation.fields.update(status="cancelled", error_type=reason)
        self.end()

    def __del__(self) -> None:
        self.closed(DROPPED)

    # The end

    def end(self) -> None:
        """Record the operation with all that is known by now. Later calls change nothing."""
        if not self.is_open:
            return
        self.is_open = False
        try:
            answer, active = self.answer, self.operation
            active.fields.update(answer.fields(active.fields.get("provider")))
            active.attributes.update(answer.attributes())
            if self.from_cache:
                active.fields.update(_NOTHING_USED)
                active.attributes["cache_hit"] = True
            if answer.failure is not None and "status" not in active.fields:
                active.fields.update(status="error", error_type=answer.failure)
        except Exception:
            guard.swallow("recording a call to a model")
        self.operation.__exit__(None, None, None)

    def add(self, known: Mapping[str, Any]) -> None:
        """Fill fields, and put what is no field among the attributes, without replacing what was said before."""
        for name, value in known.items():
            target = self.operation.fields if name in ("attempt", "http_status") else self.operation.attributes
            target.setdefault(name, value)


def error_fields(error: BaseException) -> dict[str, Any]:
    """What an SDK's exception knows beyond its type: attempts, the provider's code for it and its request id."""
    found: dict[str, Any] = {}
    attempts = attempts_of(_said(_said(error, "response") or error, "request"))
    if attempts is not None:
        found["attempt"] = attempts
    body = fields_of(_said(error, "body"))
    body = fields_of(body.get("error")) or body
    codes = (_said(error, "code"), body.get("code"), _said(error, "type"), body.get("type"))
    code = next((code for code in codes if isinstance(code, str) and _CODE.fullmatch(code)), None)
    if code is not None:
        found["error.code"] = code
    identity = _said(error, "request_id")
    if isinstance(identity, str) and identity:
        found["request_id"] = identity[:128]
    return found


def _said(error: Any, name: str) -> Any:
    try:
        return getattr(error, name, None)
    except Exception:
        return None  # httpx refuses to name a request that it does not know


def parsed_body(response: Any) -> Any:
    """The JSON of a response; None of one that was not read as a whole, is none, or is very large."""
    try:
        content: bytes = response.content
        return orjson.loads(content) if len(content) <= MAX_RAW_BYTES else None
    except Exception:
        return None


def attempts_of(request: Any) -> int | None:
    """How many requests were sent for a call up to this one; None where the SDK does not say."""
    headers: Any = getattr(request, "headers", None)
    text: Any = headers.get(RETRY_HEADER) if headers is not None else None
    return int(text) + 1 if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 6 else None


def provider_at(host: str | None, client: object, own: Mapping[str, str], by_client: Mapping[str, str]) -> str | None:
    """Who bills: as the user says of a host of their own, else the owner of the host, else by the kind of client.

    A client class is the vendor's platform (`AzureOpenAI`). An unknown host has no known provider: a model of that
    name is then priced at its maker's list price.
    """
    if host is not None and host in own:
        return own[host]
    found = provider_of(None, host)
    if found is None:
        for kind in type(client).__mro__:
            if kind.__name__ in by_client:
                return by_client[kind.__name__]
    return found


class Events:
    """The iterator of a stream, watched: in the place of the SDK's own inside the object the program holds."""

    __slots__ = ("_call", "_hide", "_next")

    def __init__(self, inner: Any, call: ModelCall, hide: Callable[[Any], bool] | None = None) -> None:
        self._next: Callable[[], Any] = inner.__next__
        self._call = call
        self._hide = hide
        """Which events are not for the program: those that only came because we asked for them."""

    def __iter__(self) -> Events:
        return self

    def __next__(self) -> Any:
        call = self._call
        while True:
            call.is_advancing = True
            try:
                event = self._next()
            except StopIteration:
                call.ran_out()
                raise
            except BaseException as error:
                call.failed(error)
                raise
            call.is_advancing = False
            if call.is_open:
                call.saw(event)
            if self._hide is None or not self._hide(event):
                return event


class AsyncEvents:
    """`Events` of an asynchronous stream."""

    __slots__ = ("_call", "_hide", "_next")

    def __init__(self, inner: Any, call: ModelCall, hide: Callable[[Any], bool] | None = None) -> None:
        self._next: Callable[[], Any] = inner.__anext__
        self._call = call
        self._hide = hide

    def __aiter__(self) -> AsyncEvents:
        return self

    async def __anext__(self) -> Any:
        call = self._call
        while True:
            call.is_advancing = True
            try:
                event = await self._next()
            except StopAsyncIteration:
                call.ran_out()
                raise
            except BaseException as error:
                call.failed(error)
                raise
            call.is_advancing = False
            if call.is_open:
                call.saw(event)
            if self._hide is None or not self._hide(event):
                return event


def tell_when_closed(response: Any, call: ModelCall) -> None:
    """Let the call know when the program closes the HTTP response, by whichever of the SDK's ways.

    The close of the response's byte stream is wrapped on the object itself, and holds neither that nor the call: a
    stream that the program drops is freed as if we were not there.
    """
    stream: Any = getattr(response, "stream", None)
    known = weakref.ref(call)
    for name in ("close", "aclose"):
        try:
            close: Callable[[Any], Any] | None = getattr(stream.__class__, name, None)
            if close is not None and name not in vars(stream):
                wrapped = _telling_aclose if name == "aclose" else _telling_close
                setattr(stream, name, wrapped(close, weakref.ref(stream), known))
        except (AttributeError, TypeError):
            pass  # a stream without attributes: then the end is noticed when it is freed


def _telling_close(
    close: Callable[[Any], Any], stream: weakref.ref[Any], known: weakref.ref[ModelCall]
) -> Callable[[], None]:
    def close_and_tell() -> None:
        try:
            close(stream())
        finally:
            call = known()
            if call is not None:
                call.closed()

    return close_and_tell


def _telling_aclose(
    aclose: Callable[[Any], Any], stream: weakref.ref[Any], known: weakref.ref[ModelCall]
) -> Callable[[], Any]:
    async def aclose_and_tell() -> None:
        try:
            await aclose(stream())
        finally:
            call = known()
            if call is not None:
                call.closed()

    return aclose_and_tell
