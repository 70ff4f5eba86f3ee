"""The eighteen ways in which a ledger of calls goes wrong, each through the real intake and price book.

Amounts are worked out by hand from list prices (USD per million tokens): gpt-4o 2.50 in, 1.25 cached, 10 out; Claude
Sonnet 4.5 3 in, 0.30 read, 3.75 written (6 for an hour), 15 out, and 6 and 22.50 beyond 200,000 tokens of input.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterator
from datetime import UTC, date
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ralex_core.clock import ManualClock
from ralex_core.collection.importers.base import ImportOptions
from ralex_core.collection.importers.ralex import RalexImporter
from ralex_core.collection.importers.registry import importer_for
from ralex_core.collection.importers.runner import run_import
from ralex_core.collection.llm_answer import Answer, ChatAnswer, MessagesAnswer
from ralex_core.config import Settings
from ralex_core.model.operation import Operation
from ralex_core.monitoring.books.findings import key_findings
from ralex_core.monitoring.books.openrouter import KeyUsage
from ralex_core.monitoring.books.period import day_period, month_period
from ralex_core.monitoring.books.statement import Statement, make_statement
from ralex_core.pricing.book import PriceBook
from ralex_core.runtime.dataset import DataSet
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.queries import operation, status_totals
from ralex_core.storage.state import StateStore
from tests.support.importing import read_all, write_lines
from tests.support.logs import gemini, read
from tests.support.metrics import AT_NS, CUMULATIVE, MINUTE_NS, Monitor, Totals, tokens
from tests.support.prices import at, call
from tests.support.shared import shared_path

D = Decimal
DAY = "2026-01-15"
NOON = at(f"{DAY}T12:00:00")


class Ledger:
    """A monitor's data set, fed through its intake."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, timezone="Europe/Berlin")
        self.book = PriceBook(self.settings)
        self.data = DataSet(
            home / "t.duckdb", self.settings, clock=ManualClock(NOON), book=self.book, metrics=SelfMetrics()
        )
        self._numbers = itertools.count(1)

    def take(self, made: Operation) -> Operation:
        """The operation as it is stored."""
        made = made._replace(operation_id=f"op-{next(self._numbers)}")
        self.data.intake.submit([made]).result()
        found = operation(self.data.store, made.operation_id)
        assert found is not None
        return found

    def answered(self, answer: Answer, provider: str, model: str, **fields: Any) -> Operation:
        """What a provider's answer says of a call, taken in as the instruments and the gateway do."""
        said = answer.fields(provider)
        attributes = answer.attributes()
        made = call(model, None, None, provider=provider, started_at=NOON)._replace(
            **{**said, "model": model, **fields}
        )
        return self.take(made._replace(attributes=json.dumps(attributes) if attributes else None))

    def statement(self, day: str = DAY, boundary: str = "utc") -> Statement:
        zone = ZoneInfo("Europe/Berlin")
        period = day_period(date.fromisoformat(day), boundary, zone, "Europe/Berlin")  # type: ignore[arg-type]
        return make_statement(self.data.store, period, self.book)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path)
    yield made
    made.data.close()


def chat(usage: dict[str, Any], **fields: Any) -> ChatAnswer:
    answer = ChatAnswer()
    answer.whole({"id": "gen-1", "choices": [{"finish_reason": "stop"}], "usage": usage, **fields})
    return answer


def messages(usage: dict[str, Any]) -> MessagesAnswer:
    answer = MessagesAnswer()
    answer.whole({"id": "msg_1", "stop_reason": "end_turn", "usage": usage})
    return answer


