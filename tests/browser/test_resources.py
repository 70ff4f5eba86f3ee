"""The page of resources: live figures, charts, processes that come and go."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.support.server import Server, running

pytestmark = pytest.mark.browser

WATCHED = "browser-test-assistant"
WORK = 'memory = bytearray(80 << 20)\nprint("ready", flush=True)\nimport sys\nsys.stdin.read()\n'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    watch = {"RALEX_MONITOR_WATCH_PROCESSES": f'["{WATCHED}"]', "RALEX_MONITOR_RESOURCE_INTERVAL_S": "0.5"}
    with running(tmp_path / "home", extra_environment=watch) as server:
        yield server


def test_an_assistant_appears_with_its_figures_and_is_marked_when_it_has_ended(
    server: Server, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(f"{server.url}/resources?range=live")
    expect(page.locator("#live .live-word")).to_have_text("Live")
    expect(page.locator("#processes")).to_contain_text("this monitor")
    expect(page.locator('[data-tile="cpu"] .tile-number')).to_contain_text("%")
    script = tmp_path / WATCHED
    script.write_text(WORK)
    worker = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert worker.stdout is not None and worker.stdout.readline() == b"ready\n"
        row = page.locator("#processes tbody tr", has_text=WATCHED)
        expect(row).to_have_count(1)  # without a reload
        expect(row).to_contain_text(str(worker.pid))
        expect(row.locator('[data-cell="memory"]')).to_contain_text("MB")
    finally:
        worker.kill()
        worker.communicate()
    expect(row).to_contain_text("ended")
    expect(row.locator('[data-cell="cpu"]')).to_have_text("—")


def test_charts_are_read_by_keyboard_and_as_a_table(server: Server, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/resources?range=live")
    panel = page.locator('[data-chart="memory"]')
    expect(panel.locator("canvas")).to_be_visible()
    expect(panel.locator(".legend-value").first).to_contain_text("%")  # stored within ten seconds
    panel.get_by_role("button", name="Show memory and swap as a table").click()
    expect(panel.locator("tbody tr").first).to_contain_text("%")
    cpu = page.locator('[data-chart="cpu"] .chart-upper')
    cpu.focus()
    page.keyboard.press("End")
    expect(cpu.locator(".tip")).to_contain_text("all cores")


def test_it_fits_a_phone(server: Server, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/resources", width=390, height=844)
    expect(page.locator("#tiles")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_process_given_by_pid_is_shown(server: Server, open_page: OpenPage) -> None:
    answer = server.request(
        "POST",
        "/api/v1/resources/processes",
        body=f'{{"pid": {os.getpid()}}}'.encode(),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status == 201, answer
    page = open_page(f"{server.url}/resources")
    expect(page.locator("#processes tbody tr", has_text="by pid")).to_have_count(1)
