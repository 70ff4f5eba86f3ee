"""What a LiteLLM proxy says of its calls (`generic_api` callback, `StandardLoggingPayload`), as operations.

It writes 0 where it does not know: a cost of 0, or one with `response_cost_failure_debug_info`, is unknown and not
free, and so are tokens of 0. Prompts and answers are in what it sends; nothing of them is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import orjson

from ralex_core.collection.instrument.litellm import MADE_UP_ID
from ralex_core.collection.llm_usage import BILLED_BY, NO_USAGE, Usage, fields_of, openai_usage, stated_cost, usd_of
from ralex_core.collection.native import FIRST_US, LAST_US, MAX_DURATION_MS, MAX_RECORDS, Parsed, too_many_records
from ralex_core.collection.semconv import provider_of
from ralex_core.model.operation import Operation, derived_id

SOURCE = "litellm"
MAX_TEXT = 256
PAYMENT = "payment_required"

NAMES: Mapping[str, str] = {
    "completion": "chat",
    "acompletion": "chat",
    "text_completion": "text_completion",
    "atext_completion": "text_completion",
    "embedding": "embeddings",
    "aembedding": "embeddings",
    "responses": "responses",
    "aresponses": "responses",
    "anthropic_messages": "messages",
}
"""`call_type` → name of the operation; others keep their own."""
WITHOUT_OUTPUT = frozenset({"embeddings"})


def parse_litellm(body: bytes | bytearray) -> Parsed:
    """Read every payload of a body: an array, one to a line, or a single one.

    What is none is named by its place, from 0, with the reason.

    Raises:
        TooManyRecords: there are more than `MAX_RECORDS`. For nothing else that the body holds.
    """
    operations: list[Operation] = []
    rejected: list[tuple[int, str]] = []
    for index, (value, wrong) in enumerate(_values(body)):
        try:
            if wrong is not None:
                raise ValueError(wrong)
            operations.append(_operation(value))
        except ValueError as error:
            rejected.append((index, str(error)))
    return Parsed(operations, rejected)


def _values(body: bytes | bytearray) -> list[tuple[Any, str | None]]:
    """Each JSON value, or why it is none."""
    try:
        whole: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        found: list[tuple[Any, str | None]] = []
        if body.count(b"\n") > MAX_RECORDS:
            raise too_many_records() from None
        for line in body.split(b"\n"):
            if line.strip():
                try:
                    found.append((orjson.loads(line), None))
                except orjson.JSONDecodeError as error:
                    found.append((None, f"not valid JSON: {error}"))
        return found
    payloads = cast("list[Any]", whole) if isinstance(whole, list) else [whole]
    if len(payloads) > MAX_RECORDS:
        raise too_many_records()
    return [(value, None) for value in payloads]


def _operation(payload: Any) -> Operation:
    """Raises ValueError with what is wrong."""
    if not isinstance(payload, dict):
        raise ValueError("a payload is a JSON object")
    said = cast("dict[str, Any]", payload)
    metadata = fields_of(said.get("metadata"))
    asked_with = fields_of(metadata.get("requester_metadata"))
    started_us = _microseconds(said.get("startTime"))
    if started_us is None:
        raise ValueError("startTime: required, in seconds since 1970")
    identity = _text(said.get("litellm_call_id")) or _text(said.get("id"))
    if identity is None:
        raise ValueError("id: required, so that what is sent again counts once")
    name = NAMES.get(_text(said.get("call_type")) or "", _text(said.get("call_type")) or "chat")
    failed = said.get("status") == "failure"
    provider = _provider(said)
    from_cache = said.get("cache_hit") is True
    usage: Any = metadata.get("usage_object") or said
    error = fields_of(said.get("error_information"))
    http_status = _status(error.get("error_code")) if failed else None
    money = {} if failed else _money(said, usage, provider, from_cache=from_cache)
    return Operation(
        operation_id=derived_id("litellm", identity, "failure" if failed else "success"),
        kind="llm",
        name=name,
        started_at=started_us,
        duration_ms=_milliseconds(said.get("startTime"), said.get("endTime")),
        status="error" if failed else "ok",
        ttft_ms=_ttft(said),
        error_type=_error_type(error, http_status) if failed else None,
        http_status=http_status,
        project=_text(metadata.get("user_api_key_team_alias")),
        client=_text(said.get("user_agent")) or SOURCE,
        user_id=_text(said.get("end_user")) or _text(metadata.get("user_api_key_user_id")),
        session_id=_text(said.get("session_id")) or _text(asked_with.get("session_id")),
        provider=provider,
        requested_model=_text(said.get("model_group")) or _text(said.get("model")),
        model=None if failed else _text(said.get("model")),
        door="webhook",
        source=SOURCE,
        provider_request_id=None if failed else _provider_id(said),
        attributes=orjson.dumps(_attributes(said, metadata, from_cache=from_cache)).decode(),
        **money,
        **_tokens(usage, provider, name, failed=failed, from_cache=from_cache)._asdict(),
    )


def _tokens(usage: Any, provider: str | None, name: str, *, failed: bool, from_cache: bool) -> Usage:
    if from_cache:
        return NO_USAGE._replace(input_tokens=0, output_tokens=0)
    found = openai_usage(usage, provider)
    if failed or not (found.input_tokens or found.output_tokens):
        return NO_USAGE
    return found._replace(output_tokens=None) if name in WITHOUT_OUTPUT and not found.output_tokens else found


def _money(said: Mapping[str, Any], usage: Any, provider: str | None, *, from_cache: bool) -> dict[str, Any]:
    """What the provider charged where its usage says so, else what LiteLLM reckons; nothing where it could not."""
    if from_cache:
        return {"reported_usd": usd_of(0)}
    if provider in BILLED_BY and (billed := stated_cost(usage)) is not None:
        return {"billed_usd": billed}
    cost = None if said.get("response_cost_failure_debug_info") else usd_of(said.get("response_cost"))
    return {"reported_usd": cost} if cost else {}


def _provider(said: Mapping[str, Any]) -> str | None:
    """Who bills. LiteLLM calls every server that speaks OpenAI's language `openai`; the host of another is not."""
    named = _text(said.get("custom_llm_provider"))
    try:
        host = urlsplit(str(said.get("api_base") or "")).hostname
    except ValueError:
        host = None
    provider = provider_of(named, host)
    return None if provider == "openai" and host is not None and provider_of(None, host) != "openai" else provider


