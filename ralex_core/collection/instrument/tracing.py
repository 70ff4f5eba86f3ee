"""W3C trace context between processes: what to send with a call, and what to continue."""

from __future__ import annotations

from ralex_core.collection.active import ActiveOperation, current

HEADER = "traceparent"


def outgoing(operation: ActiveOperation | None = None) -> str | None:
    """The `traceparent` to send with a call made now: of the operation given, or of the one around; None without."""
    above = operation or current.get()
    return (above.traceparent or None) if above is not None else None
