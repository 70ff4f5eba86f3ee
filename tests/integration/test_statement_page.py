"""Statements through the server: the page, the API and the CSV tell the same."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from ralex_core.dashboard.csv_text import csv_text
from tests.support.dashboard import NOW_US, SmallHost, client_of, small_host
from tests.support.operations import make_operation

FORMULA = "=cmd|' /C calc'!A0"
D = Decimal


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SmallHost]:
    with small_host(tmp_path, timezone="America/New_York") as opened:
        yield opened


@pytest.fixture
async def client(host: SmallHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host, accept="text/html") as opened:
        yield opened


async def asked(client: httpx.AsyncClient, **parameters: str) -> Any:
    answer = await client.get("/api/v1/costs/statement", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_the_newest_month_opens_and_every_face_tells_the_same(host: SmallHost, client: httpx.AsyncClient) -> None:
    host.store(
        [
            make_operation(
                "a", started_at=NOW_US - 1, reported_usd=D("0.5"), computed_usd=D("0.48"), cost_usd=D("0.48")
            ),
            make_operation(
                "b", started_at=NOW_US - 2, model=FORMULA, computed_usd=None, cost_usd=None, cost_basis="unknown"
            ),
        ]
    )
    data = await asked(client)
    assert (data["label"], data["timezone"], data["complete"]) == ("2026-01", "America/New_York", False)
    assert (data["total"]["cost_usd"], data["total"]["coverage_ratio"]) == ("0.48", 0.5)
    assert data["total"]["reported_minus_computed"]["difference_usd"] == "0.02"
    assert [line["state"] for line in data["lines"]] == ["unexplained", "alone"]
    assert data["lines"][1]["sums"]["cost_usd"] is None  # not known, so not 0
    assert sum(day["sums"]["calls"] for day in data["days"]) == 2

    page = unescape((await client.get("/statement")).text)
    assert "January 2026" in page and "local days (America/New_York)" in page
    assert "+0.0200" in page and "not over" in page and FORMULA in page

    answer = await client.get("/api/v1/costs/statement.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="statement-2026-01-local.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["row"] for row in rows].count("day") == 31
    total = rows[-1]
    assert (total["row"], total["cost_usd"], total["billed_usd"]) == ("total", "0.48", "")
    assert rows[1]["model"] == f"'{FORMULA}"


async def test_a_day_is_utc_or_local_as_asked(host: SmallHost, client: httpx.AsyncClient) -> None:
    host.store(make_operation("a", started_at=NOW_US - 10 * 3_600_000_000))  # 02:00 UTC, the evening before in New York
    assert (await asked(client, day="2026-01-01", boundary="utc"))["total"]["calls"] == 1
    assert (await asked(client, day="2026-01-01", boundary="local"))["total"]["calls"] == 0
    before = await asked(client, day="2025-12-31")
    assert (before["total"]["calls"], before["start_at"]) == (1, "2025-12-31T05:00:00.000000Z")
    page = (await client.get("/statement", params={"day": "2026-01-01"})).text
    assert "No calls to models in this day" in page


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"day": "2026-02-30"}, "2026-11-24"),
        ({"day": "yesterday"}, "2026-11-24"),
        ({"month": "2026-13"}, "2026-11"),
        ({"month": "1969-01"}, "1970 to 2099"),
        ({"day": "2026-01-01", "month": "2026-01"}, "not both"),
        ({"boundary": "mars"}, "local, utc"),
        ({"rang": "7d"}, "not known"),
    ],
)
async def test_a_period_nobody_can_read_is_refused(
    client: httpx.AsyncClient, parameters: dict[str, str], named: str
) -> None:
    for path in ("/api/v1/costs/statement", "/api/v1/costs/statement.csv", "/statement"):
        answer = await client.get(path, params=parameters)
        assert (answer.status_code, named in unescape(answer.text)) == (422, True), answer.text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "|x"])
def test_text_that_a_spreadsheet_would_run_is_made_text(text: str) -> None:
    assert next(csv.reader(io.StringIO(csv_text(("a",), [[text]]).split("\r\n", 1)[1]))) == [f"'{text}"]


def test_numbers_stay_numbers_and_unknown_is_empty() -> None:
    assert (
        csv_text(("a", "b", "c", "d"), [[D("-0.50"), None, 'say "hi", x', 3]])
        == 'a,b,c,d\r\n-0.5,,"say ""hi"", x",3\r\n'
    )
