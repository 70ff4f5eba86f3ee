"""Headers on their way to an upstream and back: what is passed on, what is not, and what they say of the caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ralex_core.collection.gateway.request import MAX_TEXT

Headers = Iterable[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"),
        *(b"trailer", b"transfer-encoding", b"upgrade"),
    }
)
_NOT_UPSTREAM = _HOP_BY_HOP | {b"host", b"content-length", b"expect", b"cookie", b"traceparent", b"accept-encoding"}
"""Beside hop-by-hop ones: what is written anew, and cookies, which are the monitor's own."""
_NOT_BACK = _HOP_BY_HOP | {b"date", b"set-cookie", b"content-security-policy", b"x-content-type-options", b"server"}
"""The server writes its own date; a provider's cookie has nothing to do in the monitor's origin."""

KEY_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
"""Where a provider's key may stand."""
OWN_PREFIX = b"x-ralex-"

FIELD_OF_HEADER: Mapping[bytes, str] = {
    b"x-ralex-user": "user_id",
    b"x-ralex-session": "session_id",
    b"x-ralex-project": "project",
    b"x-ralex-operation": "operation",
    b"x-ralex-feature": "feature",
    b"x-ralex-workflow": "workflow",
    b"x-ralex-client": "client",
    b"x-ralex-service": "service",
    b"x-litellm-end-user-id": "user_id",
    b"x-litellm-session-id": "session_id",
    b"x-claude-code-session-id": "session_id",
    b"x-session-id": "session_id",
    b"session_id": "session_id",
    b"x-title": "client",
    b"x-openrouter-title": "client",
}
"""Header → field of `Operation`; ours win over those of OpenRouter, LiteLLM, Claude Code and Codex."""

CLIENT_OF_AGENT: tuple[tuple[str, str], ...] = (
    ("claude-cli", "claude-code"),
    ("codex", "codex"),
    ("opencode", "opencode"),
    ("aider", "aider"),
    ("litellm", "litellm"),
    ("openai/", "openai-sdk"),
    ("asyncopenai/", "openai-sdk"),
    ("anthropic/", "anthropic-sdk"),
    ("asyncanthropic/", "anthropic-sdk"),
)
"""Beginning of a `User-Agent`, in lower case → client."""

_UNPACKABLE = ("gzip", "deflate")
"""What the gateway can read on the side. An answer in another encoding could not be accounted for, so none is asked."""


class Passed(NamedTuple):
    """A request's headers, sorted out."""

    upstream: list[tuple[bytes, bytes]]
    """Go on as they came."""
    own: dict[bytes, bytes]
    """Those that mean something here, `x-ralex-…` and a few others, by name."""
    accept_encoding: bytes | None
    encoded: bool
    """Whether the body is compressed."""


_LOOKED_AT = frozenset(
    {
        *FIELD_OF_HEADER,
        *KEY_HEADERS,
        *(b"host", b"origin", b"sec-fetch-site", b"content-length", b"connection", b"traceparent", b"user-agent"),
        *(b"x-stainless-retry-count", b"x-ralex-token", b"x-ralex-upstream"),
    }
)


def sorted_out(headers: Headers) -> Passed:
    """What goes to the upstream and what is for the gateway."""
    upstream: list[tuple[bytes, bytes]] = []
    own: dict[bytes, bytes] = {}
    accepts: bytes | None = None
    encoded = False
    for pair in headers:
        name = pair[0]
        if name in _LOOKED_AT:
            own[name] = pair[1]
        if name in _NOT_UPSTREAM:
            if name == b"accept-encoding":
                accepts = pair[1]
            continue
        if name.startswith(OWN_PREFIX):
            continue
        if name == b"content-encoding":
            encoded = True
        upstream.append(pair)
    named = own.get(b"connection")
    if named is not None and named.lower() not in (b"keep-alive", b"close"):
        gone = {token.strip().lower() for token in named.split(b",")}
        upstream = [pair for pair in upstream if pair[0] not in gone]
    return Passed(upstream, own, None if accepts is None else _encodings(accepts), encoded)


