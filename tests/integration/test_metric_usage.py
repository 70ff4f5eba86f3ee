"""Usage from metrics in the store: every token once, in any order, however often it is sent, restarts included."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ralex_core.errors import StoreFull
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.telemetry import WriteResult
from tests.support.logs import claude, codex, logs_request
from tests.support.metrics import (
    AT_NS,
    CUMULATIVE,
    DELTA,
    JSON,
    MINUTE_NS,
    Monitor,
    Sum,
    Totals,
    dollars,
    metrics_request,
    tokens,
)
from tests.support.spans import make_request, make_span

CALL = {"model": "claude-sonnet-4-5", "input_tokens": 40, "output_tokens": 5, "duration_ms": 900, "cost_usd": 0.001}


@pytest.fixture
async def monitor(tmp_path: Path) -> AsyncIterator[Monitor]:
    monitor = Monitor(tmp_path)
    yield monitor
    monitor.close()


def minutes(number: float) -> int:
    return AT_NS + round(number * MINUTE_NS)


async def test_tokens_and_cost_of_one_moment_are_one_operation(monitor: Monitor) -> None:
    extra = {"user.email": "ada@example.org", "terminal.type": "vscode"}
    points = (tokens("input", 100), tokens("cacheRead", 1000), tokens("cacheCreation", 50), tokens("output", 30))
    tagged = [point._replace(attributes={**point.attributes, **extra}) for point in (*points, dollars(0.01))]
    await monitor.send(*tagged)
    (usage,) = monitor.operations()
    assert (usage.kind, usage.name, usage.source) == ("llm", "claude_code.token.usage", "otlp-metrics")
    assert (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (1150, 1000, 50)
    assert (usage.output_tokens, usage.reported_usd, usage.cost_basis) == (30, Decimal("0.01"), "computed")
    assert (usage.session_id, usage.user_id, usage.client) == ("s", "ada@example.org", "vscode")
    assert (usage.provider, usage.model, usage.service) == ("anthropic", "claude-sonnet-4-5", "claude-code")
    assert (usage.started_at, usage.duration_ms) == (minutes(1) // 1000, None)


async def test_a_delta_sent_again_counts_once_in_either_encoding(monitor: Monitor) -> None:
    points = (tokens("input", 100), tokens("output", 30), dollars(0.01))
    for send in (monitor.send, monitor.send_json, monitor.send):
        await send(*points)
    assert monitor.totals() == Totals(100, 0, 30, 0.01)


async def test_a_point_twice_in_one_request_counts_once(monitor: Monitor) -> None:
    await monitor.send(tokens("input", 100), tokens("input", 100), tokens("output", 1))
    assert monitor.totals().input_tokens == 100


async def test_a_cumulative_counter_counts_what_was_added(monitor: Monitor) -> None:
    for minute, value in ((1, 100), (2, 100), (3, 250), (2, 100), (4, 260)):
        await monitor.send(tokens("input", value, time_ns=minutes(minute), temporality=CUMULATIVE))
    assert monitor.totals().input_tokens == 260
    assert [op.started_at for op in monitor.operations()] == [minutes(m) // 1000 for m in (1, 3, 4)]


async def test_a_counter_that_begins_again_is_added(monitor: Monitor) -> None:
    await monitor.send(tokens("input", 100, temporality=CUMULATIVE))
    again = {"start_ns": minutes(2), "temporality": CUMULATIVE}
    await monitor.send(tokens("input", 40, time_ns=minutes(3), **again))
    await monitor.send(tokens("input", 70, time_ns=minutes(4), **again))
    assert monitor.totals().input_tokens == 170


async def test_a_counter_that_falls_without_saying_so_began_again(monitor: Monitor) -> None:
    for minute, value in ((1, 100), (2, 30), (3, 45)):
        await monitor.send(tokens("input", value, time_ns=minutes(minute), temporality=CUMULATIVE))
    assert monitor.totals().input_tokens == 145


async def test_two_processes_of_one_session_are_told_apart(monitor: Monitor) -> None:
    for minute, (one, other) in enumerate(((10, 500), (20, 600), (30, 700)), 2):
        at = {"time_ns": minutes(minute), "temporality": CUMULATIVE}
        await monitor.send(tokens("input", one, start_ns=AT_NS, **at))
        await monitor.send(tokens("input", other, start_ns=AT_NS + 7, **at))
    assert monitor.totals().input_tokens == 730


async def test_the_first_value_of_a_counter_of_unknown_age_is_where_counting_starts(monitor: Monitor) -> None:
    for minute, value in ((1, 9000), (2, 9100)):
        await monitor.send(tokens("input", value, start_ns=0, time_ns=minutes(minute), temporality=CUMULATIVE))
    assert monitor.totals().input_tokens == 100


async def test_a_restarted_monitor_goes_on_where_it_stopped(tmp_path: Path) -> None:
    sent = [
        tokens("input", value, time_ns=minutes(minute), temporality=CUMULATIVE)
        for minute, value in ((1, 100), (2, 300))
    ]
    for rounds in range(3):
        monitor = Monitor(tmp_path)
        for point in sent:
            await monitor.send(point)
        await monitor.send(tokens("input", 400 + rounds, time_ns=minutes(3 + rounds), temporality=CUMULATIVE))
        assert monitor.totals().input_tokens == 400 + rounds
        monitor.close()


async def test_what_was_counted_before_is_not_counted_again_after_it_was_deleted(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, retention_days=1)
    old = {"start_ns": minutes(-3 * 24 * 60), "temporality": CUMULATIVE}
    await monitor.send(tokens("input", 1_000_000, **old))
    await monitor.send(tokens("input", 1_000_500, time_ns=minutes(2), **old))
    assert monitor.totals().input_tokens == 500
    monitor.close()


async def test_what_was_not_committed_is_counted_when_it_is_sent_again(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await monitor.send(tokens("input", 100, temporality=CUMULATIVE))
    later = tokens("input", 300, time_ns=minutes(2), temporality=CUMULATIVE)

    def full(*_: object) -> WriteResult:
        raise StoreFull("The disk has no room.")

    with monkeypatch.context() as broken:
        broken.setattr(DuckDBStore, "write", full)
        response = await monitor.post("/v1/metrics", metrics_request(later).SerializeToString())
        assert response.status_code == 503
    assert monitor.totals().input_tokens == 100
    await monitor.send(later)
    assert monitor.totals().input_tokens == 300


async def test_a_sum_over_many_calls_is_not_priced_like_one_long_call(monitor: Monitor) -> None:
    await monitor.send(tokens("input", 450_000), tokens("output", 7), dollars(1.35))
    found = monitor.operations()
    assert len(found) == 5
    assert monitor.totals() == Totals(450_000, 0, 7, pytest.approx(1.35))
    assert sum((op.reported_usd or Decimal(0)) for op in found) == Decimal("1.35")
    assert float(sum((op.cost_usd or Decimal(0)) for op in found)) == pytest.approx(450_000 * 3e-6 + 7 * 15e-6)


async def test_parts_of_codex_are_inside_their_totals(monitor: Monitor) -> None:
    kinds = {"total": 9500, "input": 9000, "cached_input": 8000, "output": 500, "reasoning_output": 300}
    points = [
        Sum("codex.turn.token_usage", {"token_type": kind, "model": "gpt-5-codex"}, value, shape="histogram")
        for kind, value in kinds.items()
    ]
    await monitor.send(*points, resource={"service.name": "codex_cli_rs"}, scope="codex")
    (usage,) = monitor.operations()
    assert (usage.input_tokens, usage.cache_read_tokens) == (9000, 8000)
    assert (usage.output_tokens, usage.reasoning_tokens, usage.provider) == (500, 300, "openai")


async def test_thoughts_and_tools_of_gemini_are_beside(monitor: Monitor) -> None:
    kinds = {"input": 10_000, "output": 200, "cache": 8000, "thought": 900, "tool": 50}
    points = [
        Sum("gemini_cli.token.usage", {"type": kind, "model": "gemini-2.5-pro", "session.id": "g"}, value)
        for kind, value in kinds.items()
    ]
    await monitor.send(*points, resource={"service.name": "gemini-cli"}, scope="gemini-cli")
    (usage,) = monitor.operations()
    assert (usage.input_tokens, usage.cache_read_tokens) == (10_050, 8000)
    assert (usage.output_tokens, usage.reasoning_tokens) == (1100, 900)


async def test_cost_without_tokens_beside_it_is_not_used(monitor: Monitor) -> None:
    await monitor.send(dollars(4.2))
    assert monitor.operations() == []
    assert monitor.metrics.counters()["otlp_data_points_unused_total"] == 1


async def test_rejected_points_are_told_and_the_others_are_stored(monitor: Monitor) -> None:
    response = await monitor.send_json(tokens("input", 5), tokens("output", -5))
    partial = response.json()["partialSuccess"]
    assert partial["rejectedDataPoints"] == "1"
    assert partial["errorMessage"].startswith("1 of 2 data points were not stored: metric 'claude_code.token.usage'")
    assert monitor.totals().input_tokens == 5


async def test_what_is_no_request_is_refused(monitor: Monitor) -> None:
    assert (await monitor.post("/v1/metrics", b"nonsense", JSON)).status_code == 400
    assert (await monitor.post("/v1/metrics", b"{}", "text/plain")).status_code == 415


# --- who else tells the same ------------------------------------------------------------------------------------


async def send_events(monitor: Monitor, *records: Any, resource: dict[str, Any] | None = None) -> None:
    request = logs_request(*records, resource=resource or {"service.name": "claude-code"})
    response = await monitor.post("/v1/logs", request.SerializeToString())
    assert response.status_code == 200, response.text


def call(session: str, request: str = "req", **changes: Any) -> Any:
    return claude("api_request", {**CALL, "session.id": session, "request_id": request}, **changes)


async def test_usage_of_a_session_whose_calls_come_first_is_not_stored(monitor: Monitor) -> None:
    await send_events(monitor, call("s"))
    await monitor.send(tokens("input", 40), tokens("output", 5), dollars(0.001))
    assert monitor.totals() == Totals(40, 0, 5, 0.001)
    assert len(monitor.operations()) == 1
    assert monitor.metrics.counters()["otlp_data_points_unused_total"] == 3


async def test_usage_stored_before_the_calls_of_its_session_is_set_aside(monitor: Monitor) -> None:
    await monitor.send(tokens("input", 40), tokens("output", 5), dollars(0.001))
    await monitor.send(tokens("input", 40, session="other"))
    await send_events(monitor, call("s"))
    assert monitor.totals() == Totals(80, 0, 5, 0.001)
    (aside,) = [op for op in monitor.operations() if op.kind == "task"]
    said = json.loads(aside.attributes or "{}")
    assert (aside.input_tokens, aside.cost_usd, aside.cost_basis, aside.tier) == (None, None, None, None)
    assert said["counted.by"] == "calls of the session"
    assert said["counted.not"]["input_tokens"] == "40"


async def test_usage_set_aside_stays_so_when_it_is_sent_again(monitor: Monitor) -> None:
    for _ in range(2):
        await monitor.send(tokens("input", 40))
        await send_events(monitor, call("s"))
    assert monitor.totals().input_tokens == 40


async def test_usage_that_nobody_could_compare_before_a_crash_is_compared_at_the_next_start(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path)
    monitor.data.writer._listeners.clear()  # as if the process had ended between the commit and what follows it
    await monitor.send(tokens("input", 40))
    await send_events(monitor, call("s"))
    monitor.close()
    monitor = Monitor(tmp_path)
    assert monitor.totals().input_tokens == 40
    monitor.close()


async def test_usage_without_a_session_gives_way_to_calls_of_its_service_around_the_same_time(monitor: Monitor) -> None:
    def usage(minute: float) -> Sum:
        kind = {"token_type": "input", "model": "gpt-5-codex"}
        at = {"start_ns": minutes(minute - 1), "time_ns": minutes(minute)}
        return Sum("codex.turn.token_usage", kind, 1000, shape="histogram", **at)

    resource = {"service.name": "codex_cli_rs"}
    completed = {"event.kind": "response.completed", "input_token_count": 1000, "output_token_count": 10}
    await monitor.send(usage(1), usage(600), resource=resource)
    await send_events(monitor, codex("sse_event", completed, at_ns=minutes(0.5)), resource=resource)
    await monitor.send(usage(2), resource=resource)
    assert monitor.totals().input_tokens == 2000, "one told by a call, one ten hours later by the counter alone"


async def test_a_call_as_event_span_and_event_again_counts_once(monitor: Monitor) -> None:
    span = make_span(
        "claude_code.llm_request",
        {
            "model": "claude-sonnet-4-5",
            "input_tokens": 40,
            "output_tokens": 5,
            "request_id": "req_1",
            "session.id": "s",
        },
        start_ns=AT_NS,
    )
    body = make_request(span, resource={"service.name": "claude-code"}, scope="tracing").SerializeToString()
    for _ in range(2):
        await send_events(monitor, call("s", "req_1"), call("s", "req_2"))
        assert (await monitor.post("/v1/traces", body)).status_code == 200
    assert monitor.totals().input_tokens == 80
    aside = [op for op in monitor.operations() if op.kind == "task"]
    assert [op.name for op in aside] == ["claude_code.llm_request"]
    assert aside[0].duration_ms == 1500, "it is still part of its trace"


async def test_calls_without_an_id_in_common_are_both_kept(monitor: Monitor) -> None:
    usage = {"model": "claude-sonnet-4-5", "input_tokens": 40, "output_tokens": 5, "session.id": "s"}
    span = make_span("claude_code.llm_request", usage, start_ns=AT_NS)
    body = make_request(span, resource={"service.name": "claude-code"}, scope="tracing").SerializeToString()
    await send_events(monitor, call("s"))
    await monitor.post("/v1/traces", body)
    assert monitor.totals().input_tokens == 80


# --- any order --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """A process that counts: what it added between one export and the next, per kind of token."""

    session: str
    start_ns: int
    temporality: int
    added: tuple[tuple[int, int], ...]

    def exports(self) -> list[tuple[Sum, ...]]:
        found: list[tuple[Sum, ...]] = []
        total = (0, 0)
        for number, added in enumerate(self.added, 1):
            total = (total[0] + added[0], total[1] + added[1])
            delta = self.temporality == DELTA
            values = added if delta else total
            at = {
                "session": self.session,
                "start_ns": self.start_ns + (number - 1) * MINUTE_NS if delta else self.start_ns,
                "time_ns": self.start_ns + number * MINUTE_NS,
                "temporality": self.temporality,
            }
            found.append((tokens("input", values[0], **at), tokens("output", values[1], **at)))
        return found


@st.composite
def processes(draw: st.DrawFn) -> list[Process]:
    count = draw(st.integers(1, 3))
    amounts = st.tuples(st.integers(0, 3000), st.integers(0, 500))
    return [
        Process(
            session=draw(st.sampled_from(["a", "b"])),
            start_ns=AT_NS + number,
            temporality=draw(st.sampled_from([DELTA, CUMULATIVE])),
            added=tuple(draw(st.lists(amounts, min_size=1, max_size=4))),
        )
        for number in range(count)
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(found=processes(), data=st.data())
def test_no_order_resend_reset_or_restart_changes_the_totals(found: list[Process], data: st.DataObject) -> None:
    exports = [export for process in found for export in process.exports()]
    sent = data.draw(st.permutations([*exports, *data.draw(st.lists(st.sampled_from(exports), max_size=4))]))
    restarts = data.draw(st.sets(st.integers(0, len(sent)), max_size=2))
    called = data.draw(st.sets(st.sampled_from(["a", "b"])))
    calls = {session: data.draw(st.integers(0, len(sent))) for session in called}

    async def run(home: Path) -> Totals:
        monitor = Monitor(home)
        for number in range(len(sent) + 1):
            for session, at in calls.items():
                if at == number:
                    await send_events(monitor, call(session, f"req_{session}"))
            if number in restarts:
                monitor.close()
                monitor = Monitor(home)
            if number < len(sent):
                await monitor.send(*sent[number])
        totals = monitor.totals()
        monitor.close()
        return totals

    with tempfile.TemporaryDirectory() as home:
        totals = asyncio.run(run(Path(home)))
    counted = [process for process in found if process.session not in called]
    assert totals.input_tokens == _sum(counted, 0) + 40 * len(called)
    assert totals.output_tokens == _sum(counted, 1) + 5 * len(called)


def _sum(counted: list[Process], which: int) -> int:
    return sum(added[which] for process in counted for added in process.added)
