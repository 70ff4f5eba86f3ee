"""The page about the monitor itself."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.support.server import Server

pytestmark = pytest.mark.browser


def test_it_tells_how_things_are_and_goes_on_by_itself(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/monitor")
    expect(page.locator("#headline")).to_contain_text("Everything works as it should.")
    checks = page.get_by_role("list", name="Checks").locator("li")
    expect(checks.first).to_be_visible()
    expect(checks.and_(page.locator('[data-status="ok"]'))).to_have_count(checks.count())
    route = page.locator('#routes tr[data-key="GET /docs"]')
    expect(route).to_have_count(0)
    assert stocked.request("GET", "/docs").status == 200
    expect(route).to_have_count(1)  # without a reload
    expect(page.locator("#questions tbody tr").first).to_be_visible()


def test_a_key_leads_to_it(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    page.keyboard.press("g")
    page.keyboard.press("m")
    expect(page.get_by_role("heading", level=1)).to_have_text("This monitor")
