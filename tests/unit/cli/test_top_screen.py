"""One frame of `top`: fits the terminal, tells what is known, and takes no orders from the data."""

from __future__ import annotations

import io
import re
import time
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from ralex_core.cli.top_feed import Shown
from ralex_core.cli.top_screen import SORTS, clean, frame

HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold red]x[/] \u202eevil\u200b\r\nnext\x9b31m"


def ranked(label: str, calls: int, p95_ms: float | None, cost: str | None, errors: int = 0) -> dict[str, Any]:
    return {
        "key": label,
        "label": label,
        "kind": "tool",
        "operations": calls,
        "errors": errors,
        "p50_ms": 10.0,
        "p95_ms": p95_ms,
        "cost_usd": cost,
    }


def message(**health: Any) -> dict[str, Any]:
    return {
        "at": "2026-11-23T14:03:09.123456Z",
        "metrics": {
            "performance": {
                "operations": 186,
                "errors": 2,
                "error_ratio": 0.0108,
                "operations_per_minute": 12.4,
                "p95_ms": 2110.0,
            },
            "costs": {
                "today": {"cost_usd": "3.12", "budget_usd": "5", "projected_usd": "4.6"},
                "window": {"cost_usd": "0.21", "coverage_ratio": 0.98},
            },
            "usage": {"input_tokens": 812_345, "output_tokens": 9_000},
        },
        "health": {"status": "ok", "reason": None, "queue_operations": 3, "demo": False, "resources": None, **health},
    }


def recent(number: int, name: str = "chat") -> dict[str, Any]:
    return {
        "operation_id": f"op-{number}",
        "started_at": "2026-11-23T14:03:08.000000Z",
        "name": name,
        "kind": "llm",
        "model": "gpt-4o",
        "user": "ana",
        "status": "ok",
        "duration_ms": 1200.0,
        "cost_usd": "0.0035",
    }


SHOWN = Shown(
    "http://127.0.0.1:8000",
    message(),
    names=(
        ranked("slow", 2, 9_000.0, "0.10"),
        ranked("often", 500, 20.0, None),
        ranked("dear", 7, 300.0, "1.50"),
        ranked("failing", 9, None, "0.01", errors=9),
    ),
    models=(ranked("gpt-4o", 12, 2_000.0, "0.21"),),
    recent=tuple(recent(number) for number in range(40)),
)


def drawn(
    shown: Shown,
    width: int = 100,
    height: int | None = None,
    sort: str = "p",
    *,
    paused: bool = False,
    age_s: float = 0,
) -> str:
    """The frame as plain text, of something that was told `age_s` ago."""
    shown = replace(shown, told_at=time.monotonic() - age_s)
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, color_system=None, highlight=False, markup=False)
    console.print(frame(shown, width=width, height=height, sort=SORTS[sort], paused=paused))
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 79, 80, 100, 110, 140, 200])
@pytest.mark.parametrize("height", [None, 24, 40])
def test_it_fits_the_terminal(width: int, height: int | None) -> None:
    lines = drawn(SHOWN, width, height).splitlines()
    assert max(len(line) for line in lines) <= width
    if height is not None:
        assert len(lines) <= height


@pytest.mark.parametrize("width", [60, 200])
def test_it_tells_how_things_are(width: int) -> None:
    text = drawn(SHOWN, width)
    assert "$3.12 of $5.00 today, on course for $4.60; p95 2.1 s" in text
    assert "● live" in text
    for word in ("Spend today", "12", "2.1 s", "1.1 %", "slow", "gpt-4o", "chat", "Queue"):
        assert word in text


def test_nothing_that_ran_is_said_and_not_zero() -> None:
    quiet = message()
    quiet["metrics"]["performance"] |= {"operations": 0, "errors": 0, "p95_ms": None, "error_ratio": None}
    text = drawn(Shown("http://127.0.0.1:8000", quiet))
    assert "nothing ran in the last 15 minutes" in text
    assert "none in the last 15 minutes" in text
    assert "—" in text


@pytest.mark.parametrize(("key", "first"), [("p", "slow"), ("c", "often"), ("d", "dear"), ("e", "failing")])
def test_each_key_sorts_by_its_figure_and_unknown_comes_last(key: str, first: str) -> None:
    lines = drawn(SHOWN, sort=key).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Operations"))
    assert lines[start + 1].startswith(first)
    if key == "p":
        assert lines[start + 4].startswith("failing")


def test_hostile_names_are_shown_and_not_obeyed() -> None:
    shown = replace(
        SHOWN,
        url=f"http://x/{HOSTILE}",
        names=(ranked(HOSTILE, 1, 1.0, None),),
        recent=(recent(1, HOSTILE),),
        message=message(status="degraded", reason=HOSTILE),
        problem=HOSTILE,
    )
    for width in (60, 100, 200):
        text = drawn(shown, width)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e]", text)
        assert "[bold red]x[/]" in text


def test_one_line_stays_one_line() -> None:
    assert clean(HOSTILE) == "·[2J·]0;owned·[bold red]x[/] ·evil···next·31m"
    assert len(clean("x" * 5000)) == 200


def test_a_server_that_went_away_is_told_with_the_age_of_what_is_shown() -> None:
    text = drawn(replace(SHOWN, problem="No monitor answers at http://127.0.0.1:8000."), 160, age_s=42)
    assert "● reconnecting, 42 s old" in text
    assert "No monitor answers" in text
    assert "slow" in text


def test_paused_and_the_order_are_shown() -> None:
    text = drawn(SHOWN, 100, 40, "d", paused=True)
    assert "● paused" in text
    assert "cost▾" in text
    assert "q quit" in text
