"""What could be wrong with the monitor itself, judged from its own figures. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ralex_core.dashboard.contexts.monitor import CheckStatus, SelfCheck
from ralex_core.render import UNKNOWN, count, duration, percent, size

OLDEST_WAIT_S = 5.0
"""Senders wait for their acknowledgement this long at most before it is told."""
SLOW_COMMIT_S = 1.0
ROLLUP_LAG_S = 300.0
"""Hours and days catch up every 30 seconds; under load less often, but not this rarely."""
LIVE_LAG_S = 2.0
DISK_LOW = 0.05
DISK_LOW_BYTES = 1_000_000_000
DISK_OUT_BYTES = 200_000_000
MEMORY_BYTES = 1_500_000_000
"""The store's ceiling of 1 GB, and what everything else can need."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The figures the checks look at. None is not known; `lately` is the last quarter of an hour."""

    not_ready: str | None
    waiting: int
    queue_limit: int
    oldest_wait_s: float
    commit_p95_s: float | None
    failed_lately: int
    """Batches that could not be stored."""
    refused_lately: int
    """Operations refused because the queue was full."""
    rollup_lag_s: float
    live_lag_p95_s: float | None
    disk_free_bytes: int | None
    disk_total_bytes: int | None
    resident_bytes: int
    renamed_lately: int
    """Operations stored as `(other)`, because their name was one too many of its kind."""
    max_names: int
    clock_doubt: str | None = None
    """Why retention does not believe the clock."""
    expired_lately: int = 0
    """Operations not stored, because they are older than what is kept."""
    kept_from: str | None = None
    """Operations that started before this are not taken; None: all are."""
    log_trouble: str | None = None
    """What was found wrong with the store's write-ahead log at the start."""


def self_checks(levels: Levels) -> list[SelfCheck]:
    """Every check, in a fixed order, those that are fine included."""
    return [
        _store(levels),
        _queue(levels),
        _commits(levels),
        _rollups(levels),
        _live(levels),
        _disk(levels),
        _memory(levels),
        _names(levels),
        _clock(levels),
        _kept(levels),
        _log(levels),
    ]


def reason(checks: Sequence[SelfCheck]) -> str | None:
    """What is wrong, worst first, in one or two sentences; None when nothing is."""
    wrong = [check.sentence for status in ("bad", "warn") for check in checks if check.status == status]
    return " ".join(wrong[:2]) or None


def _store(levels: Levels) -> SelfCheck:
    if levels.not_ready is not None:
        return SelfCheck("store", "Store", "bad", "does not answer", levels.not_ready)
    if levels.failed_lately:
        batches = "A batch" if levels.failed_lately == 1 else f"{count(levels.failed_lately)} batches"
        sentence = f"{batches} could not be stored in the last quarter of an hour; the log says why."
        return SelfCheck("store", "Store", "bad", f"{count(levels.failed_lately)} failed", sentence)
    return SelfCheck("store", "Store", "ok", "answers", "The telemetry store answers.")


def _queue(levels: Levels) -> SelfCheck:
    value = f"{count(levels.waiting)} of {count(levels.queue_limit)}"
    if levels.refused_lately:
        sentence = (
            f"{count(levels.refused_lately)} operations were refused lately because the queue was full; "
            "their senders were told to send again."
        )
        return SelfCheck("queue", "Queue", "warn", value, sentence)
    if levels.waiting > levels.queue_limit // 2 or levels.oldest_wait_s > OLDEST_WAIT_S:
        sentence = (
            f"{levels.waiting:,} operations wait for a commit, the first for {duration(levels.oldest_wait_s * 1000)}; "
            "the disk is slower than what comes in."
        )
        return SelfCheck("queue", "Queue", "warn", value, sentence)
    return SelfCheck("queue", "Queue", "ok", value, "What comes in is stored at once.")


def _commits(levels: Levels) -> SelfCheck:
    p95 = levels.commit_p95_s
    if p95 is None:
        return SelfCheck("commits", "Commits", "ok", UNKNOWN, "Nothing was stored lately.")
    value = f"p95 {duration(p95 * 1000)}"
    if p95 > SLOW_COMMIT_S:
        sentence = f"Commits take {duration(p95 * 1000)} (p95), slower than {SLOW_COMMIT_S:g} s; the disk is busy."
        return SelfCheck("commits", "Commits", "warn", value, sentence)
    return SelfCheck("commits", "Commits", "ok", value, "Commits are quick.")


