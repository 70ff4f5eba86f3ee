"""The overview in a real browser: first paint, live updates, range and filters in the address, charts."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.support.server import Server

pytestmark = pytest.mark.browser


def chat(name: str, **changes: object) -> dict[str, object]:
    return {
        "kind": "llm",
        "name": name,
        "provider": "openai",
        "model": "gpt-4o-mini",
        "input_tokens": 1200,
        "output_tokens": 80,
        "duration_ms": 940,
        "started_at": time.time_ns() // 1000 - 940_000,
        **changes,
    }


def is_live(page: Page) -> None:
    expect(page.locator("#live")).to_have_attribute("data-state", "live")


def mark(page: Page) -> None:
    """Leaves something in the page that a reload would lose."""
    page.evaluate("window.same = true")


def was_not_reloaded(page: Page) -> bool:
    return bool(page.evaluate("window.same === true"))


def test_numbers_are_there_before_any_script_runs(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h", java_script_enabled=False)
    assert re.search(r"\$\d", page.locator("#headline").inner_text())
    # just after midnight nothing was spent today: the models' costs are those of the whole range
    assert re.search(r"\$\d", page.locator('[data-tile="spend_today"] .tile-number').inner_text())
    assert re.search(r"\$\d+\.\d\d", page.locator("#models tbody tr").first.inner_text())
    assert page.locator("[data-tile]").count() == 7
    assert page.locator("#models tbody tr").count() == 4
    assert page.locator("#feed li").count() == 50


def test_an_operation_shows_without_a_reload(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=live")
    is_live(page)
    mark(page)
    known = page.locator('[data-tile="tokens"] .tile-number').inner_text()
    assert stocked.send([chat("fresh from the press")]).status == 200
    expect(page.locator("#feed li").first).to_contain_text("fresh from the press")
    expect(page.locator('[data-tile="tokens"] .tile-number')).not_to_have_text(known)
    assert was_not_reloaded(page)


def test_live_data_respects_the_filters(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=live&project=gamma")
    is_live(page)
    assert stocked.send([chat("not mine", project="delta"), chat("mine", project="gamma")]).status == 200
    expect(page.locator("#feed li").first).to_contain_text("mine")
    expect(page.locator("#feed")).not_to_contain_text("not mine")


def test_a_paused_page_stands_still_until_it_goes_on(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=live")
    is_live(page)
    page.locator("#live").click()
    expect(page.locator("#live")).to_have_attribute("data-state", "paused")
    assert stocked.send([chat("while paused")]).status == 200
    expect(page.locator("#feed")).not_to_contain_text("while paused")
    page.locator("#live").click()
    expect(page.locator("#feed li").first).to_contain_text("while paused")


def test_the_page_finds_a_restarted_server_by_itself(empty: Server, open_page: OpenPage) -> None:
    assert empty.send([chat("before")]).status == 200
    page = open_page(f"{empty.url}/?range=live", quiet=False)
    is_live(page)
    mark(page)
    empty.stop()
    expect(page.locator("#live")).to_have_attribute("data-state", "reconnecting")
    expect(page.locator("#feed")).to_contain_text("before")
    empty.start()
    expect(page.locator("#live")).to_have_attribute("data-state", "live", timeout=30_000)
    assert empty.send([chat("after")]).status == 200
    expect(page.locator("#feed li").first).to_contain_text("after")
    assert was_not_reloaded(page)


def test_range_is_in_the_address_and_the_back_button_works(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    mark(page)
    page.locator('[data-range="7d"]').click()
    expect(page).to_have_url(re.compile("range=7d"))
    expect(page.locator('[data-range="7d"]')).to_have_attribute("aria-current", "true")
    page.go_back()
    expect(page).to_have_url(re.compile("range=24h"))
    expect(page.locator('[data-range="24h"]')).to_have_attribute("aria-current", "true")
    expect(page.locator('[data-range="7d"]')).not_to_have_attribute("aria-current", "true")
    assert was_not_reloaded(page)


def test_a_filter_is_picked_shown_as_a_chip_and_removed(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    mark(page)
    page.locator('[data-filter=""]').click()
    menu = page.get_by_role("dialog", name="Add a filter")
    menu.get_by_role("button", name="Model").click()
    menu.get_by_role("searchbox").fill("opus")
    menu.get_by_role("button", name=re.compile("claude-opus-4-5")).click()
    expect(page).to_have_url(re.compile("model=claude-opus-4-5"))
    expect(page.locator("#models tbody tr")).to_have_count(1)
    chip = page.locator(".chip")
    expect(chip).to_contain_text("claude-opus-4-5")
    chip.get_by_role("link", name="Remove filter Model claude-opus-4-5").click()
    expect(page.locator(".chip")).to_have_count(0)
    expect(page.locator("#models tbody tr")).to_have_count(4)
    assert was_not_reloaded(page)


def test_a_custom_range_is_typed_in(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    page.locator('[data-range="custom"]').click()
    form = page.locator("#custom-range")
    form.get_by_label("From").fill("2020-01-01T00:00")
    form.get_by_label("To").fill("2020-01-02T00:00")
    form.get_by_role("button", name="Show").click()
    expect(page.locator("#empty")).to_contain_text("No operations in this range")
    expect(page).to_have_url(re.compile("range=custom&from=2020-01-01T00%3A00&to=2020-01-02T00%3A00"))


def test_dragging_zooms_all_charts_and_a_double_click_goes_back(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    plot = page.locator('[data-chart="spend"] .u-over')
    plot.wait_for()
    box = plot.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.4, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile("range=custom&.*from=.*&to="))
    expect(page.locator('[data-range="custom"]')).to_have_attribute("aria-current", "true")
    plot.dblclick()
    expect(page).to_have_url(re.compile("range=24h"))


def test_one_cursor_reads_exact_values_in_every_chart(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    plot = page.locator('[data-chart="spend"] .u-over')
    plot.wait_for()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30)
    tip = page.locator('[data-chart="spend"] .tip')
    expect(tip).to_contain_text("Total")
    expect(tip).to_contain_text("$")
    expect(page.locator('[data-chart="latency"] [data-note]')).to_have_text(re.compile(r"\d\d:\d\d–\d\d:\d\d"))
    expect(page.locator('[data-chart="spend"] [data-note]')).to_have_text(
        page.locator('[data-chart="latency"] [data-note]').inner_text()
    )


def test_a_chart_is_read_with_the_keyboard(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    chart = page.locator('[data-chart="spend"] [data-plot]')
    page.locator('[data-chart="spend"] canvas').wait_for()
    chart.focus()
    page.keyboard.press("End")
    last = page.locator('[data-chart="spend"] [data-note]').inner_text()
    page.keyboard.press("ArrowLeft")
    expect(page.locator('[data-chart="spend"] [data-note]')).not_to_have_text(last)
    expect(page.locator('[data-chart="spend"] .tip')).to_be_visible()


def test_the_legend_hides_a_series_and_the_split_switches(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    panel = page.locator('[data-chart="spend"]')
    premium = panel.get_by_role("button", name=re.compile("^premium"))
    expect(premium).to_have_attribute("aria-pressed", "true")
    premium.click()
    expect(premium).to_have_attribute("aria-pressed", "false")
    panel.get_by_role("button", name="Model", exact=True).click()
    expect(panel.get_by_role("button", name=re.compile("^claude-opus-4-5"))).to_be_visible()


def test_a_chart_is_also_a_table(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    page.get_by_role("button", name="Show response times as a table").click()
    table = page.get_by_role("region", name="The chart's data")
    assert table.locator("tbody tr").count() > 20
    expect(table.locator("thead")).to_contain_text("p95")
    page.get_by_role("button", name="Show response times as a table").click()
    expect(table).to_have_count(0)


def test_the_quarantined_claim_is_told_and_leads_to_its_operation(stocked: Server, open_page: OpenPage) -> None:
    page = open_page(f"{stocked.url}/?range=24h")
    page.locator("#headline").get_by_role("link", name=re.compile("quarantined")).click()
    expect(page.locator("#explorer tbody tr")).to_have_count(1)
    expect(page.locator("#explorer tbody")).to_contain_text("review <b>bold</b>")
