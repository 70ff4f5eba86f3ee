"""Recording work that encloses nothing of ours: a query, a request sent, a program run.

A leaf never becomes the current operation, so it needs no context variable set and reset; it is the cheapest way to
record, and the one that instruments use in the host's hot paths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ralex_core.collection import active, ids
from ralex_core.collection.active import current, defaults, fail
from ralex_core.collection.guard import guard
from ralex_core.collection.prepared import steady

if TYPE_CHECKING:
    from ralex_core.collection.active import ActiveOperation

now = steady


class Leaf:
    """A piece of work under way: a child of the operation around its beginning, recorded by `finish`."""

    __slots__ = (
        "attributes",
        "end_ns",
        "fields",
        "kind",
        "name",
        "parent",
        "span",
        "start_ns",
        "trace",
    )

    fields: dict[str, Any]
    attributes: dict[str, Any] | None
    trace: int | str
    parent: int | str | None
    end_ns: int
    """0 until it is recorded."""

    def __init__(self, name: str, kind: str, attributes: dict[str, Any] | None = None) -> None:
        self.name = name
        self.kind = kind
        self.fields = {}
        self.attributes = attributes
        self.trace, self.span, self.parent = place(current.get())
        self.end_ns = 0
        self.start_ns = now()

    def finish(self, error: BaseException | None = None, *, at_ns: int = 0) -> None:
        """Record it, once: ended now or at `at_ns`. Never raises."""
        if self.end_ns:
            return
        self.end_ns = at_ns or now()
        try:
            if error is not None:
                fail(self.fields, error)
            put(
                self.name,
                self.kind,
                self.fields,
                self.attributes,
                self.trace,
                self.span,
                self.parent,
                self.start_ns,
                self.end_ns,
            )
        except Exception:
            guard.swallow(f"instrument {self.kind}")

    @property
    def traceparent(self) -> str:
        """The W3C header that makes what another process does for this call its child."""
        return f"00-{ids.trace_text(self.trace)}-{ids.span_text(self.span)}-01"


def place(above: ActiveOperation | None) -> tuple[int | str, int, int | str | None]:
    """Trace, span and parent of work that begins below an operation."""
    span = next(active.numbers)
    if above is not None:
        return above.trace, span, above.span
    if active.inherited is not None:
        return active.inherited[0], span, active.inherited[1]
    return span, span, None


def put(
    name: str,
    kind: str,
    fields: dict[str, Any],
    attributes: dict[str, Any] | None,
    trace: int | str,
    span: int,
    parent: int | str | None,
    start_ns: int,
    end_ns: int,
) -> None:
    """Hand finished work to the recorder. `attributes` may be shared between operations: nobody changes them."""
    recorder = active.default_recorder
    values = (name, kind, fields, attributes, trace, span, parent, 0, start_ns, end_ns, defaults.get())
    if len(recorder.queue) < recorder.limit:  # `Recorder.put`, spelled out: a call less
        recorder.append(values)
    else:
        recorder.put_slowly(values)
