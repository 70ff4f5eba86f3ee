"""The pages of traces."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.support.server import Server

pytestmark = pytest.mark.browser


def test_from_the_list_to_a_trace_and_its_operations(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/traces?range=24h")
    expect(page.get_by_role("heading", name="Bottlenecks")).to_be_visible()
    expect(page.locator("#explorer tbody tr")).to_have_count(1)
    page.locator('th[data-column="duration_ms"] a').click()
    expect(page).to_have_url(re.compile("sort=duration_ms"))
    page.locator("#explorer tbody tr").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("session.turn")
    expect(page.locator("#waterfall li")).to_have_count(3)
    expect(page.locator("#waterfall rect.path").first).to_be_attached()
    page.wait_for_load_state()  # with the script that hears the keys
    page.locator("#waterfall a").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("review <b>bold</b>")
    page.get_by_role("link", name="Open the trace").click()
    expect(page.get_by_role("heading", name="Where the time went")).to_be_visible()


def test_search_finds_traces_by_what_is_in_them(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/traces?range=24h")
    page.keyboard.press("/")
    page.keyboard.type("nothing is called this")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    page.get_by_role("link", name="Reset filters").click()
    expect(page.locator("#explorer tbody tr")).to_have_count(1)


def test_a_phone_shows_it_without_scrolling_sideways(stocked: Server, open_page: OpenPage) -> None:
    for path in ("/traces?range=24h", "/traces/" + "f" * 32):
        page = open_page(f"{stocked.url}{path}", width=390)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