def test_trap_01_cached_tokens_inside_the_input_or_beside_it(ledger: Ledger) -> None:
    inside = {"prompt_tokens": 10_000, "completion_tokens": 1_000, "prompt_tokens_details": {"cached_tokens": 6_000}}
    beside = {
        "input_tokens": 2_000,
        "cache_read_input_tokens": 6_000,
        "cache_creation_input_tokens": 2_000,
        "output_tokens": 1_000,
    }
    openai = ledger.answered(chat(inside), "openai", "gpt-4o")
    anthropic = ledger.answered(messages(beside), "anthropic", "claude-sonnet-4-5")
    assert (openai.input_tokens, openai.cost_usd) == (10_000, D("0.0275"))  # 4,000×2.50 + 6,000×1.25 + 1,000×10
    # 2,000×3 + 6,000×0.30 + 2,000×3.75 + 1,000×15
    assert (anthropic.input_tokens, anthropic.cost_usd) == (10_000, D("0.0303"))


async def test_trap_02_cumulative_counters_are_not_added_up_and_deltas_are(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path)
    try:
        for minute, value in ((1, 100), (2, 250), (2, 250)):  # the last one is sent again
            point = tokens("input", value, time_ns=AT_NS + minute * MINUTE_NS, temporality=CUMULATIVE, session="c")
            await monitor.send(point)
        for minute, value in ((1, 100), (2, 150)):
            await monitor.send(tokens("input", value, time_ns=AT_NS + minute * MINUTE_NS, session="d"))
        assert monitor.totals() == Totals(500, 0, 0, 0)
    finally:
        monitor.close()


def test_trap_03_a_stream_without_usage_is_unknown_and_never_free(ledger: Ledger) -> None:
    cut = ChatAnswer()
    cut.add({"id": "gen-1", "model": "gpt-4o", "choices": [{"delta": {"content": "Hel"}}]})
    found = ledger.answered(cut, "openai", "gpt-4o", status="error", error_type="stream_cut")
    assert (found.cost_usd, found.cost_basis, found.computed_usd) == (None, "unknown", None)
    total = ledger.statement().total
    assert (total.calls, total.coverage_ratio, total.basis_unknown) == (1, 0, 1)


