"""A real Chromium and a real server with known operations. Pages complain about every error the browser reports."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.support.server import Server, running

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HOUR_US = 3_600_000_000
MODELS = (
    ("openai", "gpt-4o-mini"),
    ("anthropic", "claude-haiku-4-5"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-opus-4-5"),
)
OPERATIONS = 240
"""How many operations `stocked` holds: more than four pages of the smallest size."""


PATIENCE_MS = 20_000
"""What is waited for at most; a busy machine is not a failure."""

expect.set_options(timeout=PATIENCE_MS)


def chromium() -> str:
    """The browser's path; skips when there is none."""
    found = os.environ.get("RALEX_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("needs Chromium: install it, or set RALEX_CHROMIUM to its path")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """`open_page(url, width=1440, height=900, quiet=True, **context options)`: a page in a context of its own.

    At the end of the test, a quiet page must have reported no error, and no violation of its content policy.
    """
    problems: list[str] = []
    contexts = []

    def open_(url: str, *, width: int = 1440, height: int = 900, quiet: bool = True, **options: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        if quiet:
            page.on("console", lambda message: _note(problems, message))
            page.on("pageerror", lambda error: problems.append(f"uncaught: {error}"))
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert problems == []


def _note(problems: list[str], message: ConsoleMessage) -> None:
    if message.type in ("error", "warning"):
        problems.append(f"{message.type}: {message.text}")


def operation(index: int, rng: random.Random, now_us: int) -> dict[str, object]:
    """The `index`-th of `stocked`: spread over the last 20 hours, the newest half an hour old."""
    provider, model = MODELS[index % len(MODELS)]
    return {
        "operation_id": f"{index:032x}",
        "kind": "llm",
        "name": ("chat", "edit", "plan")[index % 3],
        "started_at": now_us - HOUR_US // 2 - index * (20 * HOUR_US // OPERATIONS),
        "duration_ms": round(rng.lognormvariate(7, 0.8), 1),
        "status": "error" if index % 20 == 7 else "ok",
        "provider": provider,
        "model": model,
        "input_tokens": rng.randrange(500, 60_000),
        "output_tokens": rng.randrange(20, 3_000),
        "project": ("alpha", "beta")[index % 2],
        "user_id": ("ana", "bo", "carmen")[index % 3],
        "session_id": f"session-{index // 12}",
    }


def a_trace(now_us: int) -> list[dict[str, object]]:
    """A task that called a model and a tool; the model's reported cost is wildly off."""
    trace_id = "f" * 32
    shared = {"trace_id": trace_id, "project": "alpha", "user_id": "ana"}
    start = now_us - HOUR_US // 2
    return [
        {
            **shared,
            "operation_id": "t-root",
            "span_id": "a" * 16,
            "kind": "task",
            "name": "session.turn",
            "started_at": start,
            "duration_ms": 9000,
        },
        {
            **shared,
            "operation_id": "t-call",
            "span_id": "b" * 16,
            "parent_span_id": "a" * 16,
            "kind": "llm",
            "name": "review <b>bold</b>",
            "provider": "anthropic",
            "model": "claude-sonnet-4-5",
            "input_tokens": 10_000,
            "output_tokens": 500,
            "reported_usd": "9990.01",
            "started_at": start + 500_000,
            "duration_ms": 4000,
        },
        {
            **shared,
            "operation_id": "t-tool",
            "span_id": "c" * 16,
            "parent_span_id": "a" * 16,
            "kind": "tool",
            "name": "read_file",
            "started_at": start + 5_000_000,
            "duration_ms": 120,
        },
    ]


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with `OPERATIONS` calls to models, and one trace."""
    with running(
        tmp_path_factory.mktemp("stocked") / "home", extra_environment={"RALEX_MONITOR_DAILY_BUDGET_USD": "50"}
    ) as server:
        now_us = time.time_ns() // 1000
        rng = random.Random(7)
        sent = server.send([operation(index, rng, now_us) for index in range(OPERATIONS)] + a_trace(now_us))
        assert sent.status == 200, sent
        server.stop()  # brings the rollups up to date, which the lists of filter values come from
        server.start()
        yield server


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Server]:
    """A server without data, on a machine where Aider left a log."""
    log = tmp_path / "nobody" / ".aider" / "analytics.jsonl"
    log.parent.mkdir(parents=True)
    message = {"main_model": "gpt-4o", "edit_format": "diff", "prompt_tokens": 1200, "completion_tokens": 80}
    event = {"event": "message_send", "properties": {**message, "cost": 0.0038}, "user_id": "u-1", "time": 1746631772}
    log.write_text(json.dumps(event) + "\n", encoding="utf-8")
    with running(tmp_path / "home") as server:
        yield server
