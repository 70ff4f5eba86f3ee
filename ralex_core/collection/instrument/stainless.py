"""The one place all calls of an SDK made by Stainless go through: OpenAI's and Anthropic's Python SDKs are built alike.

`request` of their base clients is what every method of every resource ends in: plain, parsed, raw and streaming,
also of the clients for Azure, Bedrock and Vertex. Two attributes are replaced per client class, none per method.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ralex_core.collection.guard import guard
from ralex_core.collection.instrument.model_call import (
    AsyncEvents,
    Events,
    ModelCall,
    attempts_of,
    enclosing_call,
    parsed_body,
    provider_at,
    tell_when_closed,
)
from ralex_core.collection.instrument.switch import Switch
from ralex_core.collection.llm_answer import Answer
from ralex_core.collection.llm_usage import fields_of

_MARK = "_ralex_monitor_call"
_Hide = Callable[[Any], bool] | None
"""Which events of a stream are not for the program."""


class Library(NamedTuple):
    """What tells one of these SDKs from the other."""

    name: str
    calls: Mapping[str, tuple[str, Callable[[], Answer]]]
    """Path of a request → the operation's name, and what reads the answer. Other paths call no model."""
    platforms: Mapping[str, str]
    """A class of the client's → provider, for hosts that do not say it."""


