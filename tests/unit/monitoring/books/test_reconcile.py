"""Reconciliation against a local OpenRouter: bills join by generation id, in UTC, however unwilling the service is."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from ralex_core.clock import ManualClock
from ralex_core.config import Settings
from ralex_core.config_openrouter import OpenRouterSettings
from ralex_core.errors import ConfigError
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, HOUR_US, Scope, Window
from ralex_core.monitoring.books.findings import explain, plain_model
from ralex_core.monitoring.books.reconcile import Reconciler
from ralex_core.pricing.book import PriceBook
from ralex_core.runtime.dataset import DataSet
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.queries import operation, totals
from ralex_core.storage.queries.reconciliation import RoutedSums
from ralex_core.storage.state import StateStore
from ralex_core.storage.state_books import Finding, Reconciliation, StoredReconciliations
from tests.support.openrouter import KEY, MANAGEMENT_KEY, Call, Fault, OpenRouterBooks, local_openrouter
from tests.support.prices import at, call

D = Decimal
NOW_US = at("2026-03-04T12:00:00")
"""A Wednesday."""


@dataclass
class Desk:
    """A monitor's stores, a local OpenRouter, and what reconciles them. Its clock moves when it waits."""

    home: Path
    clock: ManualClock
    api: OpenRouterBooks
    data: DataSet
    state: StateStore
    book: PriceBook
    waited: list[float] = field(default_factory=list)
    stop_after: int | None = None

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        self.clock.advance(seconds)
        return self.stop_after is not None and len(self.waited) >= self.stop_after

    def run(self, **changes: Any) -> Reconciliation:
        settings = OpenRouterSettings(**{"url": self.api.url, "key": SecretStr(KEY), **changes})
        reconciler = Reconciler(
            self.data.store, self.data.writer, self.book, self.state, settings, self.clock, self.wait
        )
        return reconciler.finish(reconciler.begin("test"))

    def take(self, identity: str, started_at: int, *, known: bool = True, **fields: Any) -> None:
        """A call through OpenRouter comes in by the real intake; without `known` its usage is not known."""
        tokens = (1000, 100) if known else (None, None)
        made = call(
            fields.pop("model", "openai/gpt-4o"),
            *tokens,
            operation_id=f"op-{identity}",
            provider="openrouter",
            provider_request_id=identity,
            started_at=started_at,
            **fields,
        )
        self.data.intake.submit([made]).result()

    def stored(self, identity: str) -> Operation:
        found = operation(self.data.store, f"op-{identity}")
        assert found is not None
        return found

    def findings(self, run: Reconciliation) -> dict[tuple[str, str, str], Finding]:
        found = StoredReconciliations(self.state).findings(run.id)
        return {(one.source, one.period, one.model): one for one in found}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    clock, settings = ManualClock(NOW_US), Settings(home=tmp_path, timezone="UTC")
    book = PriceBook(settings)
    data = DataSet(settings.telemetry_path, settings, clock=clock, book=book, metrics=SelfMetrics())
    state = StateStore(settings.state_path, clock)
    with local_openrouter(clock) as api:
        yield Desk(tmp_path, clock, api, data, state, book)
    data.close()
    state.close()


