"""What a request says of itself, and the smallest edits of its body, which goes on as it came where none is needed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

import orjson

from ralex_core.collection.llm_answer import FAST
from ralex_core.collection.llm_usage import count_of

MAX_TEXT = 256
MAX_FALLBACKS = 20
ASK_USAGE = b'"stream_options":{"include_usage":true},'
_CLAUDE_USER = re.compile(r"(?P<user>user_[0-9a-f]+(?:_account_[0-9a-f-]*)?)_session_(?P<session>[0-9a-f-]{8,64})")
"""What Claude Code says of its user: an account and a session in one text."""


class Facts(NamedTuple):
    """What a body says. None: it does not say."""

    model: str | None = None
    stream: bool = False
    asks_usage: bool | None = None
    """What it says of the usage of its stream; None: nothing."""
    max_tokens: int | None = None
    choices: int = 1
    service_tier: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    bounded: bool = False
    """Whether the input cannot be more tokens than the body has bytes, images aside: nothing is fetched or remembered
    elsewhere, and nothing is a document, whose bytes are compressed."""
    images: int = 0
    """Images that are in the body: a small file may be a large one."""
    fallbacks: tuple[str, ...] = ()
    """Models that may answer in place of the one asked for (OpenRouter's `models`)."""


NO_FACTS = Facts()


def read_facts(body: bytes, limit_fields: tuple[str, ...]) -> Facts:
    """The facts of a body; none of one that is not a JSON object, which the upstream will say."""
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return NO_FACTS
    if not isinstance(parsed, dict):
        return NO_FACTS
    fields = cast("dict[str, Any]", parsed)
    options = fields.get("stream_options")
    asks = None if options is None else isinstance(options, dict) and options.get("include_usage") is True  # pyright: ignore[reportUnknownMemberType]
    limits = [found for name in limit_fields if (found := count_of(fields.get(name))) is not None]
    user, session = _who(fields)
    bounded, images = _is_bounded(body, fields)
    return Facts(
        model=_text(fields.get("model")),
        stream=fields.get("stream") is True,
        asks_usage=asks,
        max_tokens=max(limits, default=None),  # who is asked with two of them may heed either
        choices=_choices(fields),
        service_tier=FAST if fields.get("speed") == FAST else _text(fields.get("service_tier")),
        user_id=user,
        session_id=session,
        bounded=bounded,
        images=images,
        fallbacks=_fallbacks(fields.get("models")),
    )


def _choices(fields: Mapping[str, Any]) -> int:
    """How many answers may be written and billed, each as long as is allowed."""
    each = max(count_of(fields.get("n")) or 1, count_of(fields.get("best_of")) or 1)
    prompt = fields.get("prompt")
    if not isinstance(prompt, list):
        return each
    prompts = sum(isinstance(one, str | list) for one in cast("list[Any]", prompt))  # else one, in tokens
    return each * max(prompts, 1)


def _fallbacks(models: Any) -> tuple[str, ...]:
    if not isinstance(models, list):
        return ()
    return tuple(name for name in cast("list[Any]", models)[:MAX_FALLBACKS] if isinstance(name, str))


_ELSEWHERE = (
    *("previous_response_id", "conversation", "prompt", "web_search_options", "plugins", "container"),
    "mcp_servers",
)
"""Fields of a body that let a provider read what is not in it."""
_FETCHED = (b'"file_id"', b'"image_url"', b'"file_url"', b'"url"', b'"file_data"', b'"base64"')
_ESCAPED = re.compile(rb"\\u00[2-7]")
"""A letter that is written as its number: a name may be spelled so, and nobody needs to."""
_OWN_TOOLS = ("function", "custom", "bash_", "text_editor_", "memory_", "computer_")
"""Beginnings of the types of tools that the caller runs. The others run at the provider, and read as they like."""


def _is_bounded(body: bytes, fields: Mapping[str, Any]) -> tuple[bool, int]:
    """Whether the input is in the body, and how many images are."""
    models = fields.get("models")
    if isinstance(models, list) and len(cast("list[Any]", models)) > MAX_FALLBACKS:
        return False, 0
    for name in _ELSEWHERE:
        if fields.get(name) is not None and not (name == "prompt" and isinstance(fields[name], str | list)):
            return False, 0
    tools = fields.get("tools")
    if isinstance(tools, list):
        for tool in cast("list[Any]", tools):
            kind: Any = cast("dict[str, Any]", tool).get("type", "function") if isinstance(tool, dict) else "function"
            if not (isinstance(kind, str) and kind.startswith(_OWN_TOOLS)):
                return False, 0
    if not any(mark in body for mark in _FETCHED) and _ESCAPED.search(body) is None:
        return True, 0
    images = 0
    for name in ("messages", "input", "system"):
        found = _images(fields.get(name))
        if found is None:
            return False, 0
        images += found
    return True, images


def _images(value: Any, depth: int = 12) -> int | None:
    """How many images are inside; None where there may be more to read than the body has bytes: a file kept at the
    provider, the address of one, or a document."""
    if not isinstance(value, dict | list):
        return 0
    if depth == 0:
        return None
    images = 0
    inside: Iterable[Any] = cast("list[Any]", value)
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if fields.get("file_id") or fields.get("file_url") or fields.get("file_data"):
            return None
        if fields.get("type") == "base64":
            if not str(fields.get("media_type")).startswith("image/"):
                return None
            images += 1
        for name in ("url", "image_url"):
            address = fields.get(name)
            if isinstance(address, str):
                if not address.startswith("data:image/"):
                    return None
                images += 1
        inside = fields.values()
    for item in inside:
        found = _images(item, depth - 1)
        if found is None:
            return None
        images += found
    return images


def _who(fields: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """User and session by the conventions of OpenAI (`user`), OpenRouter (`session_id`), Anthropic and LiteLLM
    (`metadata`)."""
    user = _text(fields.get("user")) or _text(fields.get("safety_identifier"))
    session = _text(fields.get("session_id"))
    about = fields.get("metadata")
    if isinstance(about, dict):
        metadata = cast("dict[str, Any]", about)
        said = _text(metadata.get("user_id"))
        if said is not None:
            match = _CLAUDE_USER.fullmatch(said)
            if match is not None:
                said, session = match["user"], session or match["session"]
            elif said.startswith("{"):  # newer versions write an object
                said, session = _claude_object(said, session)
            user = user or said
        session = session or _text(metadata.get("session_id"))
    return user, session


def _claude_object(said: str, session: str | None) -> tuple[str | None, str | None]:
    try:
        fields: Any = orjson.loads(said)
    except orjson.JSONDecodeError:
        return None, session
    user = _text(fields.get("account_uuid")) or _text(fields.get("device_id"))
    return user, session or _text(fields.get("session_id"))


def _text(value: Any) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) and value else None


def asking_usage(body: bytes) -> bytes:
    """The body with the usage of its stream asked for, and every other byte where it was."""
    at = body.index(b"{") + 1
    return body[:at] + ASK_USAGE + body[at:]


def with_model(body: bytes, model: str) -> bytes:
    """The body with another model, and every other byte where it was.

    Raises:
        ValueError: it is not a JSON object with one top-level `model` that is a text.
    """
    text = body.decode()
    decoder = json.JSONDecoder()
    space = re.compile(r"[ \t\r\n]*")

    def skip(at: int) -> int:
        found = space.match(text, at)
        return found.end() if found else at

    at = skip(0)
    if text[at : at + 1] != "{":
        raise ValueError("not an object")
    places: list[tuple[int, int]] = []
    at = skip(at + 1)
    while text[at : at + 1] == '"':
        key, at = decoder.raw_decode(text, at)
        at = skip(at)
        if text[at : at + 1] != ":":
            raise ValueError("no colon")
        begin = skip(at + 1)
        value, at = decoder.raw_decode(text, begin)
        if key == "model":
            if not isinstance(value, str):
                raise ValueError("the model is no text")
            places.append((begin, at))
        at = skip(at)
        if text[at : at + 1] != ",":
            break
        at = skip(at + 1)
    if len(places) != 1:
        raise ValueError("no single model")
    begin, end = places[0]
    return (text[:begin] + json.dumps(model) + text[end:]).encode()
