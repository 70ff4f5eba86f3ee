"""Ids of operations: numbers taken in the host's threads, and the hexadecimal text made of them later.

A number costs the host a third of a random one. All processes forked from one share `PREFIX`, which is random; each
counts from a random start of its own. Text does not show the counting: multiplying by an odd number permutes the
64-bit integers.
"""

from __future__ import annotations

import itertools
import os

PREFIX = os.urandom(8).hex()
"""First half of every trace id begun here, hence of every operation id in it."""

SCATTER = 0x9E37_79B9_7F4A_7C15
"""A number times this, in its lowest 64 bits, is what an id shows."""
LOW_64 = (1 << 64) - 1


def counter() -> itertools.count[int]:
    """Numbers for this process: from a random 62-bit start, so that forked processes do not meet."""
    return itertools.count(int.from_bytes(os.urandom(8), "big") >> 2)


def span_text(span: int | str) -> str:
    """16 hex digits; an id that came from elsewhere is text already."""
    return span if isinstance(span, str) else (span * SCATTER & LOW_64).to_bytes(8, "big").hex()


def trace_text(trace: int | str) -> str:
    """32 hex digits; the number of a trace is that of its first span."""
    return trace if isinstance(trace, str) else PREFIX + (trace * SCATTER & LOW_64).to_bytes(8, "big").hex()


_HEX = frozenset("0123456789abcdef")
_WIDTHS = (2, 32, 16, 2)


def parse_traceparent(header: str) -> tuple[str, str] | None:
    """Trace and span of a W3C `traceparent`; None when it is malformed, of no valid version, or all zeros.

    Versions after 00 may append parts of their own; those are not looked at.
    """
    parts = header.strip().lower().split("-", 4)
    if len(parts) < 4 or any(len(part) != width for part, width in zip(parts, _WIDTHS, strict=False)):
        return None
    version, trace, span, flags = parts[:4]
    if not _HEX.issuperset(version + trace + span + flags) or version == "ff" or (version == "00" and len(parts) > 4):
        return None
    return (trace, span) if trace.strip("0") and span.strip("0") else None
