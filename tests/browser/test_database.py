"""The pages about database statements."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import HOUR_US, OpenPage
from tests.support.server import Server, running
from tests.support.statements import INSERT, LIST, REPORT, requests

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that recorded a small service with a database."""
    with running(tmp_path_factory.mktemp("service") / "home") as server:
        sent = server.send(requests(300, time.time_ns() // 1000, 10 * HOUR_US))
        assert sent.status == 200, sent
        yield server


def test_statements_are_sorted_and_opened(service: Server, open_page: OpenPage) -> None:
    page = open_page(f"{service.url}/database?range=24h")
    rows = page.locator("#statements tbody tr")
    expect(rows).to_have_count(4)
    page.locator('th[data-column="errors"] a').click()
    expect(page).to_have_url(re.compile("sort=errors"))
    expect(rows.first).to_have_attribute("data-key", INSERT)
    page.get_by_role("link", name="SELECT id, title").click()
    expect(page.locator(".statement-full code")).to_have_text(LIST)
    expect(page.locator('[data-chart="latency"] canvas').first).to_be_visible()
    expect(page.locator("#callers")).to_contain_text("GET /tickets")
    page.locator("#slowest tbody a").first.click()
    expect(page.locator("#waterfall li").first).to_be_visible()


def test_one_statement_fits_a_phone(service: Server, open_page: OpenPage) -> None:
    page = open_page(f"{service.url}/database?range=24h&sort=p95", width=390, height=844)
    expect(page.locator("#statements tbody tr").first).to_have_attribute("data-key", REPORT)
    page.locator("#statements tbody a.statement").first.click()
    expect(page.locator("#slowest tbody tr").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
