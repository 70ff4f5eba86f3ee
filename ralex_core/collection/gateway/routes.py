"""What a path of the gateway means: the upstream, what is asked of it, and what the path says of the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ralex_core.collection.llm_answer import Answer, ChatAnswer, MessagesAnswer, ResponsesAnswer
from ralex_core.collection.semconv import provider_of
from ralex_core.config_gateway import TAGS, Flavour, Upstream

PREFIX = "/gateway/"
MAX_TAG = 200
"""Characters of a value in a path."""
_KEPT_ROUTES = 1000
"""Paths whose meaning is remembered. Clients use a handful; one that makes them up costs time, not memory."""


class Call(NamedTuple):
    """What is asked of an upstream."""

    name: str
    """Of the operation."""
    kind: str
    """`llm` is billed; `api` is not."""
    make_answer: Callable[[], Answer] | None
    """What reads the answer; None: it has no usage."""
    flavour: Flavour | None = None
    """In whose words errors are expected; None: the upstream's."""
    limit_fields: tuple[str, ...] = ()
    """Where a request says how long the answer may be."""


CALLS: Mapping[str, Call] = {
    "chat/completions": Call("chat", "llm", ChatAnswer, "openai", ("max_completion_tokens", "max_tokens")),
    "completions": Call("text_completion", "llm", ChatAnswer, "openai", ("max_tokens",)),
    "responses": Call("responses", "llm", ResponsesAnswer, "openai", ("max_output_tokens",)),
    "responses/compact": Call("responses.compact", "llm", ResponsesAnswer, "openai", ("max_output_tokens",)),
    "embeddings": Call("embeddings", "llm", ChatAnswer, "openai"),
    "messages": Call("messages", "llm", MessagesAnswer, "anthropic", ("max_tokens",)),
    "messages/count_tokens": Call("count_tokens", "api", None, "anthropic"),
}
"""Path behind `/v1/` → what a POST to it is."""

UNBILLED = frozenset(
    {
        *("files", "uploads", "moderations", "batches", "vector_stores", "conversations", "containers", "evals"),
        *("models", "key", "keys", "credits", "generation", "skills"),
    }
)
"""First parts of paths that call no model when they are asked. A batch is billed by what becomes of it later."""
_OF_ONE = frozenset({"responses", "chat", "messages"})
"""A POST below one of these that is not in `CALLS` speaks of a call made before (cancel it, say)."""

_FIELD_OF_TAG = {"user": "user_id", "session": "session_id"}


class Target(NamedTuple):
    """An upstream, ready to be called."""

    name: str
    host: str
    port: int
    secure: bool
    base: bytes
    """Path of its base URL, without a slash at the end."""
    authority: bytes
    """What goes into `Host`."""
    provider: str | None
    flavour: Flavour
    ask_usage: bool
    api_key: str | None


class Route(NamedTuple):
    """What a path means. `tags` are fields of `Operation` it gives; `call` is what a POST to it is."""

    upstream: str
    tail: str
    call: Call
    tags: Mapping[str, str]


def target_of(name: str, upstream: Upstream) -> Target:
    parts = urlsplit(upstream.url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    authority = f"[{host}]" if ":" in host else host
    if parts.port is not None and parts.port != (443 if secure else 80):
        authority += f":{parts.port}"
    return Target(
        name=name,
        host=host,
        port=parts.port or (443 if secure else 80),
        secure=secure,
        base=parts.path.rstrip("/").encode("ascii"),
        authority=authority.encode("ascii"),
        provider=upstream.provider or provider_of(None, host),
        flavour=upstream.flavour,
        ask_usage=upstream.ask_usage,
        api_key=upstream.api_key.get_secret_value() if upstream.api_key else None,
    )


class Routes:
    """Reads paths such as `/gateway/project/shop/openai/v1/chat/completions`."""

    def __init__(self, upstreams: Mapping[str, Upstream]) -> None:
        self.targets = {name: target_of(name, upstream) for name, upstream in upstreams.items()}
        self._known: dict[str, Route | str] = {}

    def read(self, raw_path: str) -> Route | str:
        """The route of an undecoded path, or one sentence that says why it has none."""
        found = self._known.get(raw_path)
        if found is None:
            found = self._read(raw_path)
            if len(self._known) >= _KEPT_ROUTES:
                self._known.clear()
            self._known[raw_path] = found
        return found

    def _read(self, raw_path: str) -> Route | str:
        parts = raw_path[len(PREFIX) :].split("/")
        tags: dict[str, str] = {}
        while len(parts) >= 2 and parts[0] in TAGS:
            value = unquote(parts[1]).strip()
            if not value or len(value) > MAX_TAG or not value.isprintable():
                return (
                    f"The path gives no usable {parts[0]}: a text of 1 to {MAX_TAG} characters is expected behind it."
                )
            tags[_FIELD_OF_TAG.get(parts[0], parts[0])] = value
            del parts[:2]
        name = parts[0] if parts else ""  # `/gateway/project/shop` ends before it
        if name not in self.targets:
            known = ", ".join(sorted(self.targets))
            return (
                f"There is no upstream {unquote(name)[:60]!r}. Known are {known}; "
                "others are added with the setting upstreams."
            )
        if len(parts) < 3 or parts[1] != "v1" or not parts[2]:
            return f"Paths of this upstream begin with {PREFIX}{name}/v1/, such as {PREFIX}{name}/v1/models."
        tail = "/".join(parts[2:])
        if any(unquote(part) in (".", "..") or "/" in unquote(part) or "\\" in unquote(part) for part in parts[2:]):
            return "The path has parts that lead elsewhere ('..')."
        return Route(name, tail, _call_of(tail), tags)


def _call_of(tail: str) -> Call:
    tail = "/".join(part for part in unquote(tail).split("/") if part)  # as lenient servers read it
    known = CALLS.get(tail)
    if known is not None:
        return known
    first = tail.partition("/")[0]
    if (first in UNBILLED or first in _OF_ONE) and ":" not in tail:  # `models/gemini-…:generateContent` is a call
        return Call(tail if "/" not in tail else first, "api", None)
    # Images, speech, whatever comes next: it is billed, and what it costs is known only where it says so.
    return Call(".".join(tail.split("/")[:2])[:60], "llm", ChatAnswer)
