"""Twelve streams of each provider flavour, byte by byte, with what each is to be recorded as.

Prices are those of `tests.support.gateway.PRICES` (USD per million tokens: 2 in, 10 out, 0.5 read from a cache, 2.5 and
4 written to one), and every cost below is worked out by hand beside its case.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from tests.support.model_server import MESSAGES_USAGE, Raw, chunk, message

UNKNOWN = (None,) * 6
M = "test-model"


class Stream(NamedTuple):
    """A provider's answer in the pieces it is sent in, and what is to be known of it afterwards."""

    what: str
    parts: Sequence[bytes]
    cost: str | None
    """USD; None: not known, and then it is not $0 either."""
    tokens: tuple[int | None, ...]
    """All input, read from and written to a cache, written for an hour, all output, reasoning."""
    status: str = "ok"
    error_type: str | None = None
    headers: bytes = b""
    cut: bool = False
    basis: str = "computed"
    asked: bool = True
    """Whether the caller asks for the usage by itself."""

    def reply(self) -> Raw:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n"
        framed = [b"%x\r\n%s\r\n" % (len(part), part) for part in self.parts]
        return Raw([head + self.headers + b"\r\n", *framed, *([] if self.cut else [b"0\r\n\r\n"])], close=self.cut)

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)


def data(*events: Any, end: bytes = b"\n\n") -> list[bytes]:
    """Events as `data:` lines, one part each."""
    return [b"data: " + _text(event) + end for event in events]


def named(*events: Any, end: bytes = b"\n") -> list[bytes]:
    """Events with their names, as Anthropic sends them."""
    return [b"event: " + event["type"].encode() + end + b"data: " + _text(event) + end + end for event in events]


def _text(event: Any) -> bytes:
    return event.encode() if isinstance(event, str) else json.dumps(event, ensure_ascii=False).encode()


def resplit(parts: Iterable[bytes], seed: int, longest: int = 9) -> list[bytes]:
    """The same bytes in other pieces, also within characters and lines."""
    rest, chosen, pieces = b"".join(parts), random.Random(seed), []
    while rest:
        size = chosen.randint(1, longest)
        pieces.append(rest[:size])
        rest = rest[size:]
    return pieces


def says(text: str, **changes: Any) -> dict[str, Any]:
    return chunk({"content": text}, model=M, **changes)


def ends(**changes: Any) -> dict[str, Any]:
    return chunk(finish="stop", model=M, **changes)


def used(usage: Any, **changes: Any) -> dict[str, Any]:
    return chunk(choices=[], model=M, usage=usage, **changes)


def plain(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **more}


CACHED = plain(
    1000, 300, prompt_tokens_details={"cached_tokens": 800}, completion_tokens_details={"reasoning_tokens": 200}
)
TOOL = chunk(
    {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "edit", "arguments": '{"a":'}}]},
    model=M,
)
USED_40_7 = (40, None, None, None, 7, None)
# 40 × 2 + 7 × 10 = 150 millionths
COST_40_7 = "0.00015"
BIG = "x" * 400_000

OPENAI: list[Stream] = [
    Stream("plain", data(says("hi"), ends(), used(plain(40, 7)), "[DONE]"), COST_40_7, USED_40_7),
    # 200 × 2 + 800 × 0.5 + 300 × 10 = 3800 millionths
    Stream(
        "cached and reasoning tokens",
        data(says("hi"), ends(), used(CACHED), "[DONE]"),
        "0.0038",
        (1000, 800, None, None, 300, 200),
    ),
    Stream(
        "tool calls",
        data(TOOL, chunk(finish="tool_calls", model=M), used(plain(40, 7)), "[DONE]"),
        COST_40_7,
        USED_40_7,
    ),
    Stream("usage on a choice chunk", data(says("hi"), ends(usage=plain(40, 7)), "[DONE]"), COST_40_7, USED_40_7),
    Stream(
        "usage on every chunk, growing",
        data(says("a", usage=plain(40, 1)), says("b", usage=plain(40, 2)), ends(usage=plain(40, 7)), "[DONE]"),
        COST_40_7,
        USED_40_7,
    ),
    Stream("cut before its usage", data(says("hi"), says("ho")), None, UNKNOWN, "error", "stream_cut", cut=True),
    Stream("no usage although complete", data(says("hi"), ends(), "[DONE]"), None, UNKNOWN),
    Stream(
        "an error in the middle",
        data(says("hi"), {"error": {"message": "a secret", "type": "server_error", "code": "overloaded"}}),
        None,
        UNKNOWN,
        "error",
        "overloaded",
    ),
    Stream(
        "split within characters and lines",
        resplit(data(says("grüße 🌍"), ends(), used(plain(40, 7)), "[DONE]"), 1),
        COST_40_7,
        USED_40_7,
    ),
    Stream(
        "CRLF, comments and pings",
        resplit(
            [
                b": ping\r\n\r\n",
                *data(says("hi"), end=b"\r\n\r\n"),
                b":\r\n\r\n",
                *data(ends(), used(plain(40, 7)), "[DONE]", end=b"\r\n\r\n"),
            ],
            2,
        ),
        COST_40_7,
        USED_40_7,
    ),
    Stream(
        "compressed",
        resplit([gzip.compress(b"".join(data(says("hi"), ends(), used(plain(40, 7)), "[DONE]")))], 3, 40),
        COST_40_7,
        USED_40_7,
        headers=b"content-encoding: gzip\r\n",
    ),
    Stream(
        "one huge chunk",
        data(says("hi"), says(BIG), ends(), used(plain(40, 7)), "[DONE]"),
        COST_40_7,
        USED_40_7,
    ),
]


def routed(prompt: int, completion: int, cost: Any, **more: Any) -> dict[str, Any]:
    return plain(prompt, completion, cost=cost, is_byok=False, **more)


FAILED = {"index": 0, "delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "a secret"}}
PROCESSING = b": OPENROUTER PROCESSING\n\n"
BILLED = "billed"
OPENROUTER: list[Stream] = [
    Stream(
        "inline cost",
        data(says("hi"), ends(), used(routed(40, 7, 0.000151)), "[DONE]"),
        "0.000151",
        USED_40_7,
        basis=BILLED,
    ),
    Stream(
        "usage asked for by nobody still comes and stays",
        data(says("hi"), ends(), used(routed(40, 7, 0.000151)), "[DONE]"),
        "0.000151",
        USED_40_7,
        basis=BILLED,
        asked=False,
    ),
    Stream(
        "cost in exponent notation",
        [
            b"data: "
            + json.dumps(ends(usage=routed(1, 0, 0))).replace('"cost": 0', '"cost": 2.5e-07').encode()
            + b"\n\n"
        ],
        "0.00000025",
        (1, None, None, None, 0, None),
        basis=BILLED,
    ),
    # the fee of 0.0001 and what the provider behind asks, 0.0042
    Stream(
        "a key of one's own",
        data(
            says("hi"),
            ends(),
            used({**routed(40, 7, 0.0001), "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0042}}),
            "[DONE]",
        ),
        "0.0043",
        USED_40_7,
        basis=BILLED,
    ),
    # what the provider asks is not said: only the price list is left, 40 × 2 + 7 × 10
    Stream(
        "a key of one's own, upstream cost not said",
        data(says("hi"), ends(), used({**routed(40, 7, 0.0001), "is_byok": True}), "[DONE]"),
        COST_40_7,
        USED_40_7,
    ),
    Stream(
        "cache written and read, reasoning",
        data(
            says("hi"),
            ends(),
            used(
                routed(
                    1000,
                    300,
                    0.0039,
                    prompt_tokens_details={"cached_tokens": 600, "cache_write_tokens": 200},
                    completion_tokens_details={"reasoning_tokens": 120},
                )
            ),
            "[DONE]",
        ),
        "0.0039",
        (1000, 600, 200, None, 300, 120),
        basis=BILLED,
    ),
    Stream(
        "comments while it waits",
        [PROCESSING, PROCESSING, *data(says("hi"), ends(), used(routed(40, 7, 0.000151)), "[DONE]")],
        "0.000151",
        USED_40_7,
        basis=BILLED,
    ),
    Stream(
        "usage on the choice chunk that ends it",
        data(says("hi"), ends(usage=routed(40, 7, 0.000151)), "[DONE]"),
        "0.000151",
        USED_40_7,
        basis=BILLED,
    ),
    Stream(
        "cut",
        [PROCESSING, *data(says("hi"))],
        None,
        UNKNOWN,
        "error",
        "stream_cut",
        cut=True,
    ),
    Stream(
        "an error of the provider behind, on a choice",
        data(says("hi"), chunk(model=M, choices=[FAILED])),
        None,
        UNKNOWN,
        "error",
        "502",
    ),
    Stream(
        "split anywhere",
        resplit([PROCESSING, *data(says("日本"), ends(), used(routed(40, 7, 0.000151)), "[DONE]")], 4),
        "0.000151",
        USED_40_7,
        basis=BILLED,
    ),
    Stream(
        "a tool call, compressed",
        [
            gzip.compress(
                b"".join(data(TOOL, chunk(finish="tool_calls", model=M), used(routed(40, 7, 0.000151)), "[DONE]"))
            )
        ],
        "0.000151",
        USED_40_7,
        basis=BILLED,
        headers=b"content-encoding: gzip\r\n",
    ),
]


def begins(usage: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message_start", "message": message(model=M, content=[], stop_reason=None, usage=usage)}


def delta(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def over(output: int, reason: str = "end_turn", **more: Any) -> dict[str, Any]:
    usage = {"output_tokens": output, **more}
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


OPEN = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
CLOSE = {"type": "content_block_stop", "index": 0}
STOP = {"type": "message_stop"}
PING = {"type": "ping"}
SMALL = {"input_tokens": 40, "output_tokens": 1}
THINKING = {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}
INPUT_JSON = {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}}
# 40 × 2 + 7 × 10
ANTHROPIC: list[Stream] = [
    Stream("plain", named(begins(SMALL), OPEN, delta("hi"), CLOSE, over(7), STOP), COST_40_7, USED_40_7),
    # 100 × 2 + 600 × 0.5 + 200 × 2.5 + 100 × 4 + 50 × 10 = 1900 millionths
    Stream(
        "cache read, written and written for an hour, thinking",
        named(
            begins({**MESSAGES_USAGE, "output_tokens": 1, "output_tokens_details": None}),
            THINKING,
            delta("hi"),
            over(50, output_tokens_details={"thinking_tokens": 20}),
            STOP,
        ),
        "0.0019",
        (1000, 600, 300, 100, 50, 20),
    ),
    # 10 × 2 + 30 × 2.5 + 7 × 10 = 165 millionths
    Stream(
        "cache written, without saying for how long",
        named(
            begins({"input_tokens": 10, "cache_creation_input_tokens": 30, "output_tokens": 1}),
            delta("a"),
            over(7),
            STOP,
        ),
        "0.000165",
        (40, None, 30, None, 7, None),
    ),
    Stream(
        "cumulative output, several times, the last one holds",
        named(begins(SMALL), delta("a"), over(3), delta("b"), over(7), STOP),
        COST_40_7,
        USED_40_7,
    ),
    Stream(
        "input corrected at the end",
        named(begins({"input_tokens": 3, "output_tokens": 1}), delta("a"), over(7, input_tokens=40), STOP),
        COST_40_7,
        USED_40_7,
    ),
    Stream(
        "a tool call", named(begins(SMALL), OPEN, INPUT_JSON, CLOSE, over(7, "tool_use"), STOP), COST_40_7, USED_40_7
    ),
    # What it has read is known from its first event; what it wrote, and so its cost, is not.
    Stream(
        "cut",
        named(begins(SMALL), OPEN, THINKING, delta("hi")),
        None,
        (40, None, None, None, None, None),
        "error",
        "stream_cut",
        cut=True,
    ),
    Stream(
        "an error in the middle",
        named(
            begins(SMALL), delta("a"), {"type": "error", "error": {"type": "overloaded_error", "message": "a secret"}}
        ),
        None,
        (40, None, None, None, None, None),
        "error",
        "overloaded_error",
    ),
    Stream(
        "pings and split characters",
        resplit(named(begins(SMALL), PING, delta("grüße 🌍"), PING, over(7), STOP), 5),
        COST_40_7,
        USED_40_7,
    ),
    Stream("CRLF", resplit(named(begins(SMALL), delta("a"), over(7), STOP, end=b"\r\n"), 6), COST_40_7, USED_40_7),
    Stream(
        "compressed, and without a last blank line",
        [gzip.compress(b"".join(named(begins(SMALL), delta("a"), over(7), STOP))[:-1])],
        COST_40_7,
        USED_40_7,
        headers=b"content-encoding: gzip\r\n",
    ),
    Stream("one huge event", named(begins(SMALL), delta(BIG), over(7), STOP), COST_40_7, USED_40_7),
]


def cost_of(stream: Stream) -> Decimal | None:
    return None if stream.cost is None else Decimal(stream.cost)
