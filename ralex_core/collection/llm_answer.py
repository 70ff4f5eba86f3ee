"""What one answer of a provider says of itself: gathered from the whole of it, or from its events while it streams.

Pure, like `llm_usage`: events are parsed JSON objects (a gateway's) or the objects an SDK made of them. `add` is on
the hot path of streams; it looks at what is there and keeps the last usage, arithmetic comes once, at the end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from ralex_core.collection.llm_usage import (
    BILLED_BY,
    NO_USAGE,
    Usage,
    anthropic_usage,
    count_of,
    fields_of,
    openai_usage,
    stated_cost,
)

MAX_TEXT = 256
"""Characters kept of a name that a provider sends."""
FAST = "fast"
"""Anthropic's `speed` that has a price of its own: the service tier of that name in the price book."""
MAX_FINISH_REASONS = 8
"""Finish reasons kept: one per choice, and who asks for more choices wants no list of them."""

_NOTHING: Mapping[str, Any] = {}


class Answer(ABC):
    """An answer that has not said anything yet. Subclasses know one wire format each."""

    __slots__ = (
        "failure",
        "finish_reasons",
        "is_complete",
        "model",
        "response_id",
        "service_tier",
        "upstream",
        "usage",
    )

    flavour: ClassVar[str] = ""

    def __init__(self) -> None:
        self.model: str | None = None
        """That answered, as the provider spells it."""
        self.response_id: str | None = None
        """The provider's id of the answer: its generation id."""
        self.service_tier: str | None = None
        self.upstream: str | None = None
        """Who computed it, where a router (OpenRouter) says so."""
        self.usage: Any = None
        """The provider's usage object as it came; None while it has said nothing."""
        self.finish_reasons: list[str] = []
        self.failure: str | None = None
        """The code of an error that came inside a successful answer."""
        self.is_complete = False
        """Whether a stream has said that this was all of it; afterwards only its usage may follow."""

    @abstractmethod
    def whole(self, answer: Any) -> None:
        """Read an answer that came in one piece."""

    @abstractmethod
    def add(self, event: Any) -> bool:
        """Read the next event of a stream; whether it carries a part of the answer itself (text, thought, a call)."""

    def tokens(self, provider: str | None) -> Usage:
        """What was consumed; nothing of it is known when the answer ended before it said so."""
        return NO_USAGE if self.usage is None else openai_usage(self.usage, provider)

    def fields(self, provider: str | None) -> dict[str, Any]:
        """All that is known, as fields of `Operation`; what is not is left out.

        Of a stream that did not get to its end, no output and no cost: what was counted on the way is no total.
        """
        found: dict[str, Any] = {
            "model": self.model,
            "provider_request_id": self.response_id,
            "service_tier": self.service_tier,
        }
        if self.usage is not None:
            tokens = self.tokens(provider)
            if self.is_complete:
                found["billed_usd" if provider in BILLED_BY else "reported_usd"] = stated_cost(self.usage)
            else:
                tokens = tokens._replace(output_tokens=None, reasoning_tokens=None)
            found.update(zip(Usage._fields, tokens, strict=True))
        return {name: value for name, value in found.items() if value is not None}

    def attributes(self) -> dict[str, Any]:
        """What has no field of its own in `Operation`."""
        found: dict[str, Any] = {}
        if self.finish_reasons:
            found["gen_ai.response.finish_reasons"] = self.finish_reasons
        if self.upstream:
            found["upstream_provider"] = self.upstream
        if self.usage is not None:
            usage = fields_of(self.usage)
            if usage.get("is_byok") is True:
                found["is_byok"] = True
            searches = count_of(fields_of(usage.get("server_tool_use")).get("web_search_requests"))
            if searches:
                found["web_searches"] = searches
            audio = sum(
                count_of(fields_of(usage.get(details)).get("audio_tokens")) or 0
                for details in ("prompt_tokens_details", "completion_tokens_details")
            )
            if audio:
                found["audio_tokens"] = audio
        return found

    def _finished(self, reason: Any) -> None:
        self.is_complete = True
        if isinstance(reason, str) and len(self.finish_reasons) < MAX_FINISH_REASONS:
            self.finish_reasons.append(reason[:64])

    def _failed(self, error: Any) -> None:
        """Keep what kind of error it is; its message may quote the prompt."""
        fields = fields_of(error)
        code = fields.get("code") or fields.get("type")
        self.failure = str(code)[:64] if isinstance(code, str | int) and code else "error"


