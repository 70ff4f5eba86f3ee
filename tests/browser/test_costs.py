"""The costs page in a real browser: numbers without scripts, charts with them, the baseline in the address."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.support.server import Server

pytestmark = pytest.mark.browser


def test_everything_but_the_charts_works_without_scripts(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/costs?range=24h", java_script_enabled=False)
    assert page.locator("#spending tbody tr").count() >= 3
    page.get_by_role("link", name="Model", exact=True).click()
    expect(page.locator("#spending tbody tr")).to_have_count(5)
    assert "by=model" in page.url
    page.locator("#baseline").fill("openai/gpt-4o")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#headline")).to_contain_text("openai/gpt-4o")
    assert "baseline=openai%2Fgpt-4o" in page.url


def test_charts_splits_and_baseline(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/costs?range=24h")
    expect(page.locator('[data-chart="spend"] canvas')).to_be_visible()
    units = page.locator('[data-chart="units"]')
    expect(units.locator("[data-legend]")).to_contain_text("per success")
    units.get_by_role("button", name="Efficiency").click()
    expect(units.locator("[data-legend]")).to_contain_text("efficiency ratio")
    units.get_by_role("button", name="Show unit economics as a table").click()
    expect(units.locator(".chart-table thead")).to_contain_text("Per success")
    page.locator("#baseline").fill("openai/gpt-4o")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("baseline=openai%2Fgpt-4o"))
    expect(page.locator("#headline")).to_contain_text("openai/gpt-4o")
    expect(page.locator('[data-chart="spend"] canvas')).to_be_visible()
    page.go_back()
    expect(page.locator("#headline")).to_contain_text("claude-opus-4-5")


def test_a_phone_shows_it_without_scrolling_sideways(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/costs?range=24h", width=390, height=844)
    expect(page.locator('[data-chart="spend"] canvas')).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
