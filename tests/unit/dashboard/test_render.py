"""Numbers as people read them, and JSON that cannot break out of its page."""

from __future__ import annotations

import json
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from jinja2 import UndefinedError

from ralex_core import render

CASES = json.loads((Path(__file__).parents[2] / "js" / "format_cases.json").read_text("utf-8"))
NOW_US = 1_767_225_600_000_000
FORMATTERS = {
    "usd": render.usd,
    "ms": render.duration,
    "count": render.count,
    "bytes": render.size,
    "percent": render.percent,
    "ratio": render.ratio,
    "rate": render.rate,
    "sparkline": render.sparkline,
    "ago": lambda seconds: render.ago(NOW_US - round(seconds * 1e6), NOW_US),
}


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [(name, value, text) for name, cases in CASES.items() if name in FORMATTERS for value, text in cases],
)
def test_the_server_formats_as_the_browser_does(name: str, value: object, text: str) -> None:
    assert FORMATTERS[name](value) == text


def test_every_shared_case_is_checked_here() -> None:
    assert set(CASES) <= set(FORMATTERS)


def test_times_are_shown_in_the_zone_asked_for() -> None:
    assert render.exact(NOW_US, UTC) == "2026-01-01 00:00:00"
    assert render.exact("2026-07-01T00:00:00Z", ZoneInfo("Europe/Berlin")) == "2026-07-01 02:00:00"
    assert render.exact(None, UTC) == render.UNKNOWN


def test_iso_times_keep_every_microsecond() -> None:
    assert render.to_iso(NOW_US + 1) == "2026-01-01T00:00:00.000001Z"
    assert render.to_iso(None) is None


def test_money_is_a_plain_decimal_string_in_json() -> None:
    assert render.to_json({"usd": Decimal("0.000000100"), "all": (Decimal("1E+3"),)}) == (
        b'{"usd":"0.0000001","all":["1000"]}'
    )


def test_not_a_number_becomes_null() -> None:
    assert render.to_json([float("nan"), float("inf")]) == b"[null,null]"


def test_a_json_block_cannot_end_its_script_element() -> None:
    hostile = {"name": "</script><script>alert(1)</script>&\u2028"}
    block = str(render.json_block(hostile))
    assert "<" not in block and ">" not in block and "&" not in block and "\u2028" not in block
    assert json.loads(block) == hostile


def test_templates_escape_and_refuse_unknown_names() -> None:
    env = render.environment(zone=UTC, now_us=lambda: NOW_US, static_url=lambda path: f"/static/x/{path}")
    assert env.from_string("{{ name }}").render(name="<b>") == "&lt;b&gt;"
    with pytest.raises(UndefinedError):
        env.from_string("{{ missing }}").render()


def test_the_filters_of_the_environment_are_the_functions_above() -> None:
    env = render.environment(zone=UTC, now_us=lambda: NOW_US, static_url=lambda path: path)
    text = "{{ 0.0042|usd }} {{ 2100|ms }} {{ 12345|count }} {{ 0.5|percent }} {{ t|when }} {{ t|ago }}"
    shown = env.from_string(text).render(t=NOW_US)
    assert shown == "$0.0042 2.1 s 12,345 50.0 % 2026-01-01 00:00:00 just now"