def _rollups(levels: Levels) -> SelfCheck:
    value = duration(levels.rollup_lag_s * 1000)
    if levels.rollup_lag_s > ROLLUP_LAG_S:
        sentence = f"Rollups are {value} behind, so long ranges are slow to answer; they stay exact."
        return SelfCheck("rollups", "Rollups", "warn", f"{value} behind", sentence)
    told = f"{value} behind" if levels.rollup_lag_s >= 1 else "up to date"
    return SelfCheck("rollups", "Rollups", "ok", told, "Rollups keep up with the operations.")


def _live(levels: Levels) -> SelfCheck:
    lag = levels.live_lag_p95_s
    if lag is None:
        return SelfCheck("live", "Live view", "ok", UNKNOWN, "Nobody was watching lately, or nothing happened.")
    value = f"p95 {duration(lag * 1000)}"
    if lag > LIVE_LAG_S:
        return SelfCheck("live", "Live view", "warn", value, f"Live pages are told {duration(lag * 1000)} late (p95).")
    return SelfCheck("live", "Live view", "ok", value, "Live pages hear of a commit within a moment.")


def _disk(levels: Levels) -> SelfCheck:
    free, total = levels.disk_free_bytes, levels.disk_total_bytes
    if free is None or not total:
        return SelfCheck("disk", "Disk", "unknown", UNKNOWN, "The free space of the disk is not known.")
    value = f"{size(free)} free"
    status: CheckStatus = "ok"
    if free < DISK_OUT_BYTES:
        status = "bad"
    elif free < DISK_LOW_BYTES or free / total < DISK_LOW:
        status = "warn"
    if status == "ok":
        return SelfCheck("disk", "Disk", "ok", value, f"{percent(free / total)} of the disk is free.")
    sentence = (
        f"Only {size(free)} of the disk is free ({percent(free / total)}): free some room, or set retention_days."
    )
    return SelfCheck("disk", "Disk", status, value, sentence)


def _memory(levels: Levels) -> SelfCheck:
    value = size(levels.resident_bytes)
    if levels.resident_bytes > MEMORY_BYTES:
        sentence = f"The monitor uses {value} of memory, more than it should; a restart gives it back."
        return SelfCheck("memory", "Memory", "warn", value, sentence)
    return SelfCheck("memory", "Memory", "ok", value, "The monitor's memory is within its bounds.")


def _names(levels: Levels) -> SelfCheck:
    if not levels.renamed_lately:
        return SelfCheck("names", "Names", "ok", "all kept apart", "Every operation has its own name.")
    sentence = (
        f"{count(levels.renamed_lately)} operations were stored under the name (other) in the last quarter of an hour: "
        f"their kind has more than {levels.max_names:,} names. Name them without ids in them, or raise max_names."
    )
    return SelfCheck("names", "Names", "warn", f"{count(levels.renamed_lately)} renamed", sentence)


def _clock(levels: Levels) -> SelfCheck:
    if levels.clock_doubt is not None:
        return SelfCheck("clock", "Clock", "warn", "jumped", levels.clock_doubt)
    return SelfCheck("clock", "Clock", "ok", "steady", "The clock agrees with what it said before.")


def _kept(levels: Levels) -> SelfCheck:
    since = f"since {levels.kept_from[:10]}" if levels.kept_from else "everything"
    if levels.expired_lately:
        sentence = (
            f"{count(levels.expired_lately)} operations were not stored in the last quarter of an hour: they started "
            f"before {levels.kept_from}, from when on operations are kept. Their senders were told. Check the senders' "
            "clocks, or raise retention_days."
        )
        return SelfCheck("kept", "Kept", "warn", f"{count(levels.expired_lately)} too old", sentence)
    return SelfCheck("kept", "Kept", "ok", since, "Nothing that came in was too old to be kept.")


def _log(levels: Levels) -> SelfCheck:
    if levels.log_trouble is not None:
        return SelfCheck("log", "Write-ahead log", "warn", "was damaged", levels.log_trouble)
    return SelfCheck("log", "Write-ahead log", "ok", "whole", "The store's write-ahead log was whole at the start.")
