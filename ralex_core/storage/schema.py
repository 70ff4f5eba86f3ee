"""The telemetry schema: tables, column types, and the measures every rollup and every question is made of.

`started_at` is a BIGINT of UTC microseconds: it needs no conversion on the way in, no time zone on the way out, and
buckets by integer division. `operations_view` gives the timestamp to people who open the file by hand.
"""

from __future__ import annotations

from typing import NamedTuple

from ralex_core.model.operation import UNSUCCESSFUL_OUTCOMES, Operation
from ralex_core.stats.quantiles import ZERO_BIN, bin_sql, positive_bin_sql

SCHEMA_VERSION = 4
"""Raise it together with a step in `storage.upgrades`, which brings older files here."""

MONEY = "DECIMAL(38,18)"

COLUMN_TYPES: dict[str, str] = dict.fromkeys(Operation._fields, "VARCHAR") | {
    "started_at": "BIGINT",
    "duration_ms": "DOUBLE",
    "ttft_ms": "DOUBLE",
    "http_status": "INTEGER",
    "attempt": "INTEGER",
    "input_tokens": "BIGINT",
    "cache_read_tokens": "BIGINT",
    "cache_write_tokens": "BIGINT",
    "cache_write_1h_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "reasoning_tokens": "BIGINT",
    "reported_usd": MONEY,
    "billed_usd": MONEY,
    "computed_usd": MONEY,
    "cost_usd": MONEY,
    "baseline_usd": MONEY,
    "value_usd": MONEY,
    "revision": "BIGINT",
}

MONEY_COLUMNS = frozenset(name for name, kind in COLUMN_TYPES.items() if kind == MONEY)

DURATION_BIN = bin_sql("duration_ms")
UNKNOWN_COST_BIN = f"({ZERO_BIN})::SMALLINT"
COST_BIN = f"coalesce({positive_bin_sql('cost_usd::DOUBLE')}, {UNKNOWN_COST_BIN})"
"""What is not known is in the bin of 0: a column without nulls is looked through in a fifth of the time of one with."""


def id_hash(expression: str) -> str:
    """SQL of what is kept beside ids: four bytes a row are looked through in a tenth of the time that ids take."""
    return f"(hash({expression}) & 4294967295)::UINTEGER"


ID_HASH = id_hash("operation_id")
TRACE_HASH = id_hash("trace_id")
HASH_CHECK = "hash('operation_id')::VARCHAR"
"""Differs from what `meta` remembers when DuckDB hashes otherwise than when the file was written."""

DERIVED_COLUMNS: dict[str, tuple[str, str]] = {
    "duration_bin": ("SMALLINT", DURATION_BIN),
    "id_hash": ("UINTEGER", ID_HASH),
    "trace_hash": ("UINTEGER", TRACE_HASH),
    "cost_bin": ("SMALLINT", COST_BIN),
}
"""Columns of `operations` that follow from the others: type and expression."""

