"""A model provider on loopback: answers as told, in the words of OpenAI, OpenRouter or Anthropic, whole or streamed.

`ModelServer` is plain asyncio in a thread of its own. It gives the replies it was told in their order, and the last of
them ever after. The functions below make replies and events as the providers document them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

WITHIN_S = 30.0


class Gate:
    """A place in a stream where the server waits until the test lets it go on."""

    def __init__(self) -> None:
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def passed(self) -> bool:
        return self._opened.wait(WITHIN_S)


class Whole(NamedTuple):
    """An answer in one piece."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})


class Streamed(NamedTuple):
    """Server-sent events: JSON objects, text as it is, or gates. An object with a `type` names its event by it."""

    events: Sequence[Any]
    cut: bool = False
    """Drop the connection after the last event, in the middle of the body."""
    headers: Mapping[str, str] = MappingProxyType({})


class Raw(NamedTuple):
    """Bytes as they are, each written by itself, head included. A gate waits; `HUNG_UP` waits for the client to go."""

    parts: Sequence[Any]
    close: bool = False
    """Close the connection afterwards."""


HUNG_UP = object()
Reply = Whole | Streamed | Raw


class Request(NamedTuple):
    """What arrived. `raw` is the body as it was sent, `body` what JSON says of it."""

    path: str
    headers: dict[str, str]
    body: Any
    raw: bytes = b""
    head: str = ""


@dataclass
class ModelServer:
    """Starts to listen at once; `close` ends it."""

    replies: list[Reply]
    requests: list[Request] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    """Set when a client went away while a `Raw` reply waited for it to."""

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(WITHIN_S)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def say(self, *replies: Reply) -> None:
        """What to answer from here on."""
        self.replies[:] = replies
        self.requests.clear()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=2**24)
        self.port: int = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._answer_one(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            with contextlib.suppress(Exception):
                writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append(Request(first.split()[1], headers, _json(body), body, head))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Whole):
            await self._send_whole(writer, reply)
            return True
        if isinstance(reply, Raw):
            return await self._send_raw(reader, writer, reply)
        await self._send_stream(writer, reply)
        return not reply.cut

    async def _send_whole(self, writer: asyncio.StreamWriter, reply: Whole) -> None:
        body = json.dumps(reply.body).encode()
        lines = {"content-type": "application/json", "content-length": str(len(body)), **reply.headers}
        writer.write(_head(reply.status, lines) + body)
        await writer.drain()

    async def _send_raw(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reply: Raw) -> bool:
        for part in reply.parts:
            if isinstance(part, Gate):
                await asyncio.to_thread(part.passed)
            elif part is HUNG_UP:
                await reader.read()
                self.hung_up.set()
            else:
                writer.write(part)
                await writer.drain()
        return not reply.close

    async def _send_stream(self, writer: asyncio.StreamWriter, reply: Streamed) -> None:
        lines = {"content-type": "text/event-stream", "transfer-encoding": "chunked", **reply.headers}
        writer.write(_head(200, lines))
        for event in reply.events:
            if isinstance(event, Gate):
                await writer.drain()
                await asyncio.to_thread(event.passed)
                continue
            data = event if isinstance(event, str) else json.dumps(event)
            named = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
            line = f"{named}data: {data}\n\n".encode()
            writer.write(b"%x\r\n%s\r\n" % (len(line), line))
        if reply.cut:
            await writer.drain()
            return
        writer.write(b"0\r\n\r\n")
        await writer.drain()


def _json(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Whatever\r\nx-request-id: req_1\r\nrequest-id: req_1\r\n{lines}\r\n".encode()


@contextlib.contextmanager
def model_server(*replies: Reply) -> Iterator[ModelServer]:
    """A server that is gone at the end of the block."""
    server = ModelServer(list(replies))
    try:
        yield server
    finally:
        server.close()


# OpenAI's chat completions, completions and embeddings

CHAT_USAGE: dict[str, Any] = {
    "prompt_tokens": 1000,
    "completion_tokens": 300,
    "total_tokens": 1300,
    "prompt_tokens_details": {"cached_tokens": 800, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 0},
}
OPENROUTER_USAGE: dict[str, Any] = {
    **CHAT_USAGE,
    "cost": 0.0123,
    "is_byok": False,
    "cost_details": {"upstream_inference_cost": None},
    "prompt_tokens_details": {"cached_tokens": 800, "cache_write_tokens": 100},
}
TOOL_CALL: dict[str, Any] = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "read_file", "arguments": '{"path": "a.py"}'},
}


def chat(usage: Mapping[str, Any] | None = CHAT_USAGE, **changes: Any) -> dict[str, Any]:
    """A chat completion; `changes` replace its fields."""
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "a secret answer"}, "finish_reason": "stop"}
        ],
    }
    return {**answer, **({} if usage is None else {"usage": dict(usage)}), **changes}


