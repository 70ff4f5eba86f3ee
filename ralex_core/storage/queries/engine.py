"""What the store's engine says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from ralex_core.storage.telemetry import Store


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """Memory the engine holds, and what it moved to disk for want of memory."""

    used_bytes: int
    spilled_bytes: int


def engine_memory(store: Store) -> EngineMemory:
    """DuckDB's buffers over all its databases; about a millisecond."""
    used, spilled = store.query(
        "select coalesce(sum(memory_usage_bytes), 0)::BIGINT, coalesce(sum(temporary_storage_bytes), 0)::BIGINT "
        "from duckdb_memory()"
    )[0]
    return EngineMemory(used, spilled)
