"""How much an OTLP request in protobuf holds, counted before it is decoded: two bytes can become a hundred."""

from __future__ import annotations

from ralex_core.collection.request_body import MAX_VALUES, BodyProblem

COUNTED_FROM_BYTES = 4 << 20
"""Smaller bodies cannot hold enough to matter, and counting costs about as much as decoding."""
ITEM_DEPTH = 3
"""Request, resource, scope: below them are spans, log records or metrics, whose fields are counted and not entered."""
LENGTH_DELIMITED = 2
_FIXED = {1: 8, 5: 4}


def check_protobuf(body: bytes) -> None:
    """Refuse a request with more than `MAX_VALUES` fields down to those of its spans, log records or metrics.

    Bytes that are no protobuf are left to the decoder, which says what is wrong with them.

    Raises:
        BodyProblem: 413.
    """
    if len(body) < COUNTED_FROM_BYTES:
        return
    left = MAX_VALUES
    pending = [(0, len(body), 0)]
    while pending:
        position, end, depth = pending.pop()
        while position < end:
            left -= 1
            if left < 0:
                raise BodyProblem(413, f"The request holds more than {MAX_VALUES:,} fields. Send smaller batches.")
            try:
                key, position = _varint(body, position)
                kind = key & 7
                if kind in _FIXED:
                    position += _FIXED[kind]
                    continue
                size, position = _varint(body, position)
            except IndexError:
                return
            if kind == LENGTH_DELIMITED:
                if depth < ITEM_DEPTH:
                    pending.append((position, min(position + size, end), depth + 1))
                position += size


def _varint(body: bytes, position: int) -> tuple[int, int]:
    """The number at a position, and the position behind it. Raises IndexError at the end of the body."""
    byte = body[position]
    position += 1
    if byte < 0x80:
        return byte, position
    value, shift = byte & 0x7F, 7
    while byte >= 0x80 and shift < 70:
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return value, position
