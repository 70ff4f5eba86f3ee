"""An operation while it runs: the part of the SDK that executes in the host's threads, kept to the least it can be.

Entering and leaving costs about 2 µs (`bench/sdk_overhead.py`): a context variable, a number, three clock readings
and one append. It never raises into the host, waits, or touches a disk or a network.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from ralex_core.collection import ids
from ralex_core.collection.destination import Choice
from ralex_core.collection.guard import guard
from ralex_core.collection.prepared import steady
from ralex_core.collection.recorder import Recorder

if TYPE_CHECKING:
    from decimal import Decimal
    from types import TracebackType
    from typing import Self

    from ralex_core.model.operation import Kind, Outcome

    Money = Decimal | float | str

_CANCELLED = frozenset({"CancelledError", "Cancelled", "KeyboardInterrupt", "GeneratorExit"})
"""Exceptions that say somebody stopped waiting; by name, so that asyncio and trio are not imported for it."""

wall = time.time_ns
numbers = ids.counter()
"""Where operations get their numbers; another one in a forked process."""
inherited = ids.parse_traceparent(os.environ.get("TRACEPARENT", ""))
"""Trace and span of the process that started this one, when it named them: what has no parent here continues it."""


def _after_fork_in_child() -> None:
    global numbers
    numbers = ids.counter()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

current: ContextVar[ActiveOperation | None] = ContextVar("ralex_monitor_operation", default=None)
"""The operation that encloses the running code."""
defaults: ContextVar[dict[str, Any] | None] = ContextVar("ralex_monitor_defaults", default=None)
"""Fields of every operation that ends in this context; never changed in place."""
default_recorder = Recorder(Choice().open)
"""Where operations go that name no recorder; `sdk.configure` replaces it."""


class ActiveOperation:
    """One unit of work while it runs: a context manager, sync and async, that is recorded when the block ends.

    Made by `operation`. Operations begun inside the block become its children. An exception is recorded as the
    operation's error and goes on its way. What is only known later (`outcome`, a billed cost) may be set after the
    block: the operation is sent again under the same id with a higher revision.
    """

    name: str
    kind: str
    fields: dict[str, Any]
    extra: dict[str, Any] | None
    """Attributes."""
    parent: Any
    """Until it begins what was given as parent; then the parent's span, or None."""
    trace: int | str
    """See `ids`: a number, or text when the trace began elsewhere."""
    span: int
    start_ns: int
    """By a steady clock; 0 before it begins."""
    started_ns: int
    """By the wall clock, since the epoch. Taken once: with its id it is what a server knows the operation by."""
    end_ns: int
    """0 until it ends."""
    token: Token[ActiveOperation | None] | None
    defaults: dict[str, Any] | None
    """Of the context it ended in."""

    __slots__ = (
        "defaults",
        "end_ns",
        "extra",
        "fields",
        "kind",
        "name",
        "parent",
        "span",
        "start_ns",
        "started_ns",
        "token",
        "trace",
    )

    def __enter__(self) -> Self:
        try:
            if self.start_ns:
                raise RuntimeError(f"operation {self.name!r} was entered before; make a new one each time")
            above = self.parent
            if above is None:
                above = current.get()
            if above is None:
                self.trace = self.span = next(numbers)
                if inherited is not None:
                    self.trace, self.parent = inherited
            elif isinstance(above, ActiveOperation):
                self.trace = above.trace
                self.span = next(numbers)
                self.parent = above.span
            else:
                self._continue(above)
            self.token = current.set(self)
        except Exception:
            guard.swallow("operation")
        self.started_ns = wall()
        self.start_ns = steady()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end_ns = steady()
        try:
            if error is not None:
                fail(self.fields, error)
            token = self.token
            if token is not None:
                self.token = None
                try:  # noqa: SIM105 - contextlib.suppress costs half a microsecond
                    current.reset(token)
                except ValueError:
                    pass  # ended in another context than it began in: this one never saw it
            self.defaults = around = defaults.get()
            recorder = default_recorder
            values = (
                self.name,
                self.kind,
                self.fields,
                self.extra,
                self.trace,
                self.span,
                self.parent,
                self.started_ns,
                self.start_ns,
                self.end_ns,
                around,
            )
            if len(recorder.queue) < recorder.limit:  # `Recorder.put`, spelled out: a call less
                recorder.append(values)
            else:
                recorder.put_slowly(values)
        except Exception:
            guard.swallow("operation")

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    # What is known of it

    def set(self, attributes: Mapping[str, Any] | None = None, /, **fields: Any) -> Self:
        """Fill fields of the operation (`model`, `user_id`, `feature`, …); other keywords become attributes.

        A mapping given first holds attributes only; it is the fastest way to set many.
        """
        if fields:
            self.fields.update(fields)
        if attributes is not None:
            try:
                if self.extra is None:
                    self.extra = dict(attributes)
                else:
                    self.extra.update(attributes)
            except Exception:
                guard.swallow("operation attributes")
        if self.end_ns:
            self._send_again()
        return self

    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        cache_write_1h_tokens: int | None = None,
        reasoning_tokens: int | None = None,
    ) -> Self:
        """What a call to a model consumed. Leave out what is not known.

        `input_tokens` counts all input, cached parts included; `output_tokens` all output, reasoning included.
        """
        fields = self.fields
        if input_tokens is not None:
            fields["input_tokens"] = input_tokens
        if output_tokens is not None:
            fields["output_tokens"] = output_tokens
        if cache_read_tokens is not None:
            fields["cache_read_tokens"] = cache_read_tokens
        if cache_write_tokens is not None:
            fields["cache_write_tokens"] = cache_write_tokens
        if cache_write_1h_tokens is not None:
            fields["cache_write_1h_tokens"] = cache_write_1h_tokens
        if reasoning_tokens is not None:
            fields["reasoning_tokens"] = reasoning_tokens
        if self.end_ns:
            self._send_again()
        return self

    def cost(self, *, reported_usd: Money | None = None, billed_usd: Money | None = None) -> Self:
        """What the call cost: as the client reckons (`reported_usd`), as the provider charged (`billed_usd`)."""
        if reported_usd is not None:
            self.fields["reported_usd"] = reported_usd
        if billed_usd is not None:
            self.fields["billed_usd"] = billed_usd
        if self.end_ns:
            self._send_again()
        return self

    def outcome(self, outcome: Outcome, *, value_usd: Money | None = None) -> Self:
        """What became of the result: accepted, rejected, reworked, failed or unknown; and what it was worth."""
        self.fields["outcome"] = outcome
        if value_usd is not None:
            self.fields["value_usd"] = value_usd
        if self.end_ns:
            self._send_again()
        return self

    def error(self, error: BaseException | str, *, http_status: int | None = None) -> Self:
        """Mark it as failed without an exception leaving the block, such as a handled one or an error answer."""
        try:
            if isinstance(error, str):
                self.fields.update(status="error", error_type=error)
            else:
                fail(self.fields, error)
            if http_status is not None:
                self.fields["http_status"] = http_status
            if self.end_ns:
                self._send_again()
        except Exception:
            guard.swallow("operation error")
        return self

    def first_token(self) -> Self:
        """The first part of a streamed answer arrived now; later calls change nothing."""
        if self.start_ns and "ttft_ms" not in self.fields:
            self.fields["ttft_ms"] = (steady() - self.start_ns) / 1e6
        return self

    @property
    def attributes(self) -> dict[str, Any]:
        """Free-form attributes, to be written to while the operation runs."""
        if self.extra is None:
            self.extra = {}
        return self.extra

    @property
    def operation_id(self) -> str:
        """32 hex digits, once the block has begun; "" before."""
        return ids.trace_text(self.trace)[:16] + ids.span_text(self.span) if self.start_ns else ""

    @property
    def traceparent(self) -> str:
        """The W3C header that makes work in another process a child of this one; "" before the block has begun."""
        return f"00-{ids.trace_text(self.trace)}-{ids.span_text(self.span)}-01" if self.start_ns else ""

    def _continue(self, traceparent: str) -> None:
        """Become a child of an operation elsewhere; with a malformed header, begin a trace."""
        self.span = next(numbers)
        found = ids.parse_traceparent(traceparent)
        self.trace, self.parent = found or (self.span, None)

    def _send_again(self) -> None:
        """What was recorded has changed: a higher revision replaces it."""
        try:
            self.fields["revision"] = self.fields.get("revision", 0) + 1
            default_recorder.put(
                (
                    self.name,
                    self.kind,
                    self.fields,
                    self.extra,
                    self.trace,
                    self.span,
                    self.parent,
                    self.started_ns,
                    self.start_ns,
                    self.end_ns,
                    self.defaults,
                )
            )
        except Exception:
            guard.swallow("operation")