class Watch(NamedTuple):
    """One library's instrument, switched on."""

    library: Library
    switch: Switch
    providers: Mapping[str, str]
    """The user's own hosts → who bills there."""
    ask_for_usage: bool

    def begin(self, client: Any, options: Any, stream: bool) -> ModelCall | None:
        """A call to a model, begun; None when it is none, or part of one that is recorded already."""
        try:
            known = self.library.calls.get(options.url.partition("?")[0])
            if known is None or options.method.lower() != "post" or enclosing_call() is not None:
                return None
            name, make_answer = known
            host: Any = getattr(client.base_url, "host", None)
            body = fields_of(options.json_data)
            attributes: dict[str, Any] = {"instrument": self.library.name, "gen_ai.request.stream": stream}
            if host:
                attributes["server.address"] = host
            return ModelCall(
                name,
                make_answer(),
                provider=provider_at(host, client, self.providers, self.library.platforms),
                requested_model=body.get("model"),
                attributes=attributes,
            )
        except Exception:
            guard.swallow(f"instrument {self.library.name}")
            return None

    def took(self, call: ModelCall, answer: Any, stream: bool, hide: _Hide) -> None:
        """What the SDK is about to return: the answer, a stream of it, or the response as it came."""
        try:
            response: Any = getattr(answer, "http_response", None)
            if response is None:
                if stream:
                    self._stream(call, answer, hide)
                else:
                    call.answered(answer)
            elif not stream and response.is_closed:
                call.answered(parsed_body(response))
            else:
                call.detach()
                setattr(answer, _MARK, (call, hide))
                self._watch_parse(answer.__class__)
                if stream:
                    tell_when_closed(response, call)
                else:
                    call.unread = response
        except Exception:
            guard.swallow(f"instrument {self.library.name}")
            call.end()

    def _stream(self, call: ModelCall, stream: Any, hide: _Hide) -> None:
        call.detach()
        inner = stream._iterator
        stream._iterator = (AsyncEvents if hasattr(inner, "__anext__") else Events)(inner, call, hide)
        tell_when_closed(stream.response, call)

    def _watch_parse(self, kind: Any) -> None:
        """From now on look at what `parse` makes of a response of this class that was asked for as it came."""

        def made_from(raw: Any, parsed: Any) -> Any:
            try:
                left: tuple[ModelCall, _Hide] | None = raw.__dict__.pop(_MARK, None)
                if left is None:
                    pass
                elif hasattr(parsed, "_iterator"):
                    self._stream(left[0], parsed, left[1])
                else:
                    left[0].answered(parsed)
            except Exception:
                guard.swallow(f"instrument {self.library.name}")
            return parsed

        def make(parse: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(parse)
            def parse_and_tell(self: Any, *args: Any, **kwargs: Any) -> Any:
                return made_from(self, parse(self, *args, **kwargs))

            @functools.wraps(parse)
            async def await_and_tell(self: Any, *args: Any, **kwargs: Any) -> Any:
                return made_from(self, await parse(self, *args, **kwargs))

            replacement = await_and_tell if _is_coroutine_function(parse) else parse_and_tell
            setattr(replacement, _MARK, True)
            return replacement

        if self.switch.on and not hasattr(kind.__dict__.get("parse"), _MARK):
            self.switch.replace(kind, "parse", make)


def base_of(client: type) -> type:
    """The class a client has its `request` from."""
    return next(kind for kind in client.__mro__ if "request" in vars(kind))


def watch(switch: Switch, watching: Watch, sync_client: type, async_client: type) -> None:
    """Replace what has to be in the SDK's two base clients."""
    switch.replace(sync_client, "request", functools.partial(_watched_request, watching))
    switch.replace(async_client, "request", functools.partial(_watched_async_request, watching))
    for client in (sync_client, async_client):
        if hasattr(client, "_process_response"):
            switch.replace(client, "_process_response", functools.partial(_watched_process, watching))


def _watched_request(watching: Watch, request: Callable[..., Any]) -> Callable[..., Any]:
    switch = watching.switch

    @functools.wraps(request)
    def send(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not switch.on:
            return request(self, *args, **kwargs)
        options: Any = kwargs["options"] if "options" in kwargs else args[1] if len(args) > 1 else None
        stream = kwargs.get("stream") is True
        call = watching.begin(self, options, stream)
        if call is None:
            return request(self, *args, **kwargs)
        hide = _ask_for_usage(options) if watching.ask_for_usage and stream else None
        try:
            answer = request(self, *args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        watching.took(call, answer, stream, hide)
        return answer

    return send


def _watched_async_request(watching: Watch, request: Callable[..., Any]) -> Callable[..., Any]:
    switch = watching.switch

    @functools.wraps(request)
    async def send(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not switch.on:
            return await request(self, *args, **kwargs)
        options: Any = kwargs["options"] if "options" in kwargs else args[1] if len(args) > 1 else None
        stream = kwargs.get("stream") is True
        call = watching.begin(self, options, stream)
        if call is None:
            return await request(self, *args, **kwargs)
        hide = _ask_for_usage(options) if watching.ask_for_usage and stream else None
        try:
            answer = await request(self, *args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        watching.took(call, answer, stream, hide)
        return answer

    return send


def _watched_process(watching: Watch, process: Callable[..., Any]) -> Callable[..., Any]:
    """Where the response to the last attempt passes by, before it is parsed and forgotten."""
    switch = watching.switch

    @functools.wraps(process)
    def note_and_process(self: Any, *args: Any, **kwargs: Any) -> Any:
        if switch.on:
            _note_response(kwargs.get("response"))
        return process(self, *args, **kwargs)

    return note_and_process


def _note_response(response: Any) -> None:
    """Status, attempts and the provider's id of the request, for the call that is being made.

    Within a call of LiteLLM's, or one a program records by itself, the attempts of its requests add up.
    """
    try:
        around = enclosing_call()
        if around is None or response is None:
            return
        fields = around.fields
        fields.setdefault("http_status", response.status_code)
        attempts = attempts_of(response.request)
        if attempts is not None:
            fields["attempt"] = fields.get("attempt", 0) + attempts
        headers = response.headers
        identity = headers.get("request-id") or headers.get("x-request-id")
        if identity:
            around.attributes.setdefault("request_id", identity[:128])
    except Exception:
        guard.swallow("reading a response")


def _ask_for_usage(options: Any) -> _Hide:
    """Ask for the usage of a chat stream whose caller did not say; returns which events come only because of that."""
    body = fields_of(options.json_data)
    if not options.url.endswith("/completions") or body.get("stream_options") is not None:
        return None
    if fields_of(options.headers).get("X-Stainless-Raw-Response") == "stream":
        return None  # read byte by byte, which cannot be kept from seeing it
    options.json_data = {**body, "stream_options": {"include_usage": True}}
    return _is_only_usage


def _is_only_usage(chunk: Any) -> bool:
    return not getattr(chunk, "choices", True) and getattr(chunk, "usage", None) is not None


def _is_coroutine_function(function: Any) -> bool:
    import inspect

    return inspect.iscoroutinefunction(function)
