"""The performance page in a real browser: numbers without scripts, charts with them, a choice in the address."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.support.server import Server

pytestmark = pytest.mark.browser


def test_every_number_is_there_before_any_script_runs(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/performance?range=24h", java_script_enabled=False)
    assert page.locator("#rows tbody tr").count() == 6
    assert re.search(r"\d (ms|s)", page.locator("#rows tbody tr").first.inner_text())
    assert page.locator("#load dd").first.inner_text().endswith("a minute")


def test_a_row_is_picked_and_shown_alone(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/performance?range=24h")
    page.locator('#rows tr[data-key="llm/chat"] a.cell-link').click()
    expect(page).to_have_url(re.compile("pick=llm%2Fchat"))
    expect(page.locator("#rows tr.is-picked")).to_have_count(1)
    expect(page.locator("#whys")).to_contain_text("chat")
    page.locator(".selectors .chip-remove").click()
    expect(page.locator("#rows tr.is-picked")).to_have_count(0)
    page.go_back()
    expect(page.locator("#rows tr.is-picked")).to_have_count(1)


def test_the_heat_map_is_read_by_keyboard_and_as_a_table(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/performance?range=24h")
    plot = page.locator('[data-chart="heat"] [data-plot]')
    plot.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    expect(plot.locator(".tip")).to_be_visible()
    expect(plot.locator(".tip")).to_contain_text("–")
    page.get_by_role("button", name="Show the heat map as a table").click()
    expect(page.locator('[data-chart="heat"] .chart-table tbody tr').first).to_be_visible()
    expect(plot).to_be_hidden()


def test_dimension_comparison_and_order_are_in_the_address(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/performance?range=24h")
    page.get_by_role("link", name="Models").click()
    expect(page).to_have_url(re.compile("by=model"))
    expect(page.locator("#rows tbody tr")).to_have_count(4)
    page.get_by_role("link", name="Usual").click()
    expect(page).to_have_url(re.compile("against=usual"))
    page.locator('#rows th[data-column="p50_ms"] a').click()
    expect(page.locator('#rows th[data-column="p50_ms"]')).to_have_attribute("aria-sort", "descending")
    page.locator('[data-range="7d"]').click()
    expect(page).to_have_url(re.compile("range=7d.*by=model.*against=usual"))


def test_the_page_fits_a_phone(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/performance?range=24h", width=390, height=800)
    expect(page.locator('[data-chart="timeline"] canvas')).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
