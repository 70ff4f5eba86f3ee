"""A budget: how much may be spent, by whom or on what, and in which period."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal
from typing import Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from ralex_core.budgeting.periods import MAX_ROLLING_HOURS, PERIODS, period_window
from ralex_core.errors import InvalidBudget
from ralex_core.model.money import format_usd
from ralex_core.model.operation import Operation
from ralex_core.model.window import Window

ScopeKind = Literal["all", "project", "user", "model", "tier", "key"]
SCOPE_KINDS: tuple[str, ...] = get_args(ScopeKind)

KEY_ATTRIBUTE = "gateway_key"
"""Attribute of an operation: the label of the credential it was made with. Never the credential."""
RESERVED_ATTRIBUTE = "reserved_usd"
"""Attribute of an operation: what was reserved for it. Where its cost stays unknown, budgets count this."""

DAILY_ID = "daily"
"""The budget that the setting `daily_budget_usd` makes."""

MAX_NAME = 80
MAX_VALUE = 400
MAX_LIMIT_USD = Decimal("1e9")


class CallScope(NamedTuple):
    """What a call belongs to, as far as its caller knows before it is made."""

    project: str | None = None
    user_id: str | None = None
    model: str | None = None
    tier: str | None = None
    key: str | None = None
    """Label of a gateway credential, never a secret. The operation carries it as `attributes.gateway_key`."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent in a period. Make one with `checked` when its fields come from outside.

    A soft limit warns; a hard one is never passed where a `BudgetGuard` stands before the calls.
    """

    id: str
    name: str
    period: str
    scope: str = "all"
    value: str | None = None
    """Which project, user, model …; None for `all`."""
    soft_usd: Decimal | None = None
    hard_usd: Decimal | None = None
    rolling_hours: int | None = None
    """Set for rolling periods only."""
    timezone: str | None = None
    """IANA zone of its days; None: the monitor's."""

    @property
    def limit_usd(self) -> Decimal:
        """What spending is measured against: the hard limit, else the soft one."""
        limit = self.hard_usd if self.hard_usd is not None else self.soft_usd
        assert limit is not None  # noqa: S101 - `checked` refuses a budget without a limit
        return limit

    @property
    def built_in(self) -> bool:
        """Whether it comes from a setting and not from the list of budgets."""
        return self.id == DAILY_ID

    def zone(self, default: tzinfo) -> tzinfo:
        return ZoneInfo(self.timezone) if self.timezone else default

    def window(self, now_us: int, default: tzinfo) -> Window:
        """The period `now_us` is in; `default` is the monitor's zone."""
        return period_window(self.period, now_us, self.zone(default), rolling_hours=self.rolling_hours)

    def covers(self, scope: CallScope) -> bool:
        """Whether a call counts towards it. A `*` in the budget's value stands for any text."""
        return self.scope == "all" or self.matches(getattr(scope, SCOPE_FIELDS[self.scope]))

    def matches(self, text: str | None) -> bool:
        """Whether a project, user, model … is the one the budget is for."""
        if text is None or self.value is None:
            return False
        if self.value == text:
            return True
        return self.has_pattern and _pattern(self.value, self.scope == "model").fullmatch(text) is not None

    @property
    def has_pattern(self) -> bool:
        """Whether more than one text can match: a `*`, or a model, which providers answer with its release."""
        return self.value is not None and ("*" in self.value or self.scope == "model")

    @property
    def period_text(self) -> str:
        """`day`, `month`, `rolling 24 hours`."""
        return f"rolling {self.rolling_hours} hours" if self.period == "rolling" else self.period

    @property
    def scope_text(self) -> str:
        return "everything" if self.scope == "all" else f"{self.scope} {self.value}"


