"""The operations explorer and one operation's page."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OPERATIONS, OpenPage
from tests.support.server import Server

pytestmark = pytest.mark.browser


def test_sorting_is_in_the_address(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/operations?range=24h")
    page.locator('th[data-column="cost_usd"] a').click()
    expect(page).to_have_url(re.compile("sort=cost_usd"))
    header = page.locator('th[data-column="cost_usd"]')
    expect(header).to_have_attribute("aria-sort", "descending")
    header.locator("a").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    page.go_back()
    expect(header).to_have_attribute("aria-sort", "descending")


def test_pages_follow_each_other_and_a_filter_starts_over(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/operations?range=24h")
    first = page.locator("#explorer tbody tr").first.get_attribute("data-key")
    page.get_by_role("link", name="Next").click()
    expect(page).to_have_url(re.compile("page=2"))
    expect(page.locator("#explorer tbody tr").first).not_to_have_attribute("data-key", first or "")
    page.locator('select[name="status"]').select_option("error")
    expect(page).not_to_have_url(re.compile("page="))
    expect(page.locator("#explorer-title")).to_have_text(f"{len(range(7, OPERATIONS, 20))} operations")


def test_search_finds_while_typing_and_keeps_the_focus(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/operations?range=24h")
    page.keyboard.press("/")
    page.keyboard.type("session.turn")
    expect(page.locator("#explorer tbody tr")).to_have_count(1)
    expect(page.locator('input[name="q"]')).to_be_focused()
    expect(page).to_have_url(re.compile("q=session.turn"))


def test_nothing_found_says_so_and_offers_a_way_back(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/operations?range=24h&q=nothing-is-called-this")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    page.get_by_role("link", name="Reset filters").click()
    expect(page.locator("#explorer tbody tr")).to_have_count(50)


def test_an_operation_shows_its_trace_claims_and_price(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/operations?range=24h&q=bold")
    page.locator("#explorer tbody tr").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("review <b>bold</b>")
    expect(page.locator("#waterfall li")).to_have_count(3)
    expect(page.locator('.claim[data-state="used"]')).to_contain_text("computed")
    expect(page.locator('.claim[data-state="quarantined"]')).to_contain_text("$9,990")
    expect(page.get_by_role("region", name="Why this price")).to_contain_text("input")
    page.locator(".crumb").click()
    expect(page).to_have_url(re.compile("q=bold"))


def test_the_trace_is_walked_with_the_arrow_keys(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/operations/t-call")
    page.locator("#waterfall a").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("read_file")


def test_an_outcome_is_kept(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/operations/{0:032x}")
    page.get_by_role("button", name="Accepted").click()
    expect(page.locator("#outcome-note")).to_have_text("Saved.")
    page.reload()
    expect(page.get_by_role("button", name="Accepted")).to_have_attribute("aria-pressed", "true")


def test_a_claim_is_accepted_only_after_asking_once(empty: Server, open_page: OpenPage) -> None:
    wild = {
        "operation_id": "wild",
        "started_at": time.time_ns() // 1000,
        "kind": "llm",
        "name": "chat",
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "input_tokens": 10_000,
        "output_tokens": 500,
        "reported_usd": "9990.01",
    }
    assert empty.send([wild]).status == 200
    page = open_page(f"{empty.url}/operations/wild")
    page.get_by_role("button", name="Accept this claim").click()
    page.get_by_role("button", name="No", exact=True).click()
    assert empty.status()["quarantined_claims"]["count"] == 1
    page.get_by_role("button", name="Accept this claim").click()
    page.get_by_role("button", name="Yes, count it").click()
    expect(page.locator('.claim[data-state="quarantined"]')).to_have_count(0)
    assert empty.status()["quarantined_claims"]["count"] == 0


def test_an_unknown_operation_gets_a_page_that_helps(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/operations/there-is-none", quiet=False)
    expect(page.locator(".problem")).to_be_visible()
    expect(page.locator(".problem")).to_contain_text("Request")