def _encodings(accepts: bytes) -> bytes:
    """Of the encodings a caller accepts, those the gateway can read as well."""
    if accepts in (b"gzip, deflate", b"gzip", b"identity"):
        return accepts
    text = accepts.decode("latin-1").lower()
    offered = [part.strip() for part in text.split(",")]
    kept = [part for part in offered if part.partition(";")[0].strip() in _UNPACKABLE]
    return ", ".join(kept).encode("latin-1") if kept else b"identity"


def request_head(
    method: str,
    authority: bytes,
    target: bytes,
    passed: Passed,
    extra: Headers,
    length: int | None,
) -> bytes | None:
    """The head of a request; None when a header would break out of its line."""
    lines = [method.encode("ascii") + b" " + target + b" HTTP/1.1", b"host: " + authority]
    lines += [name + b": " + value for name, value in passed.upstream]
    lines += [name + b": " + value for name, value in extra]
    if passed.accept_encoding is not None:
        lines.append(b"accept-encoding: " + passed.accept_encoding)
    if length is not None:
        lines.append(b"content-length: %d" % length)
    lines.append(b"\r\n")
    head = b"\r\n".join(lines)
    breaks = len(lines)
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
        return None
    return head


SAFETY: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"x-content-type-options", b"nosniff"),
)
"""What an upstream sends is data: opened in a browser it must not run in the monitor's origin."""


def answer_headers(headers: list[tuple[bytes, bytes]], extra: Headers, *, resized: bool) -> list[tuple[bytes, bytes]]:
    """Headers of an answer as they go back. `resized`: its length is not what the upstream says."""
    back = [pair for pair in headers if pair[0] not in _NOT_BACK]
    if resized or any(name == b"transfer-encoding" for name, _ in headers):
        back = [pair for pair in back if pair[0] != b"content-length"]
    named = next((value for name, value in headers if name == b"connection"), None)
    if named is not None and named.lower() not in (b"keep-alive", b"close"):
        gone = {token.strip().lower() for token in named.split(b",")}
        back = [pair for pair in back if pair[0] not in gone]
    return [*back, *extra, *SAFETY]


def said_of_caller(own: Mapping[bytes, bytes]) -> dict[str, str]:
    """Fields of `Operation` that headers give."""
    found: dict[str, str] = {}
    for header, field in FIELD_OF_HEADER.items():
        value = own.get(header)
        if value is not None and field not in found:
            text = _clean(value)
            if text:
                found[field] = text
    if "client" not in found:
        agent = own.get(b"user-agent")
        if agent is not None:
            client = client_of(agent)
            if client is not None:
                found["client"] = client
    return found


_agents: dict[bytes, str | None] = {}
_KEPT_AGENTS = 1000


def client_of(agent: bytes) -> str | None:
    """The client a `User-Agent` names; its first product where it is none of the known ones."""
    if agent in _agents:
        return _agents[agent]
    lowered = _clean(agent).lower()
    known = (client for begin, client in CLIENT_OF_AGENT if lowered.startswith(begin))
    client = next(known, None) or lowered.partition("/")[0].partition(" ")[0][:60] or None
    if len(_agents) < _KEPT_AGENTS:
        _agents[agent] = client
    return client


def attempt_of(own: Mapping[bytes, bytes]) -> int:
    """Which attempt a request is, by what the SDKs of OpenAI and Anthropic say of it."""
    said = own.get(b"x-stainless-retry-count", b"")
    return int(said) + 1 if said.isdigit() and len(said) < 5 else 1


def _clean(value: bytes) -> str:
    text = value.decode("utf-8", "replace").strip()[:MAX_TEXT]
    return text if text.isprintable() else "".join(character for character in text if character.isprintable())