def test_trap_04_usage_on_a_chunk_that_has_choices_is_read(ledger: Ledger) -> None:
    stream = ChatAnswer()
    stream.add({"id": "1", "choices": [{"delta": {"content": "Hi"}}]})
    usage = {"prompt_tokens": 1_000, "completion_tokens": 100}
    stream.add({"id": "1", "choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage})
    assert ledger.answered(stream, "openai", "gpt-4o").cost_usd == D("0.0035")  # 1,000×2.50 + 100×10


def test_trap_05_retries_and_aborted_streams_are_paid_for(ledger: Ledger) -> None:
    usage = {"prompt_tokens": 1_000, "completion_tokens": 100}
    ledger.answered(chat(usage), "openai", "gpt-4o", status="error", http_status=500)
    ledger.answered(chat(usage), "openai", "gpt-4o", attempt=2)
    ledger.take(call("gpt-4o", 1_000, None, provider="openai", started_at=NOON, status="cancelled"))
    total = ledger.statement().total
    assert (total.calls, total.cost_usd, total.basis_unknown) == (3, D("0.007"), 1)


def test_trap_06_under_a_key_of_ones_own_the_providers_charge_belongs_to_the_cost(ledger: Ledger) -> None:
    usage: dict[str, Any] = {"prompt_tokens": 1_000, "completion_tokens": 100, "cost": 0.000175, "is_byok": True}
    told = {**usage, "cost_details": {"upstream_inference_cost": 0.0035}}
    found = ledger.answered(chat(told), "openrouter", "openai/gpt-4o")
    assert (found.billed_usd, found.cost_basis) == (D("0.003675"), "billed")
    untold = ledger.answered(chat(usage), "openrouter", "openai/gpt-4o")
    assert (untold.billed_usd, untold.cost_basis) == (None, "computed")  # the fee alone is not what the call cost
    assert [one.cause for line in ledger.statement().lines for one in line.explanations] == ["byok"]


def test_trap_07_service_tiers_and_regional_premiums(ledger: Ledger) -> None:
    usage = {"prompt_tokens": 100_000, "completion_tokens": 10_000}
    standard = ledger.answered(chat(usage), "openai", "gpt-5-mini")
    later = at("2026-11-01")  # since when the list tells them apart
    priority = ledger.answered(chat(usage, service_tier="priority"), "openai", "gpt-5-mini", started_at=later)
    assert (standard.cost_usd, priority.cost_usd) == (D("0.045"), D("0.081"))  # 0.25 and 2; 0.45 and 3.60
    # processed in the US only: 10 % more than the list
    ledger.take(call("claude-opus-4-5", 1_000, 1_000, provider="anthropic", started_at=NOON, reported_usd=D("0.033")))
    opus = next(line for line in ledger.statement().lines if line.model == "claude-opus-4-5")
    assert [(one.cause, one.difference_usd) for one in opus.explanations] == [("region", D("0.003"))]


def test_trap_08_a_large_request_is_dearer_as_a_whole(ledger: Ledger) -> None:
    large = call("claude-sonnet-4-5", 250_000, 5_000, provider="anthropic", started_at=NOON, reported_usd=D("0.975"))
    small = call("claude-sonnet-4-5", 199_000, 5_000, provider="anthropic", started_at=NOON, reported_usd=D("0.672"))
    assert [ledger.take(one).cost_usd for one in (large, small)] == [D("1.6125"), D("0.672")]
    (line,) = ledger.statement().lines
    assert [(one.cause, one.calls, one.difference_usd) for one in line.explanations] == [
        ("cliff_marginal", 1, D("-0.6375"))
    ]


def test_trap_09_how_long_a_cache_write_is_kept(ledger: Ledger) -> None:
    told = {
        "input_tokens": 8_000,
        "cache_creation_input_tokens": 2_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 2_000},
        "output_tokens": 1_000,
    }
    anthropic = ledger.answered(messages(told), "anthropic", "claude-sonnet-4-5")
    assert anthropic.cost_usd == D("0.051")  # 8,000×3 + 2,000×6 + 1,000×15
    # the same call as a router tells it: written, but not for how long
    untold = call(
        "claude-sonnet-4-5", 10_000, 1_000, provider="anthropic", cache_write_tokens=2_000, started_at=NOON,
        billed_usd=D("0.051"),
    )  # fmt: skip
    routed = ledger.take(untold)
    assert (routed.computed_usd, routed.cost_usd) == (D("0.0465"), D("0.051"))  # 2,000 at 3.75
    (line,) = ledger.statement().lines
    assert [(one.witness, one.cause) for one in line.explanations] == [("billed", "cache_write_ttl")]


@pytest.mark.parametrize(
    ("provider", "model", "usd"),
    [
        ("openrouter", "openai/gpt-4o:nitro", "0.0035"),
        ("openrouter", "openai/gpt-4o:floor", "0.0035"),
        ("openrouter", "openai/gpt-4o:online", "0.0035"),
        ("anthropic", "claude-sonnet-4-5[1m]", "0.0045"),
        ("openrouter", "openrouter/auto", None),  # which model answered was not reported
    ],
)
def test_trap_10_routers_and_suffixes(ledger: Ledger, provider: str, model: str, usd: str | None) -> None:
    found = ledger.take(call(model, 1_000, 100, provider=provider, started_at=NOON))
    assert found.cost_usd == (None if usd is None else D(usd))
    assert found.cost_basis == ("unknown" if usd is None else "computed")


def test_trap_11_nothing_as_free_and_nothing_as_not_known(ledger: Ledger) -> None:
    free = ledger.take(call("deepseek/deepseek-r1:free", 1_000, 100, provider="openrouter", started_at=NOON))
    assert (free.cost_usd, free.cost_basis) == (D(0), "computed")
    unknown = ledger.take(call("nobodys-model", 1_000, 100, provider="x", started_at=NOON, reported_usd=D(0)))
    assert (unknown.cost_usd, unknown.cost_basis) == (None, "unknown")
    priced = ledger.take(call("gpt-4o", 1_000, 100, provider="openai", started_at=NOON, reported_usd=D(0)))
    assert (priced.cost_usd, priced.quarantine) == (D("0.0035"), None)
    total = ledger.statement().total
    assert (total.silent, total.reported.calls, total.reported_calls) == (2, 0, 0)


def test_trap_12_what_a_seat_covers_is_never_a_bill(ledger: Ledger) -> None:
    """Claude Code under a subscription reports what its calls would have cost at list price; nobody charges it."""
    seat = call(
        "claude-sonnet-4-5", 1_000, 100, provider="anthropic", service="claude-code", reported_usd=D("0.0045"),
        started_at=NOON,
    )  # fmt: skip
    found = ledger.take(seat)
    assert (found.cost_usd, found.cost_basis, found.billed_usd) == (D("0.0045"), "computed", None)
    total = ledger.statement().total
    assert (total.billed_calls, total.basis_billed) == (0, 0)  # so the statement shows no bill, not a bill of $0


def test_trap_13_whose_day_it_is(ledger: Ledger, tmp_path: Path) -> None:
    """OpenRouter's days are UTC, people's are local, Ralex writes local times without a zone."""
    record = {
        "timestamp": "2026-01-15T00:30:00",
        "model": "openrouter/openai/gpt-4o",
        "tokens_sent": 1_000,
        "tokens_received": 100,
        "cost": 0.0035,
        "task_type": "coding",
    }
    importer = RalexImporter(ImportOptions(zone=ZoneInfo("Europe/Berlin")))
    found, rejected = read_all(importer, write_lines(tmp_path / "usage.jsonl", [record]))
    assert (rejected, found[0].started_at) == ([], at("2026-01-14T23:30:00"))
    ledger.take(found[0])
    assert {
        (day, boundary): ledger.statement(day, boundary).total.calls
        for day in ("2026-01-14", "2026-01-15")
        for boundary in ("utc", "local")
    } == {("2026-01-14", "utc"): 1, ("2026-01-14", "local"): 0, ("2026-01-15", "utc"): 0, ("2026-01-15", "local"): 1}
    assert ledger.statement("2026-01-15", "local").period.zone_name == "Europe/Berlin"


def test_trap_14_one_call_seen_through_several_doors_counts_once(ledger: Ledger) -> None:
    """An event over OTLP and a line of the transcript tell of one request of Claude Code, by its id."""
    usage = {"provider": "anthropic", "service": "claude-code", "provider_request_id": "req_1", "started_at": NOON}
    ledger.take(call("claude-sonnet-4-5", 1_000, 100, source="otlp-logs", door="otlp", **usage))
    ledger.take(call("claude-sonnet-4-5", 1_000, 100, source="claude-code", door="importer", **usage))
    ledger.take(
        call("claude-sonnet-4-5", 1_000, 100, **(usage | {"provider_request_id": None}))
    )  # no id: never guessed
    ledger.data.writer.flush()
    ledger.data.writer.flush()
    total = ledger.statement().total
    assert (total.calls, total.cost_usd) == (2, D("0.009"))


def test_trap_14_the_gateway_and_the_client_tell_of_one_call(ledger: Ledger) -> None:
    """The client's SDK counts the tokens, the gateway reads the bill, OpenRouter exports a span: one generation."""
    routed: dict[str, Any] = {"provider": "openrouter", "provider_request_id": "gen-1"}
    sdk = ledger.take(call("openai/gpt-4o", 1_000, 100, door="sdk", service="app", started_at=NOON, **routed))
    gateway = call(
        "openai/gpt-4o", 1_000, 100, door="gateway", started_at=NOON + 40_000, billed_usd=D("0.0042"), **routed
    )
    gateway = ledger.take(gateway)
    ledger.take(call("openai/gpt-4o", 1_000, 100, door="otlp", source="broadcast", started_at=NOON, **routed))
    ledger.data.writer.flush()
    ledger.data.writer.flush()
    total = ledger.statement().total
    assert (total.calls, total.cost_usd, total.basis_billed) == (1, D("0.0042"), 1)
    aside = operation(ledger.data.store, sdk.operation_id)
    assert aside is not None
    assert (aside.kind, aside.cost_usd) == ("task", None)  # still there to be looked at
    assert json.loads(aside.attributes or "{}")["counted.by"] == gateway.operation_id


@pytest.mark.parametrize("gateway_first", [True, False])
def test_trap_14_claude_code_through_the_gateway_counts_once(ledger: Ledger, *, gateway_first: bool) -> None:
    """Its telemetry knows the id of the request, and the gateway that and the id of the answer."""
    usage: dict[str, Any] = {"provider": "anthropic", "started_at": NOON}
    told = [
        call(
            "claude-sonnet-4-5",
            1_000,
            100,
            door="gateway",
            source="gateway",
            provider_request_id="msg_1",
            attributes='{"request_id":"req_1","gateway_key":"0123abcd"}',
            **usage,
        ),
        call("claude-sonnet-4-5", 1_000, 100, door="otlp", service="claude-code", provider_request_id="req_1", **usage),
    ]
    for operation_ in told if gateway_first else told[::-1]:
        ledger.take(operation_)
    again = {"door": "importer", "source": "claude-code", "service": "claude-code", "provider_request_id": "req_1"}
    ledger.take(call("claude-sonnet-4-5", 1_000, 100, **again, **usage))
    ledger.data.writer.flush()
    ledger.data.writer.flush()
    total = ledger.statement().total
    assert (total.calls, total.cost_usd) == (1, D("0.0045"))
    rows = ledger.data.store.query("select door from operations where kind = 'llm'")
    assert rows == [("gateway",)]  # which knows whose budget it was


def test_trap_14_one_id_for_every_answer_joins_nothing(ledger: Ledger) -> None:
    """Some servers call every answer the same. Other tokens, another hour or the same door: another call."""
    constant: dict[str, Any] = {"provider": "openai", "provider_request_id": "chatcmpl-0"}
    ledger.take(call("gpt-4o", 1_000, 100, door="sdk", started_at=NOON, **constant))
    ledger.take(call("gpt-4o", 1_000, 100, door="sdk", started_at=NOON + 1, **constant))
    ledger.take(call("gpt-4o", 2_000, 100, door="otlp", started_at=NOON, **constant))
    ledger.take(call("gpt-4o", 1_000, 100, door="otlp", started_at=NOON + 3_600_000_000, **constant))
    ledger.data.writer.flush()
    assert ledger.statement().total.calls == 4


def test_trap_15_the_price_is_that_of_the_call_not_of_the_calculation(ledger: Ledger) -> None:
    may = ledger.take(call("o3", 1_000, 100, provider="openai", started_at=at("2025-05-01")))
    july = ledger.take(call("o3", 1_000, 100, provider="openai", started_at=at("2025-07-01"), reported_usd=D("0.014")))
    assert (may.cost_usd, july.cost_usd) == (D("0.014"), D("0.0028"))  # $10 and $40; since 10 June $2 and $8
    (line,) = ledger.statement("2025-07-01").lines
    assert [one.cause for one in line.explanations] == ["price_change"]


def test_trap_16_fees_for_buying_credits_are_not_the_cost_of_a_call(ledger: Ledger) -> None:
    """$10 of credits are bought with a fee of 5.5 %: the card pays $10.55, calls are charged from the $10."""
    usage = {"prompt_tokens": 1_000, "completion_tokens": 100, "cost": 0.0035}
    assert ledger.answered(chat(usage), "openrouter", "openai/gpt-4o").billed_usd == D("0.0035")
    windows = ("day", "week", "month", "ever")
    used = KeyUsage(dict.fromkeys(windows, D("0.0035")), dict.fromkeys(windows, D(0)), None, False, False)
    found = key_findings(ledger.data.store, used, NOON + 1)
    assert {(one.period, one.state, one.difference_usd) for one in found} == {
        (name, "agrees", D(0)) for name in ("day", "week", "month")
    }


def test_trap_17_searches_and_audio_have_prices_of_their_own(ledger: Ledger) -> None:
    searched = {
        "prompt_tokens": 1_000,
        "completion_tokens": 100,
        "cost": 0.0235,
        "server_tool_use": {"web_search_requests": 2},
    }
    found = ledger.answered(chat(searched), "openrouter", "openai/gpt-4o")
    assert (found.cost_usd, found.computed_usd) == (D("0.0235"), D("0.0035"))  # the bill has the searches in it
    heard = {"prompt_tokens": 1_000, "completion_tokens": 100, "prompt_tokens_details": {"audio_tokens": 900}}
    audio = ledger.answered(chat(heard), "openai", "gpt-4o-audio-preview", reported_usd=D("0.03725"))
    assert audio.attributes is not None and json.loads(audio.attributes)["audio_tokens"] == 900
    causes = {line.model: [one.cause for one in line.explanations] for line in ledger.statement().lines}
    assert causes == {"openai/gpt-4o": ["extras"], "gpt-4o-audio-preview": ["extras"]}


def test_trap_18_reasoning_inside_the_output_or_beside_it(ledger: Ledger) -> None:
    inside = {"prompt_tokens": 1_000, "completion_tokens": 500, "completion_tokens_details": {"reasoning_tokens": 400}}
    openai = ledger.answered(chat(inside), "openai", "o3-mini")
    assert (openai.output_tokens, openai.cost_usd) == (500, D("0.0033"))  # 1,000×1.10 + 500×4.40
    event = {
        "model": "gemini-2.5-flash",
        "input_token_count": 1_000,
        "output_token_count": 100,
        "thoughts_token_count": 400,
        "total_token_count": 1_500,
        "duration_ms": 900,
    }
    beside = ledger.take(read(gemini("api_response", event)))
    assert (beside.output_tokens, beside.reasoning_tokens) == (500, 400)
    assert beside.cost_usd == D("0.00155")  # 1,000×0.30 + 500×2.50


def test_the_statements_of_an_imported_log_add_up_to_its_status(ledger: Ledger, tmp_path: Path) -> None:
    """Nine months of a developer's Aider, with one claim of $9,990 for a call that cost a cent."""
    log = tmp_path / "analytics.jsonl"
    log.write_bytes(gzip.decompress(shared_path("data/aider_analytics.jsonl.gz").read_bytes()))
    state = StateStore(tmp_path / "state.sqlite")
    run_import(
        importer_for("aider", ImportOptions(zone=UTC)),
        [log],
        intake=ledger.data.intake,
        state=state,
        quarantine_dir=tmp_path / "quarantine",
    )
    state.close()
    ledger.data.writer.flush()
    months = [
        make_statement(ledger.data.store, month_period(date(year, month, 1), boundary, UTC, "UTC"), ledger.book)
        for boundary in ("utc",)
        for year, month in [(2024, m) for m in range(8, 13)] + [(2025, m) for m in range(1, 6)]
    ]
    whole = status_totals(ledger.data.store)
    assert sum(one.total.cost_usd for one in months) == whole.total_usd == D("183.10909916499996456")
    assert sum(one.total.computed_usd for one in months) == whole.computed_usd
    assert sum(one.total.reported_usd for one in months) == whole.reported_usd
    assert sum(one.total.calls for one in months) == whole.llm_operations == 5_314
    (claim,) = [claim for one in months for claim in one.quarantined]
    assert (claim.usd, claim.operation.quarantine) == (D("9990.01252875"), "reported")
    leads = [one.sentence for month in months for line in month.lines for one in line.explanations if one.cause is None]
    assert any("$0.14 in and $0.28 out" in sentence for sentence in leads)  # what DeepSeek charged until February 2025
