"""Budgets: what may be spent, what is, and where it is heading."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ralex_core.budgeting.budget import SCOPE_KINDS, Budget
from ralex_core.budgeting.periods import PERIODS
from ralex_core.dashboard.api.described import described
from ralex_core.dashboard.contexts.budgets import BudgetDetail, BudgetsView
from ralex_core.dashboard.envelope import Envelope, answer
from ralex_core.dashboard.problems import RequestProblem, not_found
from ralex_core.dashboard.site import Site
from ralex_core.errors import StoreError
from ralex_core.model.money import parse_usd


class BudgetRequest(BaseModel):
    """A budget as a client describes it. At least one limit must be given."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="What it is called; no other budget may be.")
    period: str = Field(description=f"One of {', '.join(PERIODS)}.")
    scope: str = Field(default="all", description=f"One of {', '.join(SCOPE_KINDS)}.")
    value: str | None = Field(
        default=None, description="Which project, user, model, tier or key; * stands for any text. None for all."
    )
    soft_usd: Any = Field(default=None, description="Limit that warns: a decimal string or a number of dollars.")
    hard_usd: Any = Field(
        default=None, description="Limit that a guard holds calls to: a decimal string or a number of dollars."
    )
    rolling_hours: int | None = Field(default=None, description="Length of a rolling period.")
    timezone: str | None = Field(default=None, description="IANA zone of its days; by default the monitor's.")

    @field_validator("soft_usd", "hard_usd")
    @classmethod
    def _money(cls, value: object) -> Decimal | None:
        try:
            return None if value is None else parse_usd(value)
        except ValueError as error:
            raise ValueError(str(error).removeprefix("cost ")) from None

    def budget(self, budget_id: str = "") -> Budget:
        """The budget it describes, not checked yet."""
        values: dict[str, Any] = {**self.model_dump(), "id": budget_id, "name": self.name.strip()}
        return Budget(**values)


@dataclasses.dataclass(frozen=True, slots=True)
class Deleted:
    """A budget that was deleted; `restore` is the path to POST to bring it back."""

    id: str
    name: str
    restore: str


def budgets_router(site: Site) -> APIRouter:
    router = APIRouter(tags=["Budgets"])
    keeper = site.host.budgets

    def shown(budget_id: str, status: int = 200) -> Response:
        """A budget that was kept, as it stands: that it cannot be read just now must not look as if it was not kept."""
        try:
            return answer(site.budgets.detail(budget_id), status)
        except StoreError as error:
            raise RequestProblem(
                503,
                "kept_not_shown",
                "The budget is kept, so do not send it again; how it stands cannot be read just now. "
                "GET /api/v1/budgets shows it.",
                5,
            ) from error

    @router.get("/budgets", openapi_extra=described(Envelope[BudgetsView]))
    def budgets() -> Response:
        """Every budget: spent, left, projected, when it runs out, and past periods; those in trouble first."""
        return answer(site.budgets.view())

    @router.post("/budgets", status_code=201, openapi_extra=described(Envelope[BudgetDetail], status=201))
    def add(body: BudgetRequest) -> Response:
        """Make a budget. It counts what its period has cost already."""
        made = keeper.add(body.budget())
        site.budgets.forget()
        return shown(made.id, 201)

    @router.get("/budgets/{budget_id}", openapi_extra=described(Envelope[BudgetDetail]))
    def budget(budget_id: str) -> Response:
        """One budget with its course, its forecast, and what moving work to cheaper models would change."""
        return answer(site.budgets.detail(budget_id))

    @router.put("/budgets/{budget_id}", openapi_extra=described(Envelope[BudgetDetail]))
    def change(budget_id: str, body: BudgetRequest) -> Response:
        """Replace a budget. Calls under way stay counted."""
        if keeper.change(body.budget(budget_id)) is None:
            raise not_found(f"There is no budget {budget_id[:40]!r}. GET /api/v1/budgets lists them.")
        site.budgets.forget()
        return shown(budget_id)

    @router.delete("/budgets/{budget_id}", openapi_extra=described(Envelope[Deleted]))
    def delete(budget_id: str) -> Response:
        """Delete a budget. The last 100 deleted ones can be brought back."""
        found = keeper.delete(budget_id)
        if found is None:
            raise not_found(f"There is no budget {budget_id[:40]!r}. GET /api/v1/budgets lists them.")
        site.budgets.forget()
        return answer(Deleted(found.id, found.name, f"/api/v1/budgets/{found.id}/restore"))

    @router.post("/budgets/{budget_id}/restore", openapi_extra=described(Envelope[BudgetDetail]))
    def restore(budget_id: str) -> Response:
        """Bring a deleted budget back."""
        if keeper.restore(budget_id) is None:
            raise not_found(f"No deleted budget {budget_id[:40]!r} is kept.")
        site.budgets.forget()
        return shown(budget_id)

    return router