def fail(fields: dict[str, Any], error: BaseException) -> None:
    """Fill in what an exception says of the operation it ended: `status`, `error_type`, perhaps `http_status`."""
    kind = type(error)
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return
    fields["status"] = "cancelled" if kind.__name__ in _CANCELLED else "error"
    module = kind.__module__
    fields["error_type"] = kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
    status: Any = getattr(error, "status_code", None)
    if type(status) is int and 100 <= status <= 599:
        fields.setdefault("http_status", status)
    if default_recorder.error_messages:
        fields["exception.message"] = str(error)[:1000]


_new = object.__new__

if TYPE_CHECKING:

    def operation(
        name: str = "operation",
        kind: Kind = "task",
        attributes: Mapping[str, Any] | None = None,
        *,
        parent: ActiveOperation | str | None = None,
        **fields: Any,
    ) -> ActiveOperation:
        """An operation to run as a `with` block: `with operation("chat", kind="llm", model=…) as op:`.

        `kind` is llm, api, db, tool or task. Keywords that name a field of `Operation` fill it; others become
        attributes, beside those of `attributes`. `parent` is another operation or a W3C `traceparent`; by default
        the operation around this one.
        """
        ...

else:
    # Measured, for a call with ten keywords: 1.2 µs as a constructor with the signature above (the interpreter makes
    # two dicts of the keywords, and compares each of them twice with every named parameter), 0.4 µs like this.
    def operation(name="operation", kind="task", attributes=None, /, **fields):
        begun = _new(ActiveOperation)
        begun.name = name
        begun.kind = kind
        begun.fields = fields
        begun.start_ns = begun.end_ns = 0
        begun.parent = begun.extra = None
        if fields:
            if "parent" in fields:
                begun.parent = fields.pop("parent")
            if "attributes" in fields:
                attributes = fields.pop("attributes")
        if attributes is not None:
            try:
                begun.extra = dict(attributes)
            except Exception:
                guard.swallow("operation attributes")
        return begun