@functools.lru_cache(maxsize=256)
def _pattern(value: str, model: bool) -> re.Pattern[str]:
    first, *rest = (re.escape(part) for part in value.split("*"))
    # what stands between two stars is looked for once, where it comes first: many stars must not take for ever
    text = first + "".join(f"(?>.*?{part})" for part in rest[:-1]) + "".join(f".*{part}" for part in rest[-1:])
    if model:
        text = ("" if "/" in value else "(?:.*/)?") + text + _RELEASE
    return re.compile(text, re.DOTALL)


_RELEASE = r"(?:[-@](?:\d{8}|\d{4}-\d{2}-\d{2}))?"
"""A call to `gpt-4o` is answered, and stored, as `gpt-4o-2024-08-06`: a budget for the one counts the other."""


SCOPE_FIELDS = {"project": "project", "user": "user_id", "model": "model", "tier": "tier", "key": "key"}
"""Scope of a budget → field of `CallScope`."""


def checked(budget: Budget) -> Budget:
    """The same budget, when it makes sense.

    Raises:
        InvalidBudget: naming the field, what is wrong with it and what to give instead.
    """
    if not budget.name.strip() or len(budget.name) > MAX_NAME or not budget.name.isprintable():
        raise InvalidBudget("name", f"give it a name of 1 to {MAX_NAME} printable characters")
    if budget.scope not in SCOPE_KINDS:
        raise InvalidBudget("scope", f"{budget.scope!r} is not one of {', '.join(SCOPE_KINDS)}")
    if budget.scope == "all" and budget.value is not None:
        raise InvalidBudget("value", "a budget for everything names no value; choose a scope or leave the value out")
    if budget.scope != "all" and not (budget.value and len(budget.value) <= MAX_VALUE and budget.value.isprintable()):
        raise InvalidBudget("value", f"say which {budget.scope} it is for, in at most {MAX_VALUE} printable characters")
    _check_period(budget)
    _check_limits(budget)
    return budget


def _check_period(budget: Budget) -> None:
    if budget.period not in PERIODS:
        raise InvalidBudget("period", f"{budget.period!r} is not one of {', '.join(PERIODS)}")
    if budget.period == "rolling":
        if budget.rolling_hours is None or not 1 <= budget.rolling_hours <= MAX_ROLLING_HOURS:
            raise InvalidBudget("rolling_hours", f"a rolling period is 1 to {MAX_ROLLING_HOURS} hours long")
    elif budget.rolling_hours is not None:
        raise InvalidBudget("rolling_hours", "only a rolling period has a number of hours; leave it out")
    if budget.timezone is not None:
        try:
            ZoneInfo(budget.timezone)
        except (KeyError, ValueError, OSError):
            raise InvalidBudget(
                "timezone", f"{budget.timezone!r} is not an IANA time zone such as Europe/Berlin"
            ) from None


def _check_limits(budget: Budget) -> None:
    if budget.soft_usd is None and budget.hard_usd is None:
        raise InvalidBudget("limit", "give a soft limit (it warns), a hard one (it refuses), or both")
    for name in ("soft_usd", "hard_usd"):
        limit: Decimal | None = getattr(budget, name)
        if limit is not None and not (limit.is_finite() and 0 < limit <= MAX_LIMIT_USD):
            raise InvalidBudget(name, f"a limit is more than 0 and at most {format_usd(MAX_LIMIT_USD)}")
    if budget.soft_usd is not None and budget.hard_usd is not None and budget.soft_usd > budget.hard_usd:
        raise InvalidBudget(
            "soft_usd", f"the soft limit ({budget.soft_usd}) is above the hard one ({budget.hard_usd}); lower it"
        )


def daily_budget(limit_usd: Decimal | None) -> Budget | None:
    """The built-in budget of the setting `daily_budget_usd`: everything, per local day, warning only."""
    if limit_usd is None:
        return None
    return Budget(DAILY_ID, "Daily budget", "day", soft_usd=limit_usd)


def scope_of(operation: Operation, key: str | None = None) -> CallScope:
    """What a stored operation counts towards; `key` is its `gateway_key` attribute, where it matters."""
    return CallScope(operation.project, operation.user_id, operation.model, operation.tier, key)
