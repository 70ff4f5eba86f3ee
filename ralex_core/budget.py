"""Budgets: what may be spent, and what keeps to it.

`BudgetGuard` reserves before a call and settles after it (see `budgeting.guard`). `BudgetManager` does for Ralex what
Ralex's own does: the same methods with the same results, on the same `~/.ralex/usage.jsonl` and `budget_config.json`.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Generator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from ralex_core.budgeting.budget import (
    KEY_ATTRIBUTE,
    RESERVED_ATTRIBUTE,
    Budget,
    CallScope,
    checked,
    daily_budget,
)
from ralex_core.budgeting.guard import BudgetGuard, BudgetLevel, Reservation
from ralex_core.clock import Clock, SystemClock
from ralex_core.config import Settings
from ralex_core.errors import BudgetExceeded, InvalidBudget, RalexError
from ralex_core.model.operation import Operation
from ralex_core.pricing.book import PriceBook
from ralex_core.private_files import open_private, private_directory

__all__ = [
    "KEY_ATTRIBUTE",
    "RESERVED_ATTRIBUTE",
    "Budget",
    "BudgetExceeded",
    "BudgetGuard",
    "BudgetLevel",
    "BudgetManager",
    "CallScope",
    "InvalidBudget",
    "Reservation",
    "UsageRecord",
    "checked",
    "daily_budget",
]

logger = logging.getLogger(__name__)

YELLOW_PERCENT = 70
RED_PERCENT = 90
UNKNOWN_USD_PER_1K = 1.0
"""What Ralex reckons per thousand tokens of a model it does not know."""
_ESTIMATED = 1_000_000


@dataclass
class UsageRecord:
    """One line of `usage.jsonl`. `timestamp` is local time without an offset, ISO-8601; `cost` is US dollars."""

    timestamp: str
    model: str
    tokens_sent: int
    tokens_received: int
    cost: float
    task_type: str = "unknown"


class Estimate(float):
    """A number of dollars that may also be awaited: some versions of Ralex await an estimate, others do not."""

    def __await__(self) -> Generator[None, None, float]:
        return float(self)
        yield  # an awaitable is made by a generator


class BudgetManager:
    """Drop-in for Ralex's own: a daily limit that warns and never blocks.

    As there, trouble with a file is logged and never raised, and what `budget_config.json` says goes before arguments.
    Unlike there, the configuration is replaced in one step, so that a crash leaves the old or the new one, and
    estimates come from the price book.
    """

    def __init__(
        self,
        daily_limit: float | None = None,
        data_dir: Path | str | None = None,
        free_mode_enabled: bool = False,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self.daily_limit = daily_limit
        self.data_dir = Path(data_dir) if data_dir else Path.home() / ".ralex"
        private_directory(self.data_dir)
        self.usage_file = self.data_dir / "usage.jsonl"
        self.config_file = self.data_dir / "budget_config.json"
        self.free_mode_enabled = free_mode_enabled
        self._book: PriceBook | None = None
        self._load_config()

    # --- configuration -----------------------------------------------------------------------------------------

    def _load_config(self) -> None:
        if not self.config_file.exists():
            return
        try:
            config = json.loads(self.config_file.read_text(encoding="utf-8"))
            if not isinstance(config, dict):
                raise ValueError("it is not a JSON object")
            known = cast("dict[str, Any]", config)
        except (OSError, ValueError) as error:
            logger.warning("%s could not be read and is left out: %s", self.config_file, error)
            return
        self.daily_limit = known.get("daily_limit", self.daily_limit)
        self.free_mode_enabled = known.get("free_mode_enabled", self.free_mode_enabled)

    def save_config(self) -> None:
        """Write limit and mode to `budget_config.json`; keys that others keep there stay."""
        config = {
            **self._foreign(),
            "daily_limit": self.daily_limit,
            "free_mode_enabled": self.free_mode_enabled,
            "updated": self._now().isoformat(),
        }
        try:
            handle, name = tempfile.mkstemp(dir=self.data_dir, prefix=".budget_config.")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(config, file, indent=2)
                Path(name).replace(self.config_file)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            logger.error("%s could not be written: %s", self.config_file, error)

    def _foreign(self) -> dict[str, Any]:
        try:
            found = json.loads(self.config_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def set_daily_limit(self, limit: float) -> None:
        """Set the limit and keep it."""
        self.daily_limit = limit
        self.save_config()

    def disable_budget(self) -> None:
        """Take the limit away, for good."""
        self.daily_limit = None
        self.save_config()

    def _now(self) -> datetime:
        """Local time without an offset, as Ralex writes it."""
        return datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC).astimezone().replace(tzinfo=None)

    # --- usage -------------------------------------------------------------------------------------------------

    def record_usage(
        self, model: str, tokens_sent: int, tokens_received: int, cost: float, task_type: str = "coding"
    ) -> None:
        """Append one line to `usage.jsonl`, in one write: processes that append at once do not mix their lines."""
        record = UsageRecord(self._now().isoformat(), model, tokens_sent, tokens_received, cost, task_type)
        try:
            with open_private(self.usage_file, "a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(record)) + "\n")
        except OSError as error:
            logger.error("%s could not be written: %s", self.usage_file, error)

    def get_daily_usage(self, target_date: date | None = None) -> list[UsageRecord]:
        """The records of a local day, today by default, in the order they were written."""
        wanted = target_date or self._now().date()
        return [record for day, record in self._records() if day == wanted]

    def get_daily_total(self, target_date: date | None = None) -> float:
        """Dollars spent on a local day."""
        return _total(self.get_daily_usage(target_date))

    def _records(self) -> list[tuple[date, UsageRecord]]:
        """Every readable line with its day; the others are counted in one warning."""
        found: list[tuple[date, UsageRecord]] = []
        unreadable = 0
        try:
            with self.usage_file.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    if not line.strip():
                        continue
                    try:
                        record = UsageRecord(**json.loads(line))
                        found.append((datetime.fromisoformat(record.timestamp).date(), record))
                    except (ValueError, TypeError):
                        unreadable += 1
        except FileNotFoundError:
            return []
        except OSError as error:
            logger.error("%s could not be read: %s", self.usage_file, error)
        if unreadable:
            logger.warning("%d lines of %s are not usage records and are left out", unreadable, self.usage_file)
        return found

    # --- status ------------------------------------------------------------------------------------------------

    def check_budget_status(self) -> dict[str, Any]:
        """`daily_limit`, `today_spent`, `remaining` (at least 0), `percentage_used` (at most 100) and `warning_level`:
        green, yellow from 70 %, red from 90 %. The middle two are None without a limit."""
        spent = self.get_daily_total()
        status: dict[str, Any] = {
            "daily_limit": self.daily_limit,
            "today_spent": spent,
            "remaining": None,
            "percentage_used": None,
            "warning_level": "green",
        }
        if self.daily_limit is None:
            return status
        used = min(100, spent / self.daily_limit * 100) if self.daily_limit > 0 else 100
        status["remaining"] = max(0, self.daily_limit - spent)
        status["percentage_used"] = used
        if used >= RED_PERCENT:
            status["warning_level"] = "red"
        elif used >= YELLOW_PERCENT:
            status["warning_level"] = "yellow"
        return status

    def should_warn_user(self) -> bool:
        """Whether 70 % of the limit or more is used."""
        return self.check_budget_status()["warning_level"] != "green"

    def get_usage_summary(self, days: int = 7) -> dict[str, Any]:
        """Totals of the last `days` local days, today included, and `model_breakdown` with count, cost and tokens."""
        today = self._now().date()
        first = today - timedelta(days=days - 1)
        records = [record for day, record in self._records() if first <= day <= today]
        models: dict[str, dict[str, float]] = {}
        for record in records:
            row = models.setdefault(record.model, {"count": 0, "cost": 0, "tokens": 0})
            row["count"] += 1
            row["cost"] += record.cost
            row["tokens"] += record.tokens_sent + record.tokens_received
        total = _total(records)
        return {
            "period_days": days,
            "total_cost": total,
            "total_tokens": sum(record.tokens_sent + record.tokens_received for record in records),
            "average_daily_cost": total / days if days > 0 else 0.0,
            "model_breakdown": models,
            "daily_limit": self.daily_limit,
        }

    def estimate_cost(self, model: str, estimated_tokens: int) -> Estimate:
        """Dollars for a number of tokens, three of four taken as input, at today's price; may be awaited.

        A model without a price is reckoned at a dollar per thousand tokens, as Ralex does.
        """
        rate = self._usd_per_token(model)
        if rate is None:
            logger.warning("No price is known for %s; a dollar per thousand tokens is assumed", model)
            return Estimate(estimated_tokens / 1000 * UNKNOWN_USD_PER_1K)
        return Estimate(rate * estimated_tokens)

    def _usd_per_token(self, model: str) -> Decimal | None:
        if self._book is None:
            try:
                self._book = PriceBook(Settings())
            except (RalexError, ValueError) as error:
                logger.warning("The monitor's settings cannot be read, its price overrides are left out: %s", error)
                self._book = PriceBook(Settings.model_construct(), overrides=())
        priced = self._book.price(
            Operation(
                "estimate",
                "llm",
                "estimate",
                self._clock.now_us(),
                requested_model=model,
                input_tokens=_ESTIMATED * 3 // 4,
                output_tokens=_ESTIMATED // 4,
            )
        )
        return None if priced.computed_usd is None else priced.computed_usd / _ESTIMATED


def _total(records: list[UsageRecord]) -> float:
    """Summed exactly, so that ten times 0.1 is 1.0."""
    return float(sum((Decimal(str(record.cost)) for record in records), Decimal(0)))
