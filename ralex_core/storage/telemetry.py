"""The `Store` protocol: what every telemetry store promises.

- `write` is atomic and durable: when it returns, the batch survives `kill -9`; when it raises, none of it is stored.
- An `operation_id` is one operation, whatever its `started_at` says: sending it again changes nothing, unless it
  carries a higher `revision`; then it takes the place of what was stored, at its own time.
- One thread writes (the `BatchWriter`); any thread reads, each sees whole commits only.
- Rollups agree with the operations as of the last `refresh_rollups`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from ralex_core.model.operation import Operation, Pricing


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What a write did. `inserted + replaced + duplicates + expired` is the number of operations given."""

    inserted: int
    replaced: int
    duplicates: int
    replaced_ids: frozenset[str] = frozenset()
    duplicate_ids: frozenset[str] = frozenset()
    """Ids that were stored before and changed nothing."""
    expired: int = 0
    """Operations whose highest revision started before what retention has deleted; they were not taken."""
    expired_ids: frozenset[str] = frozenset()
    stored: Sequence[Operation] = field(default=(), compare=False, repr=False)
    """What is stored now and was not before: one operation an id."""


@dataclass(frozen=True, slots=True)
class RetentionState:
    """How far retention has come."""

    believed_us: int
    """What it goes by; at most what the clock says."""
    floor_us: int
    """Operations that started before this are not taken; 0: there are none."""
    doubt: str | None
    """Why it is postponed; None when there is no reason to doubt the clock."""


class ResourceSample(NamedTuple):
    """One reading of host or process resources. Unknown is None; rates are per second since the reading before."""

    sampled_at: int
    """UTC microseconds since the epoch."""
    cpu_ratio: float
    """Host CPU in use, 0–1 over all cores."""
    load_1m: float | None
    memory_used_bytes: int
    memory_total_bytes: int
    swap_used_bytes: int | None
    disk_used_bytes: int
    disk_total_bytes: int
    disk_read_bytes_s: float | None
    disk_write_bytes_s: float | None
    net_received_bytes_s: float | None
    net_sent_bytes_s: float | None
    process_cpu_ratio: float
    """This process, in cores (1.0 is one core busy)."""
    process_rss_bytes: int
    process_open_files: int | None
    process_threads: int
    cores: float | None = None
    """How many cores may be busy at once: the machine's, or what a container is allowed."""
    iowait_ratio: float | None = None
    """Core time spent idle while a disk was waited for, 0–1 over all cores."""
    steal_ratio: float | None = None
    """Core time the hypervisor gave to other machines, 0–1 over all cores."""
    busiest_core_ratio: float | None = None
    """CPU in use of the busiest core, 0–1: work that uses one core only shows here."""
    throttled_ratio: float | None = None
    """Share of the scheduler's periods in which the container used up its CPU quota; None without a quota."""
    throttled_s_per_s: float | None = None
    """Seconds its threads were held back per second, over all cores."""
    oom_kills: int | None = None
    """Processes of the container that were killed for want of memory since the reading before."""
    swap_total_bytes: int | None = None
    open_files: int | None = None
    """Open files of the whole machine."""
    open_files_limit: int | None = None
    process_open_files_limit: int | None = None


class ProcessSample(NamedTuple):
    """One reading of a watched process with all its descendants. Unknown is None; rates are per second."""

    sampled_at: int
    pid: int
    started_at: int
    """When the process started, UTC microseconds: tells it from a later one with the same pid."""
    name: str
    """What it is watched as, such as `claude`. Never its command line, which may hold a prompt."""
    processes: int
    """Itself and its descendants."""
    cpu_ratio: float | None
    """In cores (1.0 is one core busy), short-lived children included; None in the first reading."""
    rss_bytes: int
    """Memory that several of them share counts for each."""
    threads: int
    open_files: int | None
    read_bytes_s: float | None
    write_bytes_s: float | None


class GpuSample(NamedTuple):
    """One reading of one GPU. Unknown is None."""

    sampled_at: int
    gpu: str
    """Its place in the machine, such as `nvidia0`."""
    name: str
    busy_ratio: float | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    temperature_c: float | None
    power_w: float | None


class StateChange(NamedTuple):
    """A resource went from one level to another (see `monitoring.resource_states`)."""

    changed_at: int
    resource: str
    level: str
    previous: str
    value: float | None
    reason: str


ResourceRecord = ResourceSample | ProcessSample | GpuSample | StateChange


class Amendment(NamedTuple):
    """What became known later about a stored operation. None leaves the field as it is."""

    operation_id: str
    outcome: str | None = None
    value_usd: Decimal | None = None
    accept_claim: bool = False
    """Take the quarantined claim back into the totals."""


class Revalued(NamedTuple):
    """A stored operation whose usage, bill or price was corrected."""

    before: Operation
    after: Operation


REVALUED_FIELDS = frozenset(
    (
        *("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
        *("output_tokens", "reasoning_tokens", "billed_usd", *Pricing._fields),
    )
)
"""What `Store.revalue` may change; everything else of an operation is what its sender said."""


class Store(Protocol):
    """A telemetry store. Rows of `query` are tuples in the order of the SQL's columns."""

    def write(self, operations: Sequence[Operation]) -> WriteResult: ...

    def write_resources(self, samples: Sequence[ResourceRecord]) -> None:
        """Store samples and changes of state; each kind goes into its own table."""
        ...

    def amend(self, amendments: Sequence[Amendment]) -> int:
        """Apply what became known later; returns how many stored operations changed."""
        ...

    def revalue(self, ids: Sequence[str], change: Callable[[Operation], Operation]) -> list[Revalued]:
        """Correct stored operations in one transaction.

        `change` gets each as it is stored then, and may answer it with other `REVALUED_FIELDS`. Returns those that it
        changed. Their revision stays: what is sent again meanwhile changes as much as it did before.

        Raises:
            ValueError: `change` touched another field; nothing was stored.
        """
        ...

    def refresh_rollups(self, *, coarse: bool = True) -> int:
        """Bring the rollups up to the last commit; returns the number of buckets recomputed.

        With `coarse=False` only the minutes: hours and days wait, and `coarse_until_us` says from where on.
        """
        ...

    def fold_log(self) -> bool:
        """Fold the write-ahead log into the file when it has grown: it is held in memory until then. Whether it was."""
        ...

    def apply_retention(self, now_us: int) -> int:
        """Delete what is older than the settings keep; returns deleted operations.

        `now_us` is a reading of the clock; it is compared with earlier ones, and what is deleted is kept for a week.
        """
        ...

    @property
    def log_trouble(self) -> str | None:
        """What was found wrong with the write-ahead log when the store was opened; None when nothing was."""
        ...

    def retention_state(self) -> RetentionState:
        """How far retention has come, and whether the clock is doubted."""
        ...

    @property
    def minute_floor_us(self) -> int:
        """From here on the per-minute rollups are complete."""
        ...

    @property
    def coarse_until_us(self) -> int:
        """From here on (and where there are minutes) hour and day rollups may be behind: minutes answer instead."""
        ...

    @property
    def needs_coarse(self) -> bool:
        """Whether hours are behind that have no minutes to answer for them."""
        ...

    def query(self, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]: ...

    def close(self) -> None: ...
