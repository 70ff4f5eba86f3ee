"""LiteLLM: completions, text completions, responses and embeddings, streaming or not, sync and async.

One call of LiteLLM's is one operation: the requests that the SDKs inside it make are part of it (`enclosing_call`).
"""

from __future__ import annotations

import functools
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ralex_core.collection.active import current
from ralex_core.collection.guard import guard
from ralex_core.collection.instrument.model_call import ModelCall, enclosing_call, error_fields
from ralex_core.collection.instrument.switch import Switch
from ralex_core.collection.llm_answer import Answer, ChatAnswer, ResponsesAnswer
from ralex_core.collection.llm_usage import NO_USAGE, Usage, fields_of, usd_of
from ralex_core.collection.semconv import provider_of

_MARK = "_ralex_monitor_call"
_CAUSES = 4
"""How deep to look into the exceptions an exception was made of."""
_CACHED = "cached_response"
"""What LiteLLM calls the provider of a stream that it plays back from its cache."""


MADE_UP_ID = re.compile(r"chatcmpl-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What LiteLLM calls the answer of a provider whose own id it did not keep."""

_WRAPPED_ID = "resp_" + b64encode(b"litellm:cus").decode()[:12]


class _ChatAnswer(ChatAnswer):
    """What LiteLLM makes of an answer, without what it made up."""

    __slots__ = ()

    def tokens(self, provider: str | None) -> Usage:
        """It writes 0 where the provider said nothing; no call to a model reads nothing."""
        found = super().tokens(provider)
        return found if found.input_tokens or found.output_tokens else NO_USAGE

    def fields(self, provider: str | None) -> dict[str, Any]:
        found = super().fields(provider)
        if MADE_UP_ID.fullmatch(found.get("provider_request_id", "")):
            del found["provider_request_id"]
        return found


class _EmbeddingsAnswer(_ChatAnswer):
    """Embeddings, of which LiteLLM says that there was no output; nobody asked for one."""

    __slots__ = ()

    def tokens(self, provider: str | None) -> Usage:
        return super().tokens(provider)._replace(output_tokens=None)


class _ResponsesAnswer(ResponsesAnswer):
    """A response, whose id LiteLLM wraps in one of its own."""

    __slots__ = ()

    def fields(self, provider: str | None) -> dict[str, Any]:
        found = super().fields(provider)
        identity: str = found.get("provider_request_id", "")
        if identity.startswith(_WRAPPED_ID):
            try:
                found["provider_request_id"] = b64decode(identity[5:]).decode().rpartition("response_id:")[2]
            except ValueError:
                del found["provider_request_id"]
        return found


CALLS: Mapping[str, tuple[str, Callable[[], Answer]]] = {
    "completion": ("chat", _ChatAnswer),
    "acompletion": ("chat", _ChatAnswer),
    "text_completion": ("text_completion", _ChatAnswer),
    "atext_completion": ("text_completion", _ChatAnswer),
    "embedding": ("embeddings", _EmbeddingsAnswer),
    "aembedding": ("embeddings", _EmbeddingsAnswer),
    "responses": ("responses", _ResponsesAnswer),
    "aresponses": ("responses", _ResponsesAnswer),
}
"""Function of LiteLLM's → the operation's name, and what reads the answer."""


def install(switch: Switch, providers: Mapping[str, str]) -> None:
    """Record every call to a model through LiteLLM's functions. Raises ImportError without it."""
    import litellm

    watching = _Watch(switch, providers)
    for function, (name, make_answer) in CALLS.items():
        if hasattr(litellm, function):
            make = _watched_async if function.startswith("a") else _watched
            switch.replace(litellm, function, functools.partial(make, watching, name, make_answer))


class _Watch(NamedTuple):
    """LiteLLM's instrument, switched on."""

    switch: Switch
    providers: Mapping[str, str]

    def begin(
        self, name: str, make_answer: Callable[[], Answer], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ModelCall | None:
        """A call to a model, begun; None when it is made up (`mock_response`), or part of a call already recorded."""
        try:
            if not self.switch.on or kwargs.get("mock_response") is not None or enclosing_call() is not None:
                return None
            model = kwargs.get("model", args[0] if args and name != "responses" else None)
            if model is None and len(args) > 1 and name == "responses":
                model = args[1]
            attributes = {"instrument": "litellm", "gen_ai.request.stream": kwargs.get("stream") is True}
            host = _host(kwargs.get("api_base") or kwargs.get("base_url"))
            if host is not None:
                attributes["server.address"] = host
            return ModelCall(name, make_answer(), provider=None, requested_model=model, attributes=attributes)
        except Exception:
            guard.swallow("instrument litellm")
            return None

    def failed(self, call: ModelCall, error: BaseException) -> None:
        """LiteLLM's exception says who failed; the one it was made of, why and how often it was tried."""
        try:
            self._provided(call, getattr(error, "llm_provider", None), None)
            cause: BaseException | None = error
            for _ in range(_CAUSES):
                cause = cause.__cause__ or cause.__context__
                if cause is None:
                    break
                call.add(error_fields(cause))
        except Exception:
            guard.swallow("instrument litellm")
        call.failed(error)

    def took(self, call: ModelCall, result: Any) -> None:
        """What LiteLLM is about to return: an answer, or a stream of one."""
        try:
            hidden = fields_of(getattr(result, "_hidden_params", None))
            named: Any = getattr(result, "custom_llm_provider", None) or hidden.get("custom_llm_provider")
            if named is None:
                named = _provider_of_model(call.operation.fields.get("requested_model"))
            if hidden.get("cache_hit") is True or named == _CACHED:
                call.from_cache = True
            else:
                self._provided(call, named, hidden.get("api_base"))
            kind = result.__class__
            if hasattr(kind, "__next__") or hasattr(kind, "__anext__"):
                call.detach()
                setattr(result, _MARK, call)
                self._watch_stream(kind)
                return
            cost = usd_of(hidden.get("response_cost"))
            if cost:  # it writes 0 for what it has no price of
                call.operation.fields["reported_usd"] = cost
            call.answered(result)
        except Exception:
            guard.swallow("instrument litellm")
            call.end()

    def _provided(self, call: ModelCall, named: Any, api_base: Any) -> None:
        """Who bills. LiteLLM calls every server that speaks OpenAI's language `openai`; a host of another's is not."""
        host = _host(api_base) or call.operation.attributes.get("server.address")
        provider = self.providers.get(host) if host else None
        if provider is None:
            provider = provider_of(named if isinstance(named, str) else None, host)
            if provider == "openai" and host is not None and provider_of(None, host) != "openai":
                provider = None
        if provider is not None:
            call.operation.fields["provider"] = provider
        if host is not None:
            call.operation.attributes["server.address"] = host

    def _watch_stream(self, kind: Any) -> None:
        """From now on look at what streams of this class give; one without our mark is none of ours."""
        for name, make in (("__next__", _next), ("__anext__", _anext), ("close", _close), ("aclose", _aclose)):
            if hasattr(kind, name) and not hasattr(kind.__dict__.get(name), _MARK):
                self.switch.replace(kind, name, functools.partial(_marked, make))


def _watched(
    watching: _Watch, name: str, make_answer: Callable[[], Answer], function: Callable[..., Any]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def call_model(*args: Any, **kwargs: Any) -> Any:
        call = watching.begin(name, make_answer, args, kwargs)
        if call is None:
            return function(*args, **kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            watching.failed(call, error)
            raise
        watching.took(call, result)
        return result

    return call_model


def _watched_async(
    watching: _Watch, name: str, make_answer: Callable[[], Answer], function: Callable[..., Any]
) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call_model(*args: Any, **kwargs: Any) -> Any:
        call = watching.begin(name, make_answer, args, kwargs)
        if call is None:
            return await function(*args, **kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            watching.failed(call, error)
            raise
        watching.took(call, result)
        return result

    return call_model


def _host(api_base: Any) -> str | None:
    try:
        return urlsplit(api_base).hostname if isinstance(api_base, str) else None
    except ValueError:
        return None


def _provider_of_model(model: Any) -> Any:
    """Where LiteLLM sends calls to this model; None when it cannot tell."""
    try:
        return sys.modules["litellm"].get_llm_provider(model=model)[1]
    except Exception:
        return None  # a model it does not know: the call was made with other arguments that say it


# Streams: methods of their classes, which look at the call their object was marked with


def _marked(make: Callable[[Any], Any], method: Callable[..., Any]) -> Callable[..., Any]:
    replacement = functools.wraps(method)(make(method))
    setattr(replacement, _MARK, True)
    return replacement


def _call_of(stream: Any) -> ModelCall | None:
    """The call that is still open for this stream, unless it is being advanced already, further out."""
    call: ModelCall | None = getattr(stream, _MARK, None)
    return None if call is None or call.is_advancing or not call.is_open else call


def _next(advance: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def advance_and_tell(self: Any) -> Any:
        call = _call_of(self)
        if call is None:
            return advance(self)
        call.is_advancing = True
        # The request itself may be made only now.
        token = current.set(call.operation)
        try:
            event = advance(self)
        except StopIteration:
            _ran_out(call, self)
            raise
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            current.reset(token)
        call.is_advancing = False
        call.saw(event)
        return event

    return advance_and_tell


def _anext(advance: Callable[[Any], Any]) -> Callable[[Any], Any]:
    async def advance_and_tell(self: Any) -> Any:
        call = _call_of(self)
        if call is None:
            return await advance(self)
        call.is_advancing = True
        token = current.set(call.operation)
        try:
            event = await advance(self)
        except StopAsyncIteration:
            _ran_out(call, self)
            raise
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            current.reset(token)
        call.is_advancing = False
        call.saw(event)
        return event

    return advance_and_tell


def _close(close: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def close_and_tell(self: Any) -> Any:
        call = _call_of(self)
        try:
            return close(self)
        finally:
            if call is not None:
                _read_usage(call, self)
                call.closed()

    return close_and_tell


def _aclose(aclose: Callable[[Any], Any]) -> Callable[[Any], Any]:
    async def aclose_and_tell(self: Any) -> Any:
        call = _call_of(self)
        try:
            return await aclose(self)
        finally:
            if call is not None:
                _read_usage(call, self)
                call.closed()

    return aclose_and_tell


def _ran_out(call: ModelCall, stream: Any) -> None:
    try:
        _read_usage(call, stream)
        inner = _wrapper(stream)
        if inner is not None and inner.received_finish_reason is None and inner.intermittent_finish_reason is None:
            call.answer.is_complete = False  # LiteLLM makes up a last chunk for a stream that was cut
    except Exception:
        guard.swallow("instrument litellm")
    call.ran_out()


def _read_usage(call: ModelCall, stream: Any) -> None:
    """The usage as the provider sent it. What LiteLLM gives out at the end it may have counted by itself."""
    try:
        inner = _wrapper(stream)
        if inner is not None:
            said = (fields_of(chunk).get("usage") for chunk in reversed(inner.chunks))
            call.answer.usage = next((usage for usage in said if usage is not None), None)
            # The chunks carry the name that was asked for.
            call.answer.model = getattr(inner, "_provider_response_model", None) or call.answer.model
    except Exception:
        guard.swallow("instrument litellm")


def _wrapper(stream: Any) -> Any:
    """LiteLLM's own chat stream: this one, or the one inside it; None for streams of another make."""
    for candidate in (stream, getattr(stream, "completion_stream", None)):
        if hasattr(candidate, "chunks") and hasattr(candidate, "received_finish_reason"):
            return candidate
    return None