def _provider_id(said: Mapping[str, Any]) -> str | None:
    identity = _text(fields_of(said.get("response")).get("id")) or _text(said.get("id"))
    return None if identity is None or MADE_UP_ID.fullmatch(identity) else identity


def _error_type(error: Mapping[str, Any], http_status: int | None) -> str:
    if http_status == 402:
        return PAYMENT
    return _text(error.get("error_class")) or (f"http_{http_status}" if http_status else "error")


def _attributes(said: Mapping[str, Any], metadata: Mapping[str, Any], *, from_cache: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in (
        ("litellm.trace_id", said.get("trace_id")),
        ("litellm.model_id", said.get("model_id")),
        ("litellm.key_alias", metadata.get("user_api_key_alias")),
        ("call_type", said.get("call_type")),
    ):
        text = _text(value)
        if text is not None:
            found[name] = text
    hashed = _text(metadata.get("user_api_key_hash"))
    if hashed is not None:
        found["gateway_key"] = hashed[:8]
    tags: Any = said.get("request_tags")
    if isinstance(tags, list):
        found["tags"] = [tag for tag in map(_text, cast("list[Any]", tags)[:20]) if tag]
    if from_cache:
        found["cache_hit"] = True
    found["gen_ai.request.stream"] = said.get("stream") is True
    return found


def _ttft(said: Mapping[str, Any]) -> float | None:
    """LiteLLM puts the end where there was no first token to wait for."""
    begun, ended = said.get("completionStartTime"), said.get("endTime")
    return None if begun == ended or said.get("stream") is False else _milliseconds(said.get("startTime"), begun)


def _microseconds(value: Any) -> int | None:
    if type(value) not in (int, float):
        return None
    us = round(value * 1e6) if 0 < value < 1e11 else 0
    return us if FIRST_US <= us < LAST_US else None


def _milliseconds(begun: Any, ended: Any) -> float | None:
    first, last = _microseconds(begun), _microseconds(ended)
    if first is None or last is None or not 0 <= last - first <= MAX_DURATION_MS * 1000:
        return None
    return (last - first) / 1000


def _status(value: Any) -> int | None:
    text = str(value) if isinstance(value, str | int) else ""
    return int(text) if text.isdecimal() and len(text) == 3 and 100 <= int(text) < 600 else None


def _text(value: Any) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) and value else None
