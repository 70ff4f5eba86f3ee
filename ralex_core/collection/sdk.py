"""The in-process SDK: `operation`, `track`, `record` and what goes with them. See docs/sdk.md.

Nothing here raises into the host program, waits for a server, or slows it noticeably.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ralex_core.collection import active
from ralex_core.collection.active import ActiveOperation, current, defaults, operation
from ralex_core.collection.destination import Choice
from ralex_core.collection.guard import guard
from ralex_core.collection.recorder import FLUSH_INTERVAL_S, QUEUE_OPERATIONS, Recorder, Stats
from ralex_core.collection.tracking import track

MAX_QUEUE = 100_000_000
MAX_FLUSH_INTERVAL_S = 3600.0

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ralex_core.collection.sinks import Sink
    from ralex_core.model.operation import Kind, Operation

__all__ = [
    "ActiveOperation",
    "Recorder",
    "Stats",
    "annotate",
    "configure",
    "current_operation",
    "defaults_for",
    "flush",
    "operation",
    "record",
    "set_defaults",
    "set_session",
    "set_user",
    "shutdown",
    "stats",
    "track",
]


def record(
    name: str,
    kind: Kind = "task",
    attributes: Mapping[str, Any] | None = None,
    *,
    started_at: datetime | int | None = None,
    duration_ms: float | None = None,
    error: BaseException | str | None = None,
    parent: ActiveOperation | str | None = None,
    **fields: Any,
) -> ActiveOperation:
    """Record work that is already finished.

    `started_at` is a datetime with a time zone, or UTC microseconds since the epoch; by default `duration_ms` before
    now. Without `duration_ms` the duration is unknown. What is learned later may be set on what this returns.
    """
    finished = operation(name, kind, attributes, parent=parent, **fields)
    try:
        fields = finished.fields
        fields["duration_ms"] = duration_ms
        if started_at is not None:
            fields["started_at"] = _microseconds(started_at)
        elapsed_ns = int((duration_ms or 0) * 1e6)
    except Exception:
        guard.swallow("record")
        return finished
    with finished:
        finished.start_ns -= elapsed_ns
        finished.started_ns -= elapsed_ns
        if error is not None:
            finished.error(error)
    return finished


def _microseconds(moment: datetime | int) -> int:
    if isinstance(moment, int):
        return moment
    if moment.tzinfo is None:
        raise ValueError(f"started_at {moment} names no time zone; use datetime.now(UTC) or an aware datetime")
    from datetime import UTC, datetime, timedelta

    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def current_operation() -> ActiveOperation | None:
    """The operation around the running code, if any."""
    return current.get()


def annotate(**fields: Any) -> None:
    """Set fields and attributes of the operation around the running code; without one, nothing happens."""
    around = current.get()
    if around is not None:
        around.set(**fields)


def set_defaults(**fields: Any) -> None:
    """Fields and attributes of every operation that ends from here on in this context (thread or asyncio task)."""
    defaults.set({**(defaults.get() or {}), **fields})


def set_user(user_id: str | None) -> None:
    """Whose work follows in this context."""
    set_defaults(user_id=user_id)


def set_session(session_id: str | None) -> None:
    """Which session's work follows in this context."""
    set_defaults(session_id=session_id)


@contextmanager
def defaults_for(**fields: Any) -> Generator[None]:
    """`set_defaults` for the operations that end inside the block."""
    before = defaults.get()
    defaults.set({**(before or {}), **fields})
    try:
        yield
    finally:
        defaults.set(before)


def configure(
    endpoint: str | None = None,
    *,
    token: str | None = None,
    service: str | None = None,
    project: str | None = None,
    client: str | None = None,
    user_id: str | None = None,
    session_id: str | None = None,
    feature: str | None = None,
    workflow: str | None = None,
    sink: Sink | Callable[[list[Operation]], object] | None = None,
    spool_dir: Path | None = None,
    spool_mb: float | None = None,
    queue_operations: int = QUEUE_OPERATIONS,
    flush_interval_s: float = FLUSH_INTERVAL_S,
    error_messages: bool = False,
    enabled: bool = True,
    raise_errors: bool | None = None,
) -> None:
    """Say where operations go and what is the same for all of them. Optional: the environment says the rest.

    Args:
        endpoint: The monitor's address; `RALEX_MONITOR_ENDPOINT`, else where the server of `RALEX_MONITOR_HOME` says
            in its `server.json` that it runs, else http://127.0.0.1:8000.
        token: Its bearer token; `RALEX_MONITOR_TOKEN`.
        service: And `project` … `workflow`: fields of every operation; `RALEX_MONITOR_SERVICE`, `_PROJECT`,
            `_CLIENT`, `_USER`, `_SESSION`.
        sink: Instead of a server: a `Sink`, or a callable that takes a list of `Operation` in this process.
        spool_dir: Where undelivered operations wait; `spool` in `RALEX_MONITOR_HOME` (~/.ralex-monitor).
        spool_mb: Its bound; `RALEX_MONITOR_SPOOL_MB`, else 128. 0 keeps nothing on disk.
        queue_operations: How many may wait in memory; more are dropped and counted.
        flush_interval_s: How long one waits there; what a killed process can lose.
        error_messages: Keep the text of exceptions too, not only their type. It may quote what users wrote.
        enabled: False records nothing; so does `RALEX_MONITOR_SDK=off`.
        raise_errors: True raises the SDK's own errors (misuse above all) into the caller, False never; the default
            raises under pytest only.

    A value that is wrong is said on stderr, once, and repaired or replaced by the default; nothing is lost by it.
    What was recorded before goes where it was meant to go.
    """
    guard.raise_errors = raise_errors
    try:
        names = {
            "service": service,
            "project": project,
            "client": client,
            "user_id": user_id,
            "session_id": session_id,
            "feature": feature,
            "workflow": workflow,
        }
        from ralex_core.collection.sdk_settings import number_of, switch_of

        choice = Choice(endpoint, token, sink, spool_dir, spool_mb, names)
        before = active.default_recorder
        active.default_recorder = Recorder(
            choice.open,
            queue_operations=int(
                number_of(queue_operations, "queue_operations", QUEUE_OPERATIONS, least=1, most=MAX_QUEUE)
            ),
            flush_interval_s=number_of(
                flush_interval_s, "flush_interval_s", FLUSH_INTERVAL_S, least=0.001, most=MAX_FLUSH_INTERVAL_S
            ),
            error_messages=switch_of(error_messages, "error_messages", default=False),
            enabled=switch_of(enabled, "enabled", default=True),
        )
        before.close(timeout_s=0)
    except Exception:
        guard.swallow("configure")


def flush(timeout_s: float = 10.0) -> bool:
    """Deliver everything recorded so far; returns whether all of it was. The only call here that waits."""
    return active.default_recorder.flush(timeout_s)


def stats() -> Stats:
    """What became of the operations recorded in this process."""
    return active.default_recorder.stats()


def shutdown(timeout_s: float = 2.0) -> None:
    """Deliver what is possible in time, leave the rest in the spool, record no more. Runs by itself at exit."""
    active.default_recorder.close(timeout_s)