class ChatAnswer(Answer):
    """OpenAI's chat completions, completions and embeddings, and everybody's who speaks like them."""

    __slots__ = ()

    flavour = "chat"

    def whole(self, answer: Any) -> None:
        fields = fields_of(answer)
        self._named(fields)
        self.usage = fields.get("usage")
        choices: Any = fields.get("choices")
        if isinstance(choices, list):  # LiteLLM's and a router's error answers have none
            for choice in cast("list[Any]", choices):
                self._choice(fields_of(choice))
        if fields.get("error"):
            self._failed(fields["error"])
        self.is_complete = True

    def add(self, event: Any) -> bool:
        chunk = _own(event)
        if self.response_id is None:
            self._named(fields_of(event))
        usage = chunk.get("usage")
        if usage is not None:
            # Usually the last chunk, with no choices; some servers put it on the one that finishes, or on every one.
            self.usage = usage
            if self.service_tier is None:
                self.service_tier = _text(chunk.get("service_tier"))
        choices = chunk.get("choices")
        if not choices:
            if usage is not None:
                self.is_complete = True
            if error := chunk.get("error"):
                self._failed(error)
            return False
        choice = fields_of(choices[0] if isinstance(choices, list) else None)
        if choice.get("finish_reason") is not None:
            self._choice(choice)
        delta = choice.get("delta")
        return _says_something(delta) if delta is not None else bool(choice.get("text"))

    def _named(self, fields: Mapping[str, Any]) -> None:
        self.response_id = _text(fields.get("id"))
        self.model = _text(fields.get("model")) or self.model
        self.service_tier = _text(fields.get("service_tier"))
        self.upstream = _text(fields.get("provider"))

    def _choice(self, choice: Mapping[str, Any]) -> None:
        reason = choice.get("finish_reason")
        self._finished(reason)
        if reason == "error":
            self._failed(choice.get("error"))


class ResponsesAnswer(Answer):
    """OpenAI's responses."""

    __slots__ = ()

    flavour = "responses"

    def whole(self, answer: Any) -> None:
        fields = fields_of(answer)
        self.response_id = _text(fields.get("id"))
        self.model = _text(fields.get("model")) or self.model
        self.service_tier = _text(fields.get("service_tier"))
        self.usage = fields.get("usage")
        status = fields.get("status")
        if status == "incomplete":
            status = fields_of(fields.get("incomplete_details")).get("reason") or status
        self._finished(status)
        if status == "failed":
            self._failed(fields.get("error"))

    def add(self, event: Any) -> bool:
        fields = _own(event)
        kind: Any = fields.get("type")
        if not isinstance(kind, str):
            return False
        if kind.endswith(".delta"):
            return True
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            self.whole(fields.get("response"))
        elif kind == "error":
            self._failed(event)
        elif self.response_id is None and (response := fields.get("response")) is not None:
            begun = fields_of(response)
            self.response_id, self.model = _text(begun.get("id")), _text(begun.get("model"))
        return False


class MessagesAnswer(Answer):
    """Anthropic's messages."""

    __slots__ = ("_said",)

    flavour = "messages"

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, Any] = {}

    def whole(self, answer: Any) -> None:
        self._begun(fields_of(answer))
        self._finished(fields_of(answer).get("stop_reason"))

    def add(self, event: Any) -> bool:
        fields = _own(event)
        kind = fields.get("type")
        if kind == "content_block_delta":
            return True
        if kind == "message_start":
            self._begun(fields_of(fields.get("message")))
            # Only a beginning: what has been written so far is no total.
            self._said.pop("output_tokens", None)
            self._said.pop("output_tokens_details", None)
        elif kind == "message_delta":
            self._use(fields.get("usage"))
            reason = fields_of(fields.get("delta")).get("stop_reason")
            if reason is not None:
                self._finished(reason)
        elif kind == "message_stop":
            self.is_complete = True
        elif kind == "error":
            self._failed(fields.get("error"))
        return False

    def tokens(self, provider: str | None) -> Usage:
        return NO_USAGE if self.usage is None else anthropic_usage(self.usage)

    def _begun(self, message: Mapping[str, Any]) -> None:
        self.response_id = _text(message.get("id"))
        self.model = _text(message.get("model")) or self.model
        self._use(message.get("usage"))

    def _use(self, usage: Any) -> None:
        """Counts are cumulative: the last one said of each holds, and none are summed."""
        if usage is None:
            return
        self._said.update((name, value) for name, value in fields_of(usage).items() if value is not None)
        self.usage = self._said
        fast = self._said.get("speed") == FAST  # beside a tier of "standard", and dearer
        self.service_tier = FAST if fast else _text(self._said.get("service_tier"))


def _own(value: Any) -> Mapping[str, Any]:
    """`fields_of` without what an SDK does not know: the quick way to the fields every chunk has."""
    return value if isinstance(value, dict) else getattr(value, "__dict__", _NOTHING)  # pyright: ignore[reportUnknownVariableType]


def _says_something(delta: Any) -> bool:
    """Whether a delta holds more than the role it opens with: text, a thought, a call of a tool, a refusal."""
    return any(value for name, value in fields_of(delta).items() if name != "role")


def _text(value: Any) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) and value else None
