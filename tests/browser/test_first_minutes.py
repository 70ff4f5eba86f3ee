"""From an empty store to something to see: importing a found log, demo data and back, the first operation."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.support.server import Server

pytestmark = pytest.mark.browser

DEMO_WITHIN_MS = 60_000


def test_demo_data_comes_and_goes_with_one_click_each(empty: Server, open_page: OpenPage) -> None:
    page = open_page(empty.url)
    expect(page).to_have_url(f"{empty.url}/welcome")
    page.get_by_role("button", name="Show demo data").click()
    expect(page).to_have_url(f"{empty.url}/?range=24h", timeout=DEMO_WITHIN_MS)
    banner = page.get_by_role("complementary", name="Demo data")
    expect(banner).to_be_visible()
    assert page.locator("#feed li").count() > 0
    page.goto(f"{empty.url}/operations")
    expect(banner).to_be_visible()
    page.get_by_role("button", name="Remove demo data").click()
    expect(page).to_have_url(f"{empty.url}/welcome", timeout=DEMO_WITHIN_MS)
    expect(banner).to_have_count(0)
    assert empty.status()["operations"] == 0


def test_a_found_log_is_imported_with_one_click(empty: Server, open_page: OpenPage) -> None:
    page = open_page(f"{empty.url}/welcome")
    found = page.locator('[data-source="aider"]')
    expect(found).to_contain_text("1 file")
    assert empty.status()["operations"] == 0, "nothing is read before somebody says so"
    found.get_by_role("button", name="Import").click()
    expect(found.locator('.job[data-state="done"]')).to_be_visible()
    expect(found).to_contain_text("1 imported")
    page.get_by_role("link", name="Open the overview").click()
    expect(page.locator("#models tbody")).to_contain_text("gpt-4o")


def test_the_first_operation_is_announced(empty: Server, open_page: OpenPage) -> None:
    page = open_page(f"{empty.url}/welcome")
    expect(page.locator("#arrived")).to_be_hidden()
    page.wait_for_function("performance.getEntriesByType('resource').length > 0")
    assert empty.send([{"kind": "llm", "name": "chat", "model": "gpt-4o-mini", "provider": "openai"}]).status == 200
    expect(page.locator("#arrived")).to_be_visible()
    page.get_by_role("link", name="Watch it live").click()
    expect(page.locator("#feed li")).to_have_count(1)


def test_each_assistant_has_a_guide_whose_commands_copy(empty: Server, open_page: OpenPage) -> None:
    page = open_page(f"{empty.url}/welcome", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("tab", name="Aider").click()
    guide = page.get_by_role("tabpanel", name="Aider")
    guide.get_by_role("button", name=re.compile("Copy")).first.click()
    expect(guide).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == guide.locator("code").first.inner_text()


def test_without_scripts_the_first_page_still_works(empty: Server, open_page: OpenPage) -> None:
    page = open_page(f"{empty.url}/welcome", java_script_enabled=False)
    page.get_by_role("button", name="Show demo data").click(timeout=DEMO_WITHIN_MS)
    expect(page).to_have_url(f"{empty.url}/?range=24h", timeout=DEMO_WITHIN_MS)
    assert page.locator("[data-tile]").count() == 7
