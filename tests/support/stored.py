"""What a telemetry file holds, read straight from DuckDB after the server that owned it is gone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb


def stored_ids(home: Path) -> Counter[str]:
    """How often each operation id is stored in the data directory `home`."""
    with duckdb.connect(str(home / "telemetry.duckdb"), read_only=True) as connection:
        rows = connection.execute("select operation_id, count(*) from operations group by operation_id").fetchall()
    return Counter(dict(rows))


def rollup_disagreements(home: Path, grain: str) -> list[tuple[object, ...]]:
    """Buckets of one grain whose stored sums differ from the operations they were made of.

    Rows are (bucket, rolled-up and recounted operations, tokens and dollars). Per-minute rollups are kept for
    a few days only, so only buckets from the first one kept are compared.
    """
    width = {"minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000}[grain]
    with duckdb.connect(str(home / "telemetry.duckdb"), read_only=True) as connection:
        return connection.execute(
            f"""
            with rolled as (
                select bucket, sum(operations) as n, sum(input_tokens) as tokens, sum(cost_usd) as usd
                from rollup_{grain}
                group by bucket
            ),
            counted as (
                select
                    started_at // {width} * {width} as bucket,
                    count(*) as n,
                    coalesce(sum(input_tokens), 0) as tokens,
                    coalesce(sum(cost_usd), 0) as usd
                from operations
                group by 1
            )
            select bucket, rolled.n, counted.n, rolled.tokens, counted.tokens, rolled.usd, counted.usd
            from rolled full join counted using (bucket)
            where bucket >= (select min(bucket) from rolled)
              and (rolled.n, rolled.tokens, rolled.usd)
                is distinct from (counted.n, counted.tokens, counted.usd)
            order by bucket
            """
        ).fetchall()
