"""Brings a telemetry file of an older version to the schema of this one: ordered steps, all in one transaction.

A step is written once and never changed: it says what was added between two versions, not what the schema is today. A
test holds that a file made by version 1 and upgraded has the same tables as a new one.
"""

from __future__ import annotations

import logging

import duckdb

from ralex_core.storage.schema import SCHEMA_VERSION

logger = logging.getLogger(__name__)

_RESOURCES = (
    *(
        f"alter table resource_samples add column {column}"
        for column in (
            "cores DOUBLE",
            "iowait_ratio DOUBLE",
            "steal_ratio DOUBLE",
            "busiest_core_ratio DOUBLE",
            "throttled_ratio DOUBLE",
            "throttled_s_per_s DOUBLE",
            "oom_kills BIGINT",
            "swap_total_bytes BIGINT",
            "open_files BIGINT",
            "open_files_limit BIGINT",
            "process_open_files_limit BIGINT",
        )
    ),
    "create table process_samples (sampled_at BIGINT, pid BIGINT, started_at BIGINT, name VARCHAR, processes BIGINT, "
    "cpu_ratio DOUBLE, rss_bytes BIGINT, threads BIGINT, open_files BIGINT, read_bytes_s DOUBLE, write_bytes_s DOUBLE)",
    "create table gpu_samples (sampled_at BIGINT, gpu VARCHAR, name VARCHAR, busy_ratio DOUBLE, "
    "memory_used_bytes BIGINT, memory_total_bytes BIGINT, temperature_c DOUBLE, power_w DOUBLE)",
    "create table resource_states (changed_at BIGINT, resource VARCHAR, level VARCHAR, previous VARCHAR, "
    "value DOUBLE, reason VARCHAR)",
)

STEPS: dict[int, tuple[str, ...]] = {2: _RESOURCES}
"""Version → the statements that lead to it from the version before."""


def upgrade(connection: duckdb.DuckDBPyConnection, version: int) -> None:
    """Take a file from `version` to `SCHEMA_VERSION`, whole or not at all.

    Raises:
        duckdb.Error: a step failed; the file is as it was.
    """
    connection.execute("begin")
    try:
        for step in range(version + 1, SCHEMA_VERSION + 1):
            for statement in STEPS[step]:
                connection.execute(statement)
        connection.execute(
            "update meta set value = $version where key = 'schema_version'", {"version": str(SCHEMA_VERSION)}
        )
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise
    logger.info("The telemetry store was upgraded from schema %d to %d.", version, SCHEMA_VERSION)
