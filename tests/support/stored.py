"""What a telemetry file holds, read straight from DuckDB after the server that owned it is gone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb

from ralex_core.storage.schema import GRAINS_US, LATENCY_CUBES, SUM_CUBES


def stored_ids(home: Path) -> Counter[str]:
    """How often each operation id is stored in the data directory `home`."""
    with duckdb.connect(str(home / "telemetry.duckdb"), read_only=True) as connection:
        rows = connection.execute("select operation_id, count(*) from operations group by operation_id").fetchall()
    return Counter(dict(rows))


def rollup_disagreements(home: Path) -> list[tuple[object, ...]]:
    """Buckets of any rollup whose sums differ from those of the operations they were made of.

    Rows are (table, bucket, rolled-up sums, recounted sums). Per-minute rollups are kept for a few days only, so
    a table is compared from its first bucket on.
    """
    found: list[tuple[object, ...]] = []
    with duckdb.connect(str(home / "telemetry.duckdb"), read_only=True) as connection:
        for cube in SUM_CUBES:
            for grain in cube.grains:
                rolled = "(sum(operations), sum(input_tokens), sum(cost_usd))"
                counted = "(count(*), coalesce(sum(input_tokens), 0), coalesce(sum(cost_usd), 0))"
                found += _differences(connection, f"rollup_{cube.name}_{grain}", grain, rolled, counted, "true")
        for cube in LATENCY_CUBES:
            for grain in cube.grains:
                table = f"latency_{cube.name}_{grain}"
                found += _differences(connection, table, grain, "sum(n)", "count(*)", "duration_ms is not null")
    return found


def _differences(
    connection: duckdb.DuckDBPyConnection, table: str, grain: str, rolled: str, counted: str, where: str
) -> list[tuple[object, ...]]:
    width = GRAINS_US[grain]
    return connection.execute(
        f"""
        with rolled as (
            select bucket, {rolled} as sums
            from {table}
            group by bucket
        ),
        counted as (
            select started_at // {width} * {width} as bucket, {counted} as sums
            from operations
            where {where}
            group by 1
        )
        select '{table}', bucket, rolled.sums, counted.sums
        from rolled full join counted using (bucket)
        where bucket >= (select min(bucket) from rolled)
          and rolled.sums::VARCHAR is distinct from counted.sums::VARCHAR
        order by bucket
        """
    ).fetchall()
