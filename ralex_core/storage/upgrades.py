"""Brings a telemetry file of an older version to the schema of this one: ordered steps, all in one transaction.

A step is written once and never changed: it says what was added between two versions, not what the schema is today. A
test holds that a file made by version 1 and upgraded has the same tables as a new one.
"""

from __future__ import annotations

import logging

import duckdb

from ralex_core.storage.schema import HASH_CHECK, ID_HASH, SCHEMA_VERSION, TRACE_HASH

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

_MEASURES_3 = (
    "operations BIGINT, errors BIGINT, billable BIGINT, priced BIGINT, successes BIGINT, basis_billed BIGINT, "
    "basis_computed BIGINT, basis_reported BIGINT, input_tokens BIGINT, cache_read_tokens BIGINT, "
    "cache_write_tokens BIGINT, output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(38,18), "
    "reported_usd DECIMAL(38,18), computed_usd DECIMAL(38,18), billed_usd DECIMAL(38,18), quarantined BIGINT, "
    "quarantined_usd DECIMAL(38,18), baseline_success_usd DECIMAL(38,18), value_usd DECIMAL(38,18), "
    "drift_reported_usd DECIMAL(38,18), drift_billed_usd DECIMAL(38,18), duration_ms DOUBLE, timed BIGINT, "
    "ttft_ms DOUBLE, ttft_timed BIGINT"
)
_CALLS = (
    *(
        f"create table {table}_{grain} (bucket BIGINT, {columns})"
        for grain in ("hour", "day")
        for table, columns in (
            (
                "rollup_call",
                f"kind VARCHAR, name VARCHAR, project VARCHAR, model VARCHAR, tier VARCHAR, {_MEASURES_3}",
            ),
            ("rollup_user_name", f"kind VARCHAR, name VARCHAR, user_id VARCHAR, {_MEASURES_3}"),
            (
                "latency_call",
                "kind VARCHAR, name VARCHAR, project VARCHAR, model VARCHAR, tier VARCHAR, bin SMALLINT, n BIGINT",
            ),
        )
    ),
    "alter table operations add column id_hash UINTEGER",
    "alter table operations add column trace_hash UINTEGER",
    "create or replace view operations_view as select make_timestamp(started_at) as started_at_utc, "
    "* exclude (duration_bin, id_hash, trace_hash) from operations",
    "insert into dirty select distinct 'hour', started_at // 3600000000 * 3600000000 from operations "
    "where started_at >= coalesce((select value::BIGINT from meta where key = 'retention_floor'), 0)",
)

_COST_BIN = (
    "alter table operations add column cost_bin SMALLINT",
    "update operations set cost_bin = case when cost_usd is null or cost_usd <= 0 then -32768 "
    "else greatest(-32767, least(32767, ceil(ln(cost_usd::DOUBLE) * 50.4983497918439))) end",
    "create or replace view operations_view as select make_timestamp(started_at) as started_at_utc, "
    "* exclude (duration_bin, id_hash, trace_hash, cost_bin) from operations",
)

STEPS: dict[int, tuple[str, ...]] = {2: _RESOURCES, 3: _CALLS, 4: _COST_BIN}
"""Version → the statements that lead to it from the version before."""


def upgrade(connection: duckdb.DuckDBPyConnection, version: int) -> None:
    """Take a file from `version` to `SCHEMA_VERSION`, whole or not at all. Rollups may be behind afterwards.

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


def rehash(connection: duckdb.DuckDBPyConnection) -> None:
    """Fill the hashes of ids where DuckDB hashes otherwise than when the file was written, or nothing is hashed yet."""
    known = connection.execute("select value from meta where key = 'hash_check'").fetchall()
    if known == connection.execute(f"select {HASH_CHECK}").fetchall():
        return
    connection.execute("begin")
    try:
        connection.execute(f"update operations set id_hash = {ID_HASH}, trace_hash = {TRACE_HASH}")
        connection.execute(f"insert or replace into meta values ('hash_check', {HASH_CHECK})")
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise
