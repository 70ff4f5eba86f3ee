"""How much memory DuckDB may use, and how large the log may grow that is in memory until it is folded into the file."""

from __future__ import annotations

from pathlib import Path

import psutil

MIB = 1 << 20
LEAST_MB = 64
"""With less, DuckDB may not be able to fold its log into the file any more."""
DEFAULT_MIN_MB, DEFAULT_MAX_MB = 128, 512
SHARE = 8
"""A monitor beside other work takes no more than one part in so many of the memory there is."""
SPILL_PER_MEMORY = 8
"""What questions may spill to disk together, as a multiple of the memory: commits need the disk more."""
LOG_PER_MEMORY = 4
"""What is in the write-ahead log is in memory as well, in a little more room, until it is folded into the file."""
LOG_MAX_MB = 128
"""At DuckDB's own 16 MB, folding comes every second under load and costs a third of all writing; a killed process reads
this much back in about a second."""
QUIET_LOG_BYTES = 16 * MIB
"""While nobody waits for a commit, the log is folded from this size on: a live demo held 145 MB for it before."""


def default_memory_mb(available_bytes: int | None = None) -> int:
    """MiB for the engine of a machine, or of a container, with this much memory; by default this machine's."""
    available = psutil.virtual_memory().total if available_bytes is None else available_bytes
    return min(DEFAULT_MAX_MB, max(DEFAULT_MIN_MB, available // SHARE // MIB))


def memory_settings(path: Path, memory_mb: int) -> dict[str, str]:
    """DuckDB's settings for a database file at `path`. What does not fit goes to a directory beside the file, which
    DuckDB removes when it is no longer needed."""
    return {
        "memory_limit": f"{memory_mb}MiB",
        "temp_directory": f"{path}.tmp",
        "max_temp_directory_size": f"{memory_mb * SPILL_PER_MEMORY}MiB",
        "wal_autocheckpoint": f"{min(LOG_MAX_MB, memory_mb // LOG_PER_MEMORY)}MiB",
    }
