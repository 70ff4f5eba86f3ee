"""Which operation names there are."""

from __future__ import annotations

from ralex_core.storage.telemetry import Store


def names_by_kind(store: Store, limit: int, *, besides: str) -> dict[str, list[str]]:
    """Names of every kind that has any, `besides` one: those with the most operations first, at most `limit` a kind.

    From the day rollups, and from the operations since the last of them, which may not be rolled up yet.
    """
    rows = store.query(
        """
        with counted as (
            select kind, name, sum(operations) as operations
            from rollup_name_day
            group by kind, name
            union all
            select kind, name, count(*)
            from operations
            where started_at >= (select coalesce(max(bucket), 0) from rollup_name_day)
            group by kind, name
        )
        select kind, name
        from counted
        where name <> $besides
        group by kind, name
        qualify row_number() over (partition by kind order by sum(operations) desc, name) <= $limit
        order by kind, sum(operations) desc, name
        """,
        {"limit": limit, "besides": besides},
    )
    found: dict[str, list[str]] = {}
    for kind, name in rows:
        found.setdefault(kind, []).append(name)
    return found
