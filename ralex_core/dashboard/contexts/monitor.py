"""The page about the monitor itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CheckStatus = Literal["ok", "warn", "bad", "unknown"]


@dataclass(frozen=True, slots=True)
class HealthReason:
    """Why the monitor cannot take data, or not all of it. `advice` says what to do."""

    code: str
    """decoder_stuck, writer_stuck, store_stuck, writer_dead, disk_full, store_refuses, store_unavailable,
    state_unwritable or queue_full."""
    sentence: str
    advice: str
    since_at: str
    since_us: int
    restart: bool
    """Whether only a restart helps: `/healthz` answers 503 for these."""


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """One thing that could be wrong with the monitor. `sentence` says how it is, and what to do unless it is fine."""

    key: str
    title: str
    status: CheckStatus
    value: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Timing:
    """How long something took. Percentiles are within 7 %; None when it never happened.

    Figures named `recent` are of the last five to ten minutes, the others of this run of the process.
    """

    count: int
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    max_ms: float | None
    total_s: float
    recent_count: int
    recent_p95_ms: float | None
    recent_per_minute: float


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many at a time."""

    count: int
    mean: float | None
    p50: int | None
    p95: int | None
    max: int | None


@dataclass(frozen=True, slots=True)
class QueueView:
    """Operations that wait for a commit."""

    operations: int
    limit: int
    oldest_wait_s: float


@dataclass(frozen=True, slots=True)
class WritingView:
    """From the queue into the store. Counts are of this run of the process."""

    commits: Timing
    batch_operations: Amounts
    failures: int
    stored: int
    replaced: int
    duplicates: int
    rollups: Timing
    rollup_lag_s: float
    """How long something is committed that the rollups do not tell of yet; questions read the operations meanwhile."""


@dataclass(frozen=True, slots=True)
class NamedTiming:
    """Queries of one question."""

    name: str
    timing: Timing


@dataclass(frozen=True, slots=True)
class RouteTiming:
    """Requests of one method and route template."""

    method: str
    route: str
    timing: Timing
    client_errors: int
    """Answers with a status from 400 to 499."""
    server_errors: int


@dataclass(frozen=True, slots=True)
class LiveView:
    """`/ws/monitoring`. `lag` is from the commit until the message is handed to its clients."""

    clients: int
    messages: int
    replaced: int
    refused: int
    lag: Timing


@dataclass(frozen=True, slots=True)
class GatewayView:
    """Calls to models that go through the monitor."""

    calls: int
    """Since the start."""
    in_flight: int
    refused: int
    spooled: int
    """Since the start, because the store did not take them."""
    in_spool: int
    lost: int


@dataclass(frozen=True, slots=True)
class ImportsView:
    """Importers and the follower of logs."""

    running: int
    queued: int
    done: int
    failed: int
    files: int
    """Logs that were read so far, by any run."""
    followed: int
    last_read_at: str | None
    follower_errors: int


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that was not taken, or not shown, and how often."""

    key: str
    title: str
    count: int


@dataclass(frozen=True, slots=True)
class PricesView:
    """The price book. `version` is None until the first billable operation needs the price list."""

    version: str | None
    models: int
    overrides: int


@dataclass(frozen=True, slots=True)
class FileView:
    key: str
    title: str
    bytes: int


@dataclass(frozen=True, slots=True)
class MemoryView:
    """`engine` figures are DuckDB's own; its limit is a ceiling, and beyond it it writes to disk (`spilled`)."""

    resident_bytes: int
    engine_bytes: int | None
    engine_spilled_bytes: int | None
    python_blocks: int
    """Blocks of memory Python has given out: a number that keeps growing is a leak."""


@dataclass(frozen=True, slots=True)
class ThreadView:
    """Threads of one name. `cpu_ratio` is of the last minute, in cores; None at first."""

    name: str
    threads: int
    cpu_s: float
    cpu_ratio: float | None


@dataclass(frozen=True, slots=True)
class LogLine:
    """A warning or error the monitor logged; credentials are taken out."""

    at: str
    at_us: int
    level: str
    logger: str
    message: str


@dataclass(frozen=True, slots=True)
class SelfHistory:
    """The last quarter of an hour, a point every ten seconds; rates are None at the first."""

    starts: list[int]
    cpu_ratio: list[float | None]
    resident_bytes: list[float | None]
    queue_operations: list[float | None]
    stored_per_s: list[float | None]
    commit_ms: list[float | None]
    """Mean of the commits in between; None when there was none."""
    requests_per_s: list[float | None]


@dataclass(frozen=True, slots=True)
class MonitorView:
    """Everything the monitor knows of itself."""

    generated_at: str
    status: Literal["ok", "degraded"]
    sentence: str
    version: str
    python: str
    started_at: str
    started_us: int
    uptime_s: float
    cpu_ratio: float | None
    """Of the last minute, in cores."""
    disk_free_bytes: int | None
    disk_total_bytes: int | None
    checks: list[SelfCheck]
    reasons: list[HealthReason]
    """Why data cannot be taken now; `/readyz` tells the same."""
    queue: QueueView
    writing: WritingView
    questions: list[NamedTiming]
    routes: list[RouteTiming]
    live: LiveView
    imports: ImportsView
    gateway: GatewayView
    losses: list[Loss]
    prices: PricesView
    files: list[FileView]
    memory: MemoryView
    threads: list[ThreadView]
    warnings_logged: int
    errors_logged: int
    log: list[LogLine]
    history: SelfHistory
