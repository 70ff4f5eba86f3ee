"""What every page shares: keys, palette, theme, rail, and that it fits the screen it is on."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.support.server import Server

pytestmark = pytest.mark.browser

PAGES = (
    "/?range=24h",
    "/?range=live&model=claude-opus-4-5",
    "/operations?range=24h",
    "/operations/t-call",
    "/traces?range=24h",
    "/traces/" + "f" * 32,
    "/welcome",
    "/database?range=24h",
    "/monitor",
    "/resources",
    "/docs",
    "/nowhere",
)


def test_the_palette_goes_anywhere_by_keyboard_alone(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Search and jump")).to_be_focused()
    page.keyboard.type("7 d")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("range=7d"))
    page.keyboard.press("Control+k")
    page.keyboard.type("operations")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/operations"))


def test_the_palette_finds_values_to_filter_by(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    page.keyboard.press("Control+k")
    page.keyboard.type("haiku")
    expect(page.get_by_role("option").first).to_contain_text("claude-haiku-4-5")
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_contain_text("claude-haiku-4-5")


def test_keys_are_listed_and_work(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("p")
    expect(page).to_have_url(re.compile("/operations"))


def test_the_theme_follows_the_system_until_it_is_chosen(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h", color_scheme="dark")
    assert theme(page) == "dark"
    page.keyboard.press("t")
    assert theme(page) == "light"
    page.reload()
    assert theme(page) == "light"


def theme(page: Page) -> str | None:
    return page.locator("html").get_attribute("data-theme")


def test_the_theme_is_right_before_the_first_paint(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h", color_scheme="dark")
    assert page.evaluate(
        "document.querySelector('head script').src.includes('theme.js') && !document.querySelector('head script').defer"
    )
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 14, 16)"


def test_the_rail_stays_collapsed(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    page.locator('[data-action="rail"]').click()
    expect(page.locator(".brand-name")).to_be_hidden()
    page.reload()
    expect(page.locator(".brand-name")).to_be_hidden()


def test_a_phones_row_of_pages_scrolls_and_shows_the_one_that_is_open(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/forecast", width=390, height=844)
    expect(page.locator('.nav-item[aria-current="page"]')).to_be_in_viewport(ratio=1)
    last = page.locator(".nav-item[data-nav]").last
    last.scroll_into_view_if_needed()
    expect(last).to_be_in_viewport(ratio=0.99)  # scrolled to a fraction of a pixel
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_first_tab_stop_skips_to_the_content(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


@pytest.mark.parametrize("width", [390, 768, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_scrolls_sideways(stocked: Server, open_page: OpenPage, width: int, scheme: str) -> None:
    page = open_page(f"{stocked.url}/welcome", width=width, height=844, quiet=False, color_scheme=scheme)
    for path in PAGES:
        page.goto(f"{stocked.url}{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert theme(page) == scheme


@pytest.mark.parametrize("path", [path for path in PAGES if path not in ("/docs", "/nowhere")])
def test_every_control_has_a_name(stocked: Server, open_page: OpenPage, path: str) -> None:
    page = open_page(f"{stocked.url}{path}")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a[href], input:not([type=hidden]), select")]
            .filter((node) => node.checkVisibility())
            .filter((node) => !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length))
            .map((node) => node.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    assert page.locator("main").count() == 1
    assert page.locator("h1").count() == 1


def test_motion_stops_for_those_who_ask(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=live", reduced_motion="reduce")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    assert page.evaluate("getComputedStyle(document.querySelector('.live-dot')).animationName") == "none"


def test_a_cold_visit_stays_within_its_budget(stocked: Server, open_page: OpenPage) -> None:
    page = open_page("about:blank")
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(f"{stocked.url}/?range=24h", wait_until="networkidle")
    assert len(sizes) > 5
    assert sum(sizes) <= 300_000, f"{sum(sizes) / 1000:.0f} kB"
