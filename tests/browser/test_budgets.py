"""The page of budgets: made in a form, drawn, deleted once asked, brought back."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.support.server import Server

pytestmark = pytest.mark.browser


def test_a_budget_is_made_drawn_deleted_and_brought_back(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    page.locator('[data-tile="spend_today"]').click()
    expect(page.locator(".budget-name")).to_have_text("Daily budget")
    expect(page.locator('[data-chart="course"] canvas')).to_be_visible()

    page.get_by_text("New budget").click()
    form = page.locator('form[action="/budgets"]')
    form.get_by_label("Name").fill("Team <b>")
    form.get_by_label("Hard limit").fill("500")
    form.get_by_role("button", name="Create budget").click()
    card = page.locator(".budget-card.is-chosen")
    expect(card.locator(".budget-name")).to_have_text("Team <b>")
    expect(card.locator(".budget-spent")).to_contain_text("$")
    expect(page.locator('[data-chart="course"] .legend-item').first).to_be_visible()

    page.get_by_text("Change “Team <b>”").click()
    page.get_by_text("Delete this budget…").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator(".budget-card")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(card.locator(".budget-name")).to_have_text("Team <b>")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
