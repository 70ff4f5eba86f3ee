"""The operations API over the real application: the native door, pages of rows, details, decisions."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from ralex_core.dashboard.params import LIST_FIELDS
from ralex_core.model.window import DAY_US
from tests.support.dashboard import NOW_US, SmallHost, client_of, small_host
from tests.support.operations import make_operation, random_operations

URL = "/api/v1/operations"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SmallHost]:
    with small_host(tmp_path) as opened:
        yield opened


@pytest.fixture
async def client(host: SmallHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host) as opened:
        yield opened


def record(**changes: Any) -> dict[str, Any]:
    return {
        "operation_id": "a",
        "kind": "llm",
        "name": "chat",
        "provider": "openai",
        "model": "gpt-4o",
        "started_at": "2026-01-01T11:59:00Z",
        "duration_ms": 1200,
        "input_tokens": 1000,
        "output_tokens": 100,
        **changes,
    }


# --- the door ----------------------------------------------------------------------------------------------------


async def test_an_acknowledged_operation_is_stored_and_priced(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, json=record())
    assert answer.status_code == 200
    assert answer.json() == {"data": {"accepted": 1, "duplicates": 0, "not_stored": 0, "rejected": []}}
    found = (await client.get(f"{URL}/a")).json()["data"]["operation"]
    assert found["cost_basis"] == "computed"
    assert Decimal(found["cost_usd"]) > 0
    assert found["door"] == "api"


async def test_sending_again_stores_nothing_twice(client: httpx.AsyncClient) -> None:
    await client.post(URL, json=[record()])
    answer = await client.post(URL, json=[record(), record(operation_id="b")])
    assert answer.json()["data"] == {"accepted": 1, "duplicates": 1, "not_stored": 0, "rejected": []}


async def test_ndjson_and_gzip_and_the_sdk_are_understood(client: httpx.AsyncClient) -> None:
    body = "\n".join(json.dumps(record(operation_id=str(n))) for n in range(3)).encode()
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip", "X-Ralex-Door": "sdk"}
    answer = await client.post(URL, content=gzip.compress(body), headers=headers)
    assert answer.json()["data"]["accepted"] == 3
    assert (await client.get(f"{URL}/1")).json()["data"]["operation"]["door"] == "sdk"


async def test_a_bad_record_is_named_and_does_not_stop_the_others(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, json=[record(), record(operation_id="b", cost_usd=1), {"kind": "llm"}])
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert data["accepted"] == 1
    assert [rejected["index"] for rejected in data["rejected"]] == [1, 2]
    assert "cost_usd" in data["rejected"][0]["reason"]


async def test_a_request_without_one_good_record_is_an_error(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, json={"kind": "llm"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "invalid_operations"
    assert "name" in error["message"]
    assert error["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{}", {"Content-Type": "text/csv"}, 415, "unsupported_content"),
        (b"{}", {"Content-Encoding": "br"}, 415, "unsupported_content"),
        (b"not gzip", {"Content-Encoding": "gzip"}, 400, "unreadable_body"),
        (b"not json", {}, 400, "invalid_operations"),
        (b"[1, 2]", {}, 400, "invalid_operations"),
    ],
)
async def test_what_cannot_be_read_is_refused_with_a_reason(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await client.post(URL, content=content, headers={"Content-Type": "application/json", **headers})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_body_that_unfolds_to_more_than_allowed_is_refused(tmp_path: Path) -> None:
    with small_host(tmp_path, max_body_mb=1) as host:
        async with client_of(host) as client:
            bomb = gzip.compress(b" " * (2 << 20))
            headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
            answer = await client.post(URL, content=bomb, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


async def test_a_full_queue_answers_503_and_says_when_to_come_back(tmp_path: Path) -> None:
    with small_host(tmp_path) as host:
        host.real.writer.close()  # as while shutting down: nothing is taken any more
        async with client_of(host) as client:
            answer = await client.post(URL, json=record())
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "queue_full"
            assert int(answer.headers["retry-after"]) >= 1


async def test_an_operation_older_than_what_is_kept_is_named_as_rejected(tmp_path: Path) -> None:
    with small_host(tmp_path, retention_days=30) as host:
        host.store(make_operation("keep", started_at=NOW_US))
        host.real.writer.run(lambda: host.real.store.apply_retention(NOW_US)).result()
        async with client_of(host) as client:
            answer = await client.post(
                URL, json=[record(), record(operation_id="old", started_at="2025-01-01T00:00:00Z")]
            )
            data = answer.json()["data"]
            assert data["accepted"] == 1
            assert [rejected["index"] for rejected in data["rejected"]] == [1]
            assert "retention_days" in data["rejected"][0]["reason"]


# --- rows --------------------------------------------------------------------------------------------------------


async def test_a_page_of_operations_is_filtered_sorted_and_counted(host: SmallHost, client: httpx.AsyncClient) -> None:
    operations = random_operations(3, 400, start_us=NOW_US - DAY_US // 2, span_us=DAY_US // 3)
    host.store(operations)
    query = {"project": ["alpha", "beta"], "kind": "llm", "sort": "duration_ms", "dir": "asc", "size": 25, "page": 2}
    data = (await client.get(URL, params=query)).json()["data"]
    expected = [
        operation for operation in operations if operation.kind == "llm" and operation.project in ("alpha", "beta")
    ]
    known = sorted(operation.duration_ms for operation in expected if operation.duration_ms is not None)
    assert (data["total"], data["total_is_exact"], data["page"], data["size"]) == (len(expected), True, 2, 25)
    assert data["pages"] == -(-len(expected) // 25)
    assert [row["duration_ms"] for row in data["rows"]] == known[25:50]


async def test_an_empty_filter_value_finds_what_is_not_known(host: SmallHost, client: httpx.AsyncClient) -> None:
    host.store(
        [make_operation("a", project=None, started_at=NOW_US), make_operation("b", project="p", started_at=NOW_US)]
    )
    data = (await client.get(URL, params={"project": ""})).json()["data"]
    assert [row["operation_id"] for row in data["rows"]] == ["a"]


@pytest.mark.parametrize("field", ["name", "provider", "service", "client", "feature", "workflow", "door"])
async def test_one_value_of_a_column_is_selected_exactly(
    host: SmallHost, client: httpx.AsyncClient, field: str
) -> None:
    host.store(
        [
            make_operation("a", started_at=NOW_US, **{field: "otlp"}),
            make_operation("b", started_at=NOW_US, **{field: "otlp-2' or 1=1 --"}),
            *([] if field in ("name", "door") else [make_operation("c", started_at=NOW_US, **{field: None})]),
        ]
    )

    async def found(value: str) -> list[str]:
        data = (await client.get(URL, params={field: value})).json()["data"]
        return [row["operation_id"] for row in data["rows"]]

    assert await found("otlp") == ["a"]
    assert await found("otlp-2' or 1=1 --") == ["b"]
    assert await found("") == ([] if field in ("name", "door") else ["c"])
    page = await client.get("/operations", params={field: "otlp-2' or 1=1 --"}, headers={"accept": "text/html"})
    assert "otlp-2&#39; or 1=1 --" in page.text
    assert f'aria-label="Remove filter {LIST_FIELDS[field]} otlp-2&#39; or 1=1 --"' in page.text


async def test_search_takes_text_as_text(host: SmallHost, client: httpx.AsyncClient) -> None:
    host.store([make_operation("a", name="100%_done'; --", started_at=NOW_US), make_operation("b", started_at=NOW_US)])
    data = (await client.get(URL, params={"q": "0%_DONE'; --"})).json()["data"]
    assert [row["operation_id"] for row in data["rows"]] == ["a"]
    assert (await client.get(URL, params={"q": "%"})).json()["data"]["total"] == 1


@pytest.mark.parametrize("query", ["sort=attributes", "kind=cat", "page=0", "projekt=x", "range=custom&from=x"])
async def test_a_wrong_parameter_is_answered_in_the_error_envelope(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"{URL}?{query}")
    assert answer.status_code == 422
    assert set(answer.json()["error"]) == {"code", "message", "request_id"}


# --- one operation -----------------------------------------------------------------------------------------------


async def test_a_detail_explains_its_price(client: httpx.AsyncClient) -> None:
    await client.post(URL, json=record(reported_usd="0.02"))
    data = (await client.get(f"{URL}/a")).json()["data"]
    assert [(claim["basis"], claim["state"]) for claim in data["claims"]] == [
        ("billed", "absent"),
        ("computed", "used"),
        ("reported", "kept"),
    ]
    lines = data["price"]["lines"]
    assert sum(Decimal(line["usd"]) for line in lines) == Decimal(data["operation"]["cost_usd"])
    assert "price book" in data["price"]["sentence"]


async def test_a_trace_is_a_waterfall_even_when_parents_are_missing_or_in_a_circle(
    host: SmallHost, client: httpx.AsyncClient
) -> None:
    trace: dict[str, Any] = {"trace_id": "t", "kind": "task"}
    host.store(
        [
            make_operation("root", span_id="1", started_at=NOW_US, duration_ms=100.0, **trace),
            make_operation(
                "child", span_id="2", parent_span_id="1", started_at=NOW_US + 10_000, duration_ms=50.0, **trace
            ),
            make_operation(
                "grandchild", span_id="3", parent_span_id="2", started_at=NOW_US + 20_000, duration_ms=None, **trace
            ),
            make_operation(
                "orphan", span_id="4", parent_span_id="gone", started_at=NOW_US + 30_000, duration_ms=10.0, **trace
            ),
            make_operation("circle-a", span_id="5", parent_span_id="6", started_at=NOW_US + 40_000, **trace),
            make_operation("circle-b", span_id="6", parent_span_id="5", started_at=NOW_US + 50_000, **trace),
        ]
    )
    data = (await client.get(f"{URL}/child/trace")).json()["data"]
    assert [(span["operation_id"], span["depth"], span["orphan"]) for span in data["spans"]] == [
        ("root", 0, False),
        ("child", 1, False),
        ("grandchild", 2, False),
        ("orphan", 0, True),
        ("circle-a", 0, True),
        ("circle-b", 1, False),
    ]
    for span in data["spans"]:
        assert 0 <= span["left_ratio"] <= 1
        assert 0 < span["width_ratio"] <= 1
        assert span["left_ratio"] + span["width_ratio"] <= 1.0001
    assert [span["operation_id"] for span in data["spans"] if span["current"]] == ["child"]


async def test_an_unknown_operation_is_not_found(client: httpx.AsyncClient) -> None:
    for path in (f"{URL}/nothing", f"{URL}/nothing/trace"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_an_id_with_a_slash_is_an_id(host: SmallHost, client: httpx.AsyncClient) -> None:
    host.store(make_operation("a/b?c#d", started_at=NOW_US))
    row = (await client.get(URL)).json()["data"]["rows"][0]
    assert row["href"] == "/operations/a%2Fb%3Fc%23d"
    assert (await client.get(f"{URL}/a%2Fb%3Fc%23d")).json()["data"]["operation"]["operation_id"] == "a/b?c#d"


# --- decisions ---------------------------------------------------------------------------------------------------


async def test_accepting_a_quarantined_claim_puts_it_into_the_totals_and_the_audit_log(
    host: SmallHost, client: httpx.AsyncClient
) -> None:
    await client.post(URL, json=record(reported_usd="999", output_tokens=None, input_tokens=None, model="nobody-knows"))
    await client.post(URL, json=record(operation_id="wild", reported_usd="999"))
    before = (await client.get("/api/v1/status")).json()
    assert before["quarantined_claims"] == {"count": 1, "usd": "999"}
    answer = await client.post(f"{URL}/wild/accept-claim")
    assert answer.json() == {"data": {"changed": True}}
    after = (await client.get("/api/v1/status")).json()
    assert after["quarantined_claims"] == {"count": 0, "usd": "0"}
    assert Decimal(after["cost"]["reported_usd"]) == Decimal(before["cost"]["reported_usd"]) + 999
    assert [(entry.action, entry.subject) for entry in host.state.audit_log()] == [("accept-claim", "wild")]
    assert (await client.post(f"{URL}/wild/accept-claim")).json() == {"data": {"changed": False}}
    claims = (await client.get(f"{URL}/wild")).json()["data"]["claims"]
    assert {claim["basis"]: claim["state"] for claim in claims}["reported"] == "kept"


async def test_setting_an_outcome_changes_the_efficiency_at_once(host: SmallHost, client: httpx.AsyncClient) -> None:
    await client.post(URL, json=record())
    before = (await client.get("/api/v1/live")).json()["data"]["metrics"]["costs"]["window"]["efficiency_ratio"]
    assert before > 0
    answer = await client.post(f"{URL}/a/outcome", json={"outcome": "rejected"})
    assert answer.json() == {"data": {"changed": True}}
    assert (await client.get("/api/v1/totals")).json()["data"]["efficiency_ratio"] == 0
    live = (await client.get("/api/v1/live")).json()["data"]
    assert live["metrics"]["costs"]["window"]["efficiency_ratio"] == 0
    assert [item["outcome"] for item in live["feed"]] == ["rejected"]
    assert host.state.audit_log()[0].action == "set-outcome"
    assert (await client.post(f"{URL}/a/outcome", json={"outcome": "rejected"})).json()["data"] == {"changed": False}


async def test_an_outcome_nobody_knows_is_refused(client: httpx.AsyncClient) -> None:
    await client.post(URL, json=record())
    for body in ({"outcome": "great"}, {}, {"outcome": "accepted", "more": 1}):
        answer = await client.post(f"{URL}/a/outcome", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
    assert (await client.post(f"{URL}/none/outcome", json={"outcome": "accepted"})).status_code == 404