GRAINS_US = {"minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000}


class Cube(NamedTuple):
    """A rollup that keeps some columns apart. A question reads the first cube that knows every column it names."""

    name: str
    dimensions: tuple[str, ...]
    by_minute: bool = True
    """False for cubes with nearly as many rows a minute as operations: hours are their finest grain."""

    @property
    def grains(self) -> tuple[str, ...]:
        """The grains it is kept in, finest first."""
        return tuple(GRAINS_US) if self.by_minute else tuple(GRAINS_US)[1:]

    def covers(self, columns: set[str]) -> bool:
        return columns <= set(self.dimensions)


SUM_CUBES = (
    Cube("model", ("kind", "project", "provider", "model", "tier")),
    Cube("name", ("kind", "name", "project")),
    Cube("client", ("kind", "client", "project")),
    Cube("call", ("kind", "name", "project", "model", "tier"), by_minute=False),
    Cube("user", ("kind", "user_id", "model", "tier"), by_minute=False),
    Cube("user_name", ("kind", "name", "user_id"), by_minute=False),
    Cube("session", ("kind", "session_id"), by_minute=False),
)
"""Sums, smallest first. Several narrow cubes and not one wide one: the product of all dimensions is as many rows as
there are operations. A question across two of them (one session's models) reads the operations."""

LATENCY_CUBES = (
    Cube("kind", ("kind",)),
    Cube("project", ("kind", "project")),
    Cube("name", ("kind", "name")),
    Cube("model", ("kind", "provider", "model", "tier")),
    Cube("user", ("kind", "user_id"), by_minute=False),
    Cube("project_model", ("kind", "project", "provider", "model", "tier"), by_minute=False),
    Cube("call", ("kind", "name", "project", "model", "tier"), by_minute=False),
)
"""Latency histograms, smallest first."""

_BAD_OUTCOMES = ", ".join(f"'{outcome}'" for outcome in UNSUCCESSFUL_OUTCOMES)
SUCCESS = f"kind = 'llm' and status = 'ok' and outcome not in ({_BAD_OUTCOMES})"

USABLE = (
    "input_tokens is not null and output_tokens is not null "
    "and coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, cache_write_1h_tokens, 0) <= input_tokens "
    "and coalesce(cache_write_1h_tokens, 0) <= coalesce(cache_write_tokens, cache_write_1h_tokens, 0) "
    "and coalesce(reasoning_tokens, 0) <= output_tokens"
)
"""Operations whose usage a price can be put on: `pricing.book.usage_of` in SQL."""

# measure → (column type, expression over operations). All add up over buckets, so coarser rollups sum finer ones.
MEASURES: dict[str, tuple[str, str]] = {
    "operations": ("BIGINT", "count(*)"),
    "errors": ("BIGINT", "count(*) filter (status = 'error')"),
    "billable": ("BIGINT", "count(*) filter (kind = 'llm')"),
    "priced": ("BIGINT", "count(cost_usd) filter (kind = 'llm')"),
    "successes": ("BIGINT", f"count(*) filter ({SUCCESS})"),
    "basis_billed": ("BIGINT", "count(*) filter (cost_basis = 'billed')"),
    "basis_computed": ("BIGINT", "count(*) filter (cost_basis = 'computed')"),
    "basis_reported": ("BIGINT", "count(*) filter (cost_basis = 'reported')"),
    "input_tokens": ("BIGINT", "coalesce(sum(input_tokens), 0)::BIGINT"),
    "cache_read_tokens": ("BIGINT", "coalesce(sum(cache_read_tokens), 0)::BIGINT"),
    "cache_write_tokens": ("BIGINT", "coalesce(sum(cache_write_tokens), 0)::BIGINT"),
    "output_tokens": ("BIGINT", "coalesce(sum(output_tokens), 0)::BIGINT"),
    "reasoning_tokens": ("BIGINT", "coalesce(sum(reasoning_tokens), 0)::BIGINT"),
    "cost_usd": (MONEY, "coalesce(sum(cost_usd), 0)"),
    "reported_usd": (MONEY, "coalesce(sum(reported_usd) filter (quarantine is distinct from 'reported'), 0)"),
    "computed_usd": (MONEY, "coalesce(sum(computed_usd), 0)"),
    "billed_usd": (MONEY, "coalesce(sum(billed_usd) filter (quarantine is distinct from 'billed'), 0)"),
    "quarantined": ("BIGINT", "count(quarantine)"),
    "quarantined_usd": (
        MONEY,
        "coalesce(sum(case quarantine when 'reported' then reported_usd when 'billed' then billed_usd end), 0)",
    ),
    "baseline_success_usd": (
        MONEY,
        f"coalesce(sum(baseline_usd) filter ({SUCCESS} and cost_usd is not null), 0)",
    ),
    "value_usd": (MONEY, "coalesce(sum(value_usd), 0)"),
    "drift_reported_usd": (
        MONEY,
        "coalesce(sum(abs(reported_usd - computed_usd)) filter (quarantine is distinct from 'reported'), 0)",
    ),
    "drift_billed_usd": (
        MONEY,
        "coalesce(sum(abs(billed_usd - computed_usd)) filter (quarantine is distinct from 'billed'), 0)",
    ),
    "duration_ms": ("DOUBLE", "coalesce(sum(duration_ms), 0)"),
    "timed": ("BIGINT", "count(duration_ms)"),
    "ttft_ms": ("DOUBLE", "coalesce(sum(ttft_ms), 0)"),
    "ttft_timed": ("BIGINT", "count(ttft_ms)"),
}

RESOURCE_COLUMNS: dict[str, str] = {
    "sampled_at": "BIGINT",
    "cpu_ratio": "DOUBLE",
    "load_1m": "DOUBLE",
    "memory_used_bytes": "BIGINT",
    "memory_total_bytes": "BIGINT",
    "swap_used_bytes": "BIGINT",
    "disk_used_bytes": "BIGINT",
    "disk_total_bytes": "BIGINT",
    "disk_read_bytes_s": "DOUBLE",
    "disk_write_bytes_s": "DOUBLE",
    "net_received_bytes_s": "DOUBLE",
    "net_sent_bytes_s": "DOUBLE",
    "process_cpu_ratio": "DOUBLE",
    "process_rss_bytes": "BIGINT",
    "process_open_files": "BIGINT",
    "process_threads": "BIGINT",
    "cores": "DOUBLE",
    "iowait_ratio": "DOUBLE",
    "steal_ratio": "DOUBLE",
    "busiest_core_ratio": "DOUBLE",
    "throttled_ratio": "DOUBLE",
    "throttled_s_per_s": "DOUBLE",
    "oom_kills": "BIGINT",
    "swap_total_bytes": "BIGINT",
    "open_files": "BIGINT",
    "open_files_limit": "BIGINT",
    "process_open_files_limit": "BIGINT",
}

PROCESS_COLUMNS: dict[str, str] = {
    "sampled_at": "BIGINT",
    "pid": "BIGINT",
    "started_at": "BIGINT",
    "name": "VARCHAR",
    "processes": "BIGINT",
    "cpu_ratio": "DOUBLE",
    "rss_bytes": "BIGINT",
    "threads": "BIGINT",
    "open_files": "BIGINT",
    "read_bytes_s": "DOUBLE",
    "write_bytes_s": "DOUBLE",
}

GPU_COLUMNS: dict[str, str] = {
    "sampled_at": "BIGINT",
    "gpu": "VARCHAR",
    "name": "VARCHAR",
    "busy_ratio": "DOUBLE",
    "memory_used_bytes": "BIGINT",
    "memory_total_bytes": "BIGINT",
    "temperature_c": "DOUBLE",
    "power_w": "DOUBLE",
}

STATE_COLUMNS: dict[str, str] = {
    "changed_at": "BIGINT",
    "resource": "VARCHAR",
    "level": "VARCHAR",
    "previous": "VARCHAR",
    "value": "DOUBLE",
    "reason": "VARCHAR",
}


def _table(name: str, columns: dict[str, str]) -> str:
    return f"create table {name} ({', '.join(f'{column} {kind}' for column, kind in columns.items())})"


def ddl() -> list[str]:
    """The statements that make an empty telemetry store of `SCHEMA_VERSION`."""
    measures = {name: kind for name, (kind, _) in MEASURES.items()}
    statements = [
        "create table meta (key VARCHAR primary key, value VARCHAR)",
        f"insert into meta values ('schema_version', '{SCHEMA_VERSION}')",
        f"insert into meta values ('hash_check', {HASH_CHECK})",
        _table("operations", COLUMN_TYPES | {name: kind for name, (kind, _) in DERIVED_COLUMNS.items()}),
        "create view operations_view as select make_timestamp(started_at) as started_at_utc, "
        f"* exclude ({', '.join(DERIVED_COLUMNS)}) from operations",
        _table("resource_samples", RESOURCE_COLUMNS),
        _table("process_samples", PROCESS_COLUMNS),
        _table("gpu_samples", GPU_COLUMNS),
        _table("resource_states", STATE_COLUMNS),
        "create table dirty (grain VARCHAR, bucket BIGINT)",
    ]
    for grain in GRAINS_US:
        for cubes, prefix, values in (
            (SUM_CUBES, "rollup", measures),
            (LATENCY_CUBES, "latency", {"bin": "SMALLINT", "n": "BIGINT"}),
        ):
            for cube in cubes:
                if grain not in cube.grains:
                    continue
                keys = {"bucket": "BIGINT"} | dict.fromkeys(cube.dimensions, "VARCHAR")
                statements.append(_table(f"{prefix}_{cube.name}_{grain}", keys | values))
    return statements
