"""Request bodies of the doors, read with a limit that holds before and after decompression."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Generator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect, Request

GZIP_MEMBER = 16 + zlib.MAX_WBITS
CHUNK_BYTES = 1 << 20
WINDOW_BYTES = 1 << 16
"""Of a gzip body that is unpacked at a time: what lies behind a member is copied, and members may be tiny."""
MAX_MEMBERS = 10_000
"""Of a gzip body; a writer of blocks makes one for each 64 KiB."""
MAX_VALUES = 1_000_000
"""JSON values of one request. The smallest take two bytes on the wire and a hundred in memory."""
BODIES_AT_ONCE = 2
"""Bodies of the largest size that the doors may hold together, each until what it brought is committed."""
LARGE_BYTES = 1 << 20
"""Bodies beyond this are decoded one after the other: decoded, one takes several times its size."""
_large_turn = threading.Lock()


class BodyProblem(Exception):
    """A body that is not taken. `status` is the HTTP answer, the message says what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class BodyBudget:
    """Bytes of bodies that may be held at once, by all requests together. For one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._free = max_bytes

    def take(self, size: int) -> None:
        """Raises `BodyProblem` (503) when there is no room now."""
        if size > self._free:
            raise BodyProblem(503, "Too many large requests are being read at once. Send again in a moment.")
        self._free -= size

    def give_back(self, size: int) -> None:
        self._free += size


async def read_body(request: Request, *, max_bytes: int, budget: BodyBudget) -> bytes:
    """The body as it was sent. What it holds of `budget` the caller gives back (`len` of the result) when done with it.

    Raises:
        BodyProblem: 413 when it is longer than `max_bytes`, as soon as that is known; 503 when the budget is used up;
            400 when the sender hung up in the middle.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            budget.take(len(chunk))
            size += len(chunk)
            chunks.append(chunk)
            if size > max_bytes:
                raise _too_large(max_bytes)
    except ClientDisconnect:
        budget.give_back(size)
        raise BodyProblem(400, "The connection was closed in the middle of the body.") from None
    except BodyProblem:
        budget.give_back(size)
        raise
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def content_encoding(request: Request) -> str:
    """`gzip` or `identity`.

    Raises:
        BodyProblem: 415 for anything else.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return "identity"
    if encoding == "gzip":
        return encoding
    raise BodyProblem(415, f"Content-Encoding {encoding[:40]!r} is not understood. Send gzip or no encoding.")


def decompressed(body: bytes, encoding: str, *, max_bytes: int) -> bytes:
    """The content of a body; it stops at `max_bytes`, so a small body that unfolds to a huge one costs no memory.

    Raises:
        BodyProblem: 413 when there is more, 400 when it is not whole gzip.
    """
    if encoding != "gzip":
        return body
    content: list[bytes] = []
    room = max_bytes
    members = position = 0  # position: of what was not given to zlib, or given back by it
    view = memoryview(body)
    try:
        while position < len(body):
            members += 1
            if members > MAX_MEMBERS:
                raise BodyProblem(413, f"The gzip body has more than {MAX_MEMBERS:,} members. Compress it as one.")
            member = zlib.decompressobj(GZIP_MEMBER)
            while not member.eof:
                window = view[position : position + WINDOW_BYTES]
                part = member.decompress(window, min(CHUNK_BYTES, room + 1))
                position += len(window) - len(member.unconsumed_tail) - len(member.unused_data)
                room -= len(part)
                if room < 0:
                    raise _too_large(max_bytes)
                if not (part or member.eof or position < len(body)):
                    raise BodyProblem(400, "The gzip body ends in the middle.")
                if part:
                    content.append(part)
    except zlib.error as error:
        raise BodyProblem(400, f"The body is not gzip as its Content-Encoding says: {error}.") from error
    return content[0] if len(content) == 1 else b"".join(content)


def check_values(content: bytes) -> None:
    """Refuse JSON that holds too many values, before they are made; commas and brackets in texts count too.

    Raises:
        BodyProblem: 413.
    """
    if len(content) > MAX_VALUES and sum(map(content.count, (b",", b"{", b"[", b"\n"))) > MAX_VALUES:
        raise BodyProblem(413, f"The body holds more than {MAX_VALUES:,} JSON values. Send smaller batches.")


@contextmanager
def decoding(content: bytes) -> Generator[None]:
    """On a worker thread: large bodies wait for their turn, so that only one of them is in memory decoded."""
    if len(content) <= LARGE_BYTES:
        yield
        return
    with _large_turn:
        yield


def _too_large(max_bytes: int) -> BodyProblem:
    return BodyProblem(
        413,
        f"The body is larger than {max_bytes:,} bytes. Send smaller batches, or raise max_body_mb.",
    )
