"""Money is a decimal string or null in every answer, also where filters let nothing through."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.dashboard import NOW_US, client_of, small_host
from tests.support.operations import make_operation

EMPTY = ("model=nobody", "project=nobody&model=nobody", "tier=nobody&user=nobody", "project=p&user=")


def money(document: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value under a name that ends in _usd, with where it is. Lists of numbers are points of charts."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name.endswith("_usd") and not isinstance(value, dict | list):
                yield f"{path}.{name}", value
            yield from money(value, f"{path}.{name}")
    elif isinstance(document, list):
        for value in document:
            yield from money(value, f"{path}[]")


@pytest.mark.parametrize("filled", [False, True])
async def test_money_is_text_or_null_whatever_is_asked(tmp_path: Path, filled: bool) -> None:
    wrong: list[tuple[str, str, Any]] = []
    seen = 0
    with small_host(tmp_path) as host:
        if filled:
            host.store(
                [
                    make_operation("a", started_at=NOW_US - 60_000_000, cost_usd=Decimal("0.25"), project="p"),
                    make_operation("b", started_at=NOW_US - 50_000_000, cost_usd=None, project="q"),
                ]
            )
        async with client_of(host) as client:
            paths = (await client.get("/openapi.json")).json()["paths"]
            for path in (path for path, item in paths.items() if "get" in item and "{" not in path):
                for query in ("", *EMPTY):
                    answer = await client.get(f"{path}?{query}")
                    assert answer.status_code < 500, (path, query, answer.text)
                    if "json" not in answer.headers.get("content-type", "") or path == "/openapi.json":
                        continue
                    for place, value in money(answer.json()):
                        seen += 1
                        if value is not None and not isinstance(value, str):
                            wrong.append((f"{path}?{query}", place, value))
    assert wrong == []
    assert seen > 20