def chunk(delta: Mapping[str, Any] | None = None, finish: str | None = None, **changes: Any) -> dict[str, Any]:
    """One chunk of a streamed chat completion."""
    choice = {"index": 0, "delta": dict(delta or {}), "finish_reason": finish}
    first = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_760_000_000}
    return {**first, "model": "gpt-4o-2024-08-06", "service_tier": "default", "choices": [choice], **changes}


def usage_chunk(usage: Mapping[str, Any] = CHAT_USAGE) -> dict[str, Any]:
    """The last chunk, which comes when usage was asked for."""
    return chunk(choices=[], usage=dict(usage))


OPENING = chunk({"role": "assistant", "content": ""})
WORDS = [chunk({"content": word}) for word in ("a ", "secret ", "answer")]
FINISH = chunk(finish="stop")
DONE = "[DONE]"
CHAT_STREAM: list[Any] = [OPENING, *WORDS, FINISH, usage_chunk(), DONE]


def text_completion(**changes: Any) -> dict[str, Any]:
    """An answer of the older completions."""
    choice = {"index": 0, "text": "a secret answer", "finish_reason": "length", "logprobs": None}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    answer = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "gpt-3.5-turbo-instruct"}
    return {**answer, "choices": [choice], "usage": usage, **changes}


EMBEDDINGS: dict[str, Any] = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
    "usage": {"prompt_tokens": 8, "total_tokens": 8},
}


# OpenAI's responses

RESPONSES_USAGE: dict[str, Any] = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 800, "cache_write_tokens": 0},
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 200},
    "total_tokens": 1300,
}


def response(**changes: Any) -> dict[str, Any]:
    """A finished response."""
    text = {"type": "output_text", "text": "a secret answer", "annotations": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
    answer = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_760_000_000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "gpt-5-2025-08-07",
        "output": [message],
        "parallel_tool_calls": True,
        "service_tier": "flex",
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": RESPONSES_USAGE,
    }
    return {**answer, **changes}


def response_stream(end: str = "response.completed", **changes: Any) -> list[Any]:
    """The events of a streamed response."""
    begun = response(status="in_progress", output=[], usage=None)
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    deltas = [
        {"type": "response.output_text.delta", "delta": word, "sequence_number": 5 + number, **where}
        for number, word in enumerate(("a ", "secret ", "answer"))
    ]
    return [
        {"type": "response.created", "response": begun, "sequence_number": 1},
        {"type": "response.in_progress", "response": begun, "sequence_number": 2},
        {"type": "response.output_item.added", "output_index": 0, "item": item, "sequence_number": 3},
        {"type": "response.content_part.added", "part": part, "sequence_number": 4, **where},
        *deltas,
        {"type": end, "response": response(**changes), "sequence_number": 9},
    ]


# Anthropic's messages

MESSAGES_USAGE: dict[str, Any] = {
    "input_tokens": 100,
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 600,
    "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
    "output_tokens": 50,
    "output_tokens_details": {"thinking_tokens": 20},
    "service_tier": "standard",
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
}


def message(**changes: Any) -> dict[str, Any]:
    """A whole message."""
    answer = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [{"type": "text", "text": "a secret answer"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": MESSAGES_USAGE,
    }
    return {**answer, **changes}


def message_stream() -> list[Any]:
    """The events of a streamed message: usage begins in the first and is completed in the last but one."""
    begun = {**MESSAGES_USAGE, "output_tokens": 1, "output_tokens_details": None, "server_tool_use": None}
    return [
        {"type": "message_start", "message": message(content=[], stop_reason=None, usage=begun)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            for word in ("a ", "secret ", "answer")
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {
                "output_tokens": 50,
                "output_tokens_details": {"thinking_tokens": 20},
                "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
            },
        },
        {"type": "message_stop"},
    ]


# Errors

SOON = MappingProxyType({"retry-after-ms": "1", "retry-after": "0"})
"""Headers by which a client may try again at once."""


def openai_error(status: int, kind: str = "invalid_request_error", code: str | None = None) -> Whole:
    """An error as OpenAI words it; its message quotes the prompt, as they do."""
    error = {"message": "your secret prompt was refused", "type": kind, "param": None, "code": code}
    return Whole({"error": error}, status, SOON)


def anthropic_error(status: int, kind: str) -> Whole:
    error = {"type": kind, "message": "your secret prompt was refused"}
    return Whole({"type": "error", "error": error, "request_id": "req_1"}, status, SOON)


# What a call is recorded as

TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")
TOKENS += ("output_tokens", "reasoning_tokens")


def tokens(operation: Any) -> tuple[int | None, ...]:
    """All input, its cached parts (read, written, for an hour), all output, its reasoning."""
    return tuple(getattr(operation, name) for name in TOKENS)
