"""Forecasts of spend in the state store: as they were made, and what came of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from ralex_core.model.money import decimal_text
from ralex_core.storage.state import StateStore
from ralex_core.storage.state_tables import spend_forecasts as table

KEPT = 1600
"""Forecasts of each horizon, the latest: four a day for 400 days. A number and not an age, which a clock that is ahead
would make of all of them."""


@dataclass(frozen=True, slots=True)
class KeptForecast:
    """One forecast of a period's spend. Times are UTC µs, money USD, ratios 0-1; None is not known (yet).

    `quarter` (0-3) is how far the period had come: of each quarter the first forecast is kept. `claimed` says that
    ±15 % was claimed.
    """

    horizon: str
    period_start: int
    quarter: int
    period_end: int
    made_at: int
    so_far_usd: Decimal
    mean_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    naive_usd: Decimal
    method: str
    origins: int
    wape: float | None
    naive_wape: float | None
    within_15_ratio: float | None
    naive_within_15_ratio: float | None
    coverage_ratio: float | None
    claimed: bool
    actual_usd: Decimal | None = None
    judged_at: int | None = None


_FIELDS = tuple(field.name for field in fields(KeptForecast))
_MONEY = tuple(name for name in _FIELDS if name.endswith("_usd"))


class StoredForecasts:
    """Keeps forecasts. Any thread may use it."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    def keep(self, made: KeptForecast) -> bool:
        """Keep a forecast unless there is one of that quarter of the period; whether it was kept."""
        row = {name: getattr(made, name) for name in _FIELDS}
        row |= {name: decimal_text(row[name]) for name in _MONEY}
        with self._state.writing() as connection:
            done = connection.execute(insert(table).values(**row).on_conflict_do_nothing())
            if done.rowcount:
                of_horizon = sa.select(table.c.period_start, table.c.quarter).where(table.c.horizon == made.horizon)
                latest = of_horizon.order_by(table.c.period_start.desc(), table.c.quarter.desc()).limit(KEPT)
                key = sa.tuple_(table.c.period_start, table.c.quarter)
                connection.execute(sa.delete(table).where(table.c.horizon == made.horizon, key.not_in(latest)))
        return bool(done.rowcount)

    def has(self, horizon: str, period_start: int, quarter: int) -> bool:
        """Whether a forecast of that quarter of the period is kept."""
        statement = sa.select(sa.exists().where(*_period(horizon, period_start), table.c.quarter == quarter))
        with self._state.reading() as connection:
            return connection.scalar(statement) or False

    def to_judge(self, now_us: int, late_us: int) -> list[tuple[str, int, int]]:
        """(horizon, start, end) of periods that are over and not judged since `late_us` after their end."""
        statement = (
            sa.select(table.c.horizon, table.c.period_start, table.c.period_end)
            .where(table.c.period_end <= now_us)
            .where(sa.or_(table.c.judged_at.is_(None), table.c.judged_at < table.c.period_end + late_us))
            .distinct()
            .order_by(table.c.period_end, table.c.horizon)
        )
        with self._state.reading() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(statement)]

    def judge(self, horizon: str, period_start: int, actual_usd: Decimal, now_us: int) -> None:
        """Note what a period really cost."""
        values = {"actual_usd": decimal_text(actual_usd), "judged_at": now_us}
        with self._state.writing() as connection:
            connection.execute(sa.update(table).where(*_period(horizon, period_start)).values(values))

    def judged(self, horizon: str, limit: int = 400) -> list[KeptForecast]:
        """Forecasts of periods that are over, newest first."""
        statement = (
            sa.select(table)
            .where(table.c.horizon == horizon, table.c.actual_usd.is_not(None))
            .order_by(table.c.period_start.desc(), table.c.quarter.desc())
            .limit(limit)
        )
        with self._state.reading() as connection:
            return [_kept(dict(row)) for row in connection.execute(statement).mappings()]


def _period(horizon: str, period_start: int) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return table.c.horizon == horizon, table.c.period_start == period_start


def _kept(row: dict[str, Any]) -> KeptForecast:
    money: dict[str, Any] = {name: None if row[name] is None else Decimal(row[name]) for name in _MONEY}
    return KeptForecast(**row | money)
