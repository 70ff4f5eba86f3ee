"""The second process of a busy monitor: reads requests of spans from a pipe, answers with priced operations.

Decoding is Python's own work and holds the interpreter lock, as does half of writing; in a process of its own it runs
beside the writer and not in turn with it. `second_decoder` starts it, feeds it and ends it. Frames are a length of
eight bytes and as many bytes; rows travel as `marshal` writes them, a quarter of the cost of pickled operations.
"""

from __future__ import annotations

import gc
import marshal
import os
import pickle
import signal
import struct
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any, BinaryIO, cast

from ralex_core.collection.otlp import Decoded, UnreadableRequest, decode_traces
from ralex_core.collection.otlp_json import decode_json_traces
from ralex_core.collection.preparation import Preparation
from ralex_core.collection.request_body import BodyProblem, decompressed
from ralex_core.config import Settings
from ralex_core.model.operation import Operation
from ralex_core.pricing.book import PriceBook
from ralex_core.storage.schema import MONEY_COLUMNS

Row = tuple[Any, ...]

_LENGTH = struct.Struct("<Q")
_MONEY = tuple(index for index, name in enumerate(Operation._fields) if name in MONEY_COLUMNS)
_PROTOBUF, _JSON = b"p", b"j"
_PLAIN, _GZIP = b"-", b"z"
_new = cast("Callable[[Any, Row], Operation]", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]


def write_frame(pipe: BinaryIO, *parts: bytes) -> None:
    """Send one frame and flush it."""
    pipe.write(_LENGTH.pack(sum(map(len, parts))))
    for part in parts:
        pipe.write(part)
    pipe.flush()


def read_frame(pipe: BinaryIO) -> bytes | None:
    """The next frame; None when the other end is gone."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(head)
    body = pipe.read(size)
    return body if len(body) == size else None


def question(body: bytes, *, json: bool, encoding: str) -> tuple[bytes, bytes, bytes]:
    """The parts of the frame that asks for the spans of a body."""
    return _JSON if json else _PROTOBUF, _GZIP if encoding == "gzip" else _PLAIN, body


def answered(frame: bytes) -> Decoded:
    """What an answer says.

    Raises:
        UnreadableRequest, BodyProblem: as decoding in this process would.
    """
    what, *rest = marshal.loads(frame)  # noqa: S302 - from our own child, through a pipe nobody else has
    if what == "unreadable":
        raise UnreadableRequest(rest[0])
    if what == "problem":
        raise BodyProblem(*rest)
    rows, rejected, reasons = rest
    return Decoded([operation_of_row(row) for row in rows], rejected, reasons)


def row_of(operation: Operation) -> Row:
    """An operation of plain values only: money as text."""
    if not any(operation[index] is not None for index in _MONEY):
        return tuple(operation)
    values = list(operation)
    for index in _MONEY:
        if values[index] is not None:
            values[index] = str(values[index])
    return tuple(values)


def operation_of_row(row: Row) -> Operation:
    """The operation `row_of` made a row of."""
    for index in _MONEY:
        if row[index] is not None:
            break
    else:
        return _new(Operation, row)
    values = list(row)
    for index in _MONEY:
        if values[index] is not None:
            values[index] = Decimal(values[index])
    return _new(Operation, tuple(values))


def main() -> None:
    """Answer until the pipe ends, which it does when the monitor does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the monitor says when to end
    questions = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing a library prints may get between the answers
    first = read_frame(questions)
    if first is None:
        return
    settings, overrides = pickle.loads(first)  # noqa: S301 - from the monitor that started this process
    book = PriceBook(settings, overrides)
    book.warm()
    prepare = Preparation(book, keep_content=settings.store_content)
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    write_frame(answers, b"ready")
    while (asked := read_frame(questions)) is not None:
        write_frame(answers, marshal.dumps(_answer(asked, prepare, settings)))


def _answer(asked: bytes, prepare: Preparation, settings: Settings) -> Row:
    decode = decode_json_traces if asked[:1] == _JSON else decode_traces
    encoding = "gzip" if asked[1:2] == _GZIP else "identity"
    try:
        content = decompressed(asked[2:], encoding, max_bytes=settings.max_body_mb << 20)
        decoded = decode(content, keep_content=settings.store_content)
    except UnreadableRequest as error:
        return "unreadable", str(error)
    except BodyProblem as problem:
        return "problem", problem.status, str(problem)
    return (
        "decoded",
        [row_of(operation) for operation in prepare(decoded.operations, redacted=decoded.redacted)],
        decoded.rejected,
        decoded.reasons,
    )


if __name__ == "__main__":
    main()