def test_a_call_without_a_bill_gets_it_and_the_totals_follow(desk: Desk) -> None:
    desk.take("gen-1", NOW_US - HOUR_US)
    desk.take("gen-2", NOW_US - HOUR_US, billed_usd=D("0.004"))  # told inline: nothing to ask
    desk.api.calls = [Call("gen-1", NOW_US - HOUR_US, fee="0.0042")]
    assert (desk.stored("gen-1").cost_usd, desk.stored("gen-1").cost_basis) == (D("0.0035"), "computed")
    run = desk.run()
    found = desk.stored("gen-1")
    assert (found.billed_usd, found.cost_usd, found.cost_basis, found.computed_usd) == (
        D("0.0042"),
        D("0.0042"),
        "billed",
        D("0.0035"),
    )
    assert (run.state, run.looked_up, run.billed, run.remaining) == ("done", 1, 1, 0)
    assert (run.before_usd, run.after_usd) == (D("0.0035"), D("0.0042"))
    day = Scope(Window(NOW_US // DAY_US * DAY_US, NOW_US // DAY_US * DAY_US + DAY_US))
    assert (totals(desk.data.store, day).cost_usd, totals(desk.data.store, day).billed_usd) == (
        D("0.0082"),
        D("0.0082"),
    )
    assert [path for path, _ in desk.api.asked if "generation" in path] == ["/api/v1/generation?id=gen-1"]


def test_under_a_key_of_ones_own_the_providers_charge_is_added(desk: Desk) -> None:
    desk.take("gen-1", NOW_US - HOUR_US)
    desk.api.calls = [Call("gen-1", NOW_US - HOUR_US, fee="0.000175", upstream="0.0035")]
    desk.run()
    assert desk.stored("gen-1").billed_usd == D("0.003675")


def test_an_aborted_stream_gets_its_tokens_and_its_bill(desk: Desk) -> None:
    desk.take("gen-1", NOW_US - HOUR_US, known=False, status="cancelled", error_type="client_closed")
    assert desk.stored("gen-1").cost_usd is None  # not known, and not $0
    desk.api.calls = [
        Call("gen-1", NOW_US - HOUR_US, fee="0.0019", tokens=(800, 5), reasoning=2, cached=100, cancelled=True)
    ]
    desk.run()
    found = desk.stored("gen-1")
    assert (found.input_tokens, found.output_tokens, found.cache_read_tokens, found.reasoning_tokens) == (
        800,
        5,
        100,
        2,
    )
    # 800 × $2.50 + 5 × $10 per million: OpenRouter's list has no price of its own for cached input
    assert (found.cost_usd, found.computed_usd, found.status) == (D("0.0019"), D("0.00205"), "cancelled")


def test_a_bill_that_is_wildly_off_goes_into_quarantine(desk: Desk) -> None:
    desk.take("gen-1", NOW_US - HOUR_US)
    desk.api.calls = [Call("gen-1", NOW_US - HOUR_US, fee="35")]
    desk.run()
    found = desk.stored("gen-1")
    assert (found.billed_usd, found.cost_usd, found.cost_basis, found.quarantine) == (
        D(35),
        D("0.0035"),
        "computed",
        "billed",
    )


def test_a_young_generation_is_waited_for_and_an_unknown_one_is_asked_for_later(desk: Desk) -> None:
    desk.take("gen-young", NOW_US - 1_000_000)
    desk.take("gen-gone", NOW_US - HOUR_US)
    desk.api.calls = [Call("gen-young", NOW_US - 1_000_000, known_after_s=5)]
    run = desk.run()
    assert (run.looked_up, run.billed, run.not_found, run.remaining) == (2, 1, 1, 1)
    assert desk.waited == [2.0, 4.0]
    assert desk.run().looked_up == 0  # not due yet
    desk.clock.advance(61)
    again = desk.run()
    assert (again.looked_up, again.not_found) == (1, 1)
    for _ in range(20):
        desk.clock.advance(86_400 // 4)
        desk.run()
    asked = [path for path, _ in desk.api.asked if "gen-gone" in path]
    assert len(asked) == 8


def test_a_busy_service_is_given_the_time_it_asks_for(desk: Desk) -> None:
    desk.take("gen-1", NOW_US - HOUR_US)
    desk.api.calls = [Call("gen-1", NOW_US - HOUR_US)]
    desk.api.faults = [
        Fault(429, headers={"Retry-After": "7"}),
        Fault(429, headers={"Retry-After": "Wed, 04 Mar 2026 12:00:20 GMT"}),
        Fault(503),
        Fault(200, b"<html>"),
    ]
    assert desk.run().billed == 1
    assert desk.waited == [7.0, 13.0, 8.0, 16.0]


def test_a_run_that_gives_up_keeps_what_it_learnt_and_the_next_one_goes_on(desk: Desk) -> None:
    for number in range(120):
        desk.take(f"gen-{number}", NOW_US - HOUR_US + number)
        desk.api.calls.append(Call(f"gen-{number}", NOW_US - HOUR_US + number))
    original = desk.api.answer

    def failing(path: str, key: str) -> Any:
        return (502, b"bad gateway", {}) if len(desk.api.asked) >= 70 else original(path, key)

    desk.api.answer = failing  # type: ignore[method-assign]
    run = desk.run()
    assert (run.state, run.billed) == ("interrupted", 70)
    assert "502" in (run.message or "")
    desk.api.answer = original  # type: ignore[method-assign]
    desk.api.asked.clear()
    assert (desk.run().billed, sum("generation" in path for path, _ in desk.api.asked)) == (50, 50)


def test_look_ups_are_bounded_and_the_rest_waits(desk: Desk) -> None:
    for number in range(5):
        desk.take(f"gen-{number}", NOW_US - HOUR_US + number)
        desk.api.calls.append(Call(f"gen-{number}", NOW_US - HOUR_US + number))
    assert [(run.billed, run.remaining) for run in (desk.run(lookups=3), desk.run(lookups=3), desk.run())] == [
        (3, 2),
        (2, 0),
        (0, 0),
    ]


def test_stopping_the_monitor_interrupts_a_wait(desk: Desk) -> None:
    desk.take("gen-1", NOW_US - 1_000_000)
    desk.stop_after = 1
    assert desk.run().state == "interrupted"


def test_one_bill_belongs_to_one_operation(desk: Desk) -> None:
    desk.take("gen-1", NOW_US - HOUR_US)
    seen_again = call(
        "openai/gpt-4o",
        1000,
        100,
        operation_id="other-door",
        provider="openrouter",
        provider_request_id="gen-1",
        started_at=NOW_US - HOUR_US + 5,
    )
    desk.data.intake.submit([seen_again]).result()
    desk.api.calls = [Call("gen-1", NOW_US - HOUR_US)]
    desk.run()
    desk.run()
    assert sum("generation" in path for path, _ in desk.api.asked) == 1


def test_a_bill_survives_that_the_sender_replaces_the_operation(desk: Desk) -> None:
    desk.take("gen-1", NOW_US - HOUR_US)
    desk.api.calls = [Call("gen-1", NOW_US - HOUR_US, fee="0.0042")]
    desk.run()
    desk.take("gen-1", NOW_US - HOUR_US, revision=1)
    assert desk.stored("gen-1").billed_usd is None
    desk.run()
    assert (desk.stored("gen-1").billed_usd, desk.stored("gen-1").revision) == (D("0.0042"), 1)
    assert sum("generation" in path for path, _ in desk.api.asked) == 1


def test_the_windows_of_a_key_are_utc(desk: Desk) -> None:
    monday, sunday = at("2026-03-02T00:30:00"), at("2026-03-01T23:30:00")
    for number, started_at in enumerate((sunday, monday, NOW_US - HOUR_US)):
        desk.take(f"gen-{number}", started_at)
        desk.api.calls.append(Call(f"gen-{number}", started_at))
    found = desk.findings(desk.run())
    assert {period: (one.ours_calls, one.state) for (_, period, _), one in found.items()} == {
        "day": (1, "agrees"),
        "week": (2, "agrees"),
        "month": (3, "agrees"),
    }


def test_what_a_key_used_elsewhere_is_unexplained_and_says_so(desk: Desk) -> None:
    desk.take("gen-1", NOW_US - HOUR_US)
    desk.api.calls = [Call("gen-1", NOW_US - HOUR_US), Call("gen-else", NOW_US - HOUR_US, fee="0.5")]
    day = desk.findings(desk.run())["key", "day", ""]
    assert (day.theirs_usd, day.ours_usd, day.difference_usd, day.state) == (
        D("0.5035"),
        D("0.0035"),
        D("0.5"),
        "unexplained",
    )
    assert "past the monitor" in day.explanation


def test_activity_is_compared_day_by_day_and_model_by_model(desk: Desk) -> None:
    yesterday = NOW_US - DAY_US
    desk.take("gen-1", yesterday, model="openrouter/openai/gpt-4o:nitro")
    desk.take("gen-2", yesterday, model="openai/gpt-4o-2024-11-20")
    desk.api.calls = [
        Call("gen-1", yesterday, key="other"),
        Call("gen-2", yesterday, fee="0.0001", upstream="0.0035", key="other"),
        Call("gen-3", yesterday, model="x-ai/grok-3", fee="0.25", key="other", provider_name="xAI"),
    ]
    found = desk.findings(desk.run(management_key=SecretStr(MANAGEMENT_KEY)))
    gpt = found["activity", "2026-03-03", "openai/gpt-4o"]
    assert (gpt.theirs_usd, gpt.ours_usd, gpt.theirs_calls, gpt.ours_calls, gpt.state) == (
        D("0.0071"),
        D("0.0071"),
        2,
        2,
        "agrees",
    )
    assert "$0.0035 of it by keys of your own" in gpt.explanation
    grok = found["activity", "2026-03-03", "x-ai/grok-3"]
    assert (grok.theirs_calls, grok.ours_calls, grok.state) == (1, 0, "explained")
    whole = found["activity", "2026-03-03", ""]
    assert (whole.difference_usd, whole.state) == (D("0.25"), "explained")
    assert "1 call more than came past the monitor" in whole.explanation


@pytest.mark.parametrize(
    ("theirs", "calls", "ours", "state"),
    [
        ("1.00005", 5, RoutedSums(0, None, 5, D(1), 0, 0, D(0), D(0)), "agrees"),
        ("1.5", 5, RoutedSums(0, None, 5, D(1), 0, 0, D(0), D(0)), "unexplained"),
        ("1.5", 5, RoutedSums(0, None, 5, D(1), 2, 0, D(0), D(0)), "explained"),  # two of ours have no cost yet
        ("0.5", 5, RoutedSums(0, None, 5, D(1), 2, 0, D(0), D(0)), "unexplained"),  # which can only make ours larger
        ("1.5", 5, RoutedSums(0, None, 5, D(1), 0, 3, D("0.4"), D(0)), "explained"),  # three are priced by the book
        ("9", 5, RoutedSums(0, None, 5, D(1), 0, 3, D("0.4"), D(0)), "unexplained"),  # too far for that
        ("36", 5, RoutedSums(0, None, 5, D(1), 0, 0, D(0), D(35)), "explained"),  # the bill in quarantine
        ("1.5", 7, RoutedSums(0, None, 5, D(1), 0, 0, D(0), D(0)), "explained"),  # two calls elsewhere
    ],
)
def test_a_difference_is_explained_only_by_what_can_explain_it(
    theirs: str, calls: int, ours: RoutedSums, state: str
) -> None:
    assert explain(D(theirs), calls, ours, is_over=True)[0] == state


def test_names_are_read_as_activity_writes_them() -> None:
    assert [
        plain_model(name) for name in ("openrouter/openai/gpt-4o:nitro", "Openai/GPT-4o:free", "openrouter/auto")
    ] == [
        "openai/gpt-4o",
        "openai/gpt-4o:free",
        "openrouter/auto",
    ]


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        ({"key": SecretStr("sk-or-v1-wrong-key")}, "failed", "does not know this key (401)"),
        ({"management_key": SecretStr(KEY)}, "failed", "management key"),
        ({"url": "http://127.0.0.1:9/api/v1"}, "interrupted", "cannot be reached"),
    ],
)
def test_what_went_wrong_says_what_to_do_and_never_the_key(
    desk: Desk, changes: dict[str, Any], state: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    desk.take("gen-1", NOW_US - HOUR_US)
    run = desk.run(**changes)
    assert (run.state, said in (run.message or "")) == (state, True), run
    keys = [KEY, MANAGEMENT_KEY, "sk-or-v1-wrong-key", "sk-or-v1-000...eed"]
    desk.data.writer.flush()
    stored = desk.state.path.read_bytes() + b"".join(path.read_bytes() for path in desk.home.glob("state.sqlite-wal"))
    told = caplog.text + json.dumps([str(one) for one in StoredReconciliations(desk.state).runs()])
    assert not [key for key in keys if key in told or key.encode() in stored]


def test_a_redirection_is_not_followed_with_a_key(desk: Desk) -> None:
    desk.api.faults = [Fault(302, b"", {"Location": "http://127.0.0.1:9/elsewhere"})]
    run = desk.run()
    assert (run.state, "redirection" in (run.message or "")) == ("failed", True)


def test_without_a_key_nothing_is_asked(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="OPENROUTER__KEY"):
        desk.run(key=None)
    assert desk.api.asked == []


def test_a_run_that_a_crash_left_open_is_closed_by_the_next(desk: Desk) -> None:
    StoredReconciliations(desk.state).begin(NOW_US, "schedule")
    desk.run()
    newest, before = StoredReconciliations(desk.state).runs(2)
    assert (newest.state, before.state, before.message) == ("done", "interrupted", "The monitor was stopped meanwhile.")


@pytest.mark.parametrize("key", ["two words", "new\nline", "schlüssel"])
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="copy it again") as refused:
        OpenRouterSettings(key=SecretStr(key))
    assert key not in str(refused.value)
