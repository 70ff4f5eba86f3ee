"""The page of budgets and its forms, which work without scripts."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from decimal import Decimal

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from ralex_core.budgeting.budget import SCOPE_KINDS, Budget
from ralex_core.budgeting.periods import PERIODS
from ralex_core.dashboard.budgets import PATH
from ralex_core.dashboard.contexts.budgets import BudgetForm, BudgetsPage
from ralex_core.dashboard.params import href, require_known
from ralex_core.dashboard.problems import not_found
from ralex_core.dashboard.site import Site, query_of
from ralex_core.errors import InvalidBudget
from ralex_core.model.money import decimal_text, parse_usd

REFRESH_S = 10
_FIELDS = ("name", "scope", "value", "period", "rolling_hours", "soft_usd", "hard_usd", "timezone")

ReadForm = Callable[[Request], Awaitable[dict[str, str]]]


def budgets_pages(router: APIRouter, site: Site, read_form: ReadForm) -> None:
    """Add the page and what its forms send to the router of pages."""
    keeper = site.host.budgets

    @router.get(PATH)
    def page(request: Request) -> Response:
        query = query_of(request)
        require_known(query, ("budget", "deleted"))
        asked = dict(query)
        return _page(site, request, chosen=asked.get("budget"), deleted=asked.get("deleted"))

    @router.post(PATH)
    async def add(request: Request) -> Response:
        form = _typed(await read_form(request))

        def work() -> Response:
            try:
                made = keeper.add(_budget(form))
            except InvalidBudget as error:
                return _page(site, request, new=_refused(form, error))
            return _shown(site, made.id)

        return await asyncio.to_thread(work)

    @router.post(PATH + "/{budget_id}")
    async def change(request: Request, budget_id: str) -> Response:
        form = _typed(await read_form(request))

        def work() -> Response:
            try:
                changed = keeper.change(_budget(form, budget_id))
            except InvalidBudget as error:
                return _page(site, request, chosen=budget_id, edit=_refused(form, error))
            if changed is None:
                raise not_found("This budget does not exist any more.")
            return _shown(site, budget_id)

        return await asyncio.to_thread(work)

    @router.post(PATH + "/{budget_id}/delete")
    def delete(budget_id: str) -> Response:
        if keeper.delete(budget_id) is None:
            raise not_found("This budget does not exist any more.")
        site.budgets.forget()
        return RedirectResponse(href(PATH, [("deleted", budget_id)]), 303)

    @router.post(PATH + "/{budget_id}/restore")
    def restore(request: Request, budget_id: str) -> Response:
        try:
            found = keeper.restore(budget_id)
        except InvalidBudget as error:
            return _page(site, request, new=BudgetForm(problem=str(error)))
        if found is None:
            raise not_found("This budget is not kept any more.")
        return _shown(site, budget_id)


def _shown(site: Site, budget_id: str) -> Response:
    site.budgets.forget()
    return RedirectResponse(href(PATH, [("budget", budget_id)]), 303)


def _page(
    site: Site,
    request: Request,
    *,
    chosen: str | None = None,
    deleted: str | None = None,
    new: BudgetForm | None = None,
    edit: BudgetForm | None = None,
) -> Response:
    budgets = site.budgets.view().budgets
    wanted = chosen or (budgets[0].id if budgets else None)
    detail = None if wanted is None else site.budgets.detail(wanted)
    gone = None if deleted is None else site.host.budgets.deleted(deleted)
    if detail is not None and not detail.budget.built_in and edit is None:
        edit = _form_of(site.budgets.budget(detail.budget.id))
    shown = BudgetsPage(
        budgets=budgets,
        chosen=detail,
        new=new or BudgetForm(),
        edit=edit,
        undo=None if gone is None else gone.id,
        undo_name="" if gone is None else gone.name,
        scopes=list(SCOPE_KINDS),
        periods=list(PERIODS),
        zone=site.zone_name,
    )
    course = None if detail is None else dataclasses.asdict(detail.course)
    limits: dict[str, Decimal | None] = {}
    if detail is not None:
        limits = {"soft": detail.budget.soft_usd, "hard": detail.budget.hard_usd}
    return site.page(
        request,
        "budgets.html",
        page="budgets",
        title="Budgets",
        context={"it": shown},
        boot={"course": course, "limits": limits, "every_s": REFRESH_S},
        status=422 if shown.new.problem or (edit is not None and edit.problem) else 200,
    )


def _typed(body: dict[str, str]) -> BudgetForm:
    return BudgetForm(**{name: body[name].strip() for name in _FIELDS if name in body})


def _refused(form: BudgetForm, error: InvalidBudget) -> BudgetForm:
    return dataclasses.replace(form, problem=str(error), field=error.field)


def _form_of(budget: Budget) -> BudgetForm:
    return BudgetForm(
        name=budget.name,
        scope=budget.scope,
        value=budget.value or "",
        period=budget.period,
        rolling_hours="" if budget.rolling_hours is None else str(budget.rolling_hours),
        soft_usd=decimal_text(budget.soft_usd) or "",
        hard_usd=decimal_text(budget.hard_usd) or "",
        timezone=budget.timezone or "",
    )


def _budget(form: BudgetForm, budget_id: str = "") -> Budget:
    """The budget a form describes. What does not belong to the chosen scope or period is left out.

    Raises:
        InvalidBudget: an amount or a number cannot be read.
    """
    rolling = form.period == "rolling"
    return Budget(
        id=budget_id,
        name=form.name,
        period=form.period,
        scope=form.scope,
        value=None if form.scope == "all" else form.value or None,
        soft_usd=_money("soft_usd", form.soft_usd),
        hard_usd=_money("hard_usd", form.hard_usd),
        rolling_hours=_hours(form.rolling_hours) if rolling else None,
        timezone=form.timezone or None,
    )


def _money(field: str, text: str) -> Decimal | None:
    if not text:
        return None
    try:
        return parse_usd(text.removeprefix("$").strip().replace(",", ""))
    except ValueError:
        raise InvalidBudget(field, f"{text[:40]!r} is not an amount of dollars such as 5.00") from None


def _hours(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise InvalidBudget("rolling_hours", f"{text[:40]!r} is not a whole number of hours")
    return int(text)
