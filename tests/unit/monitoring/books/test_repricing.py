from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.clock import ManualClock
from ralex_core.config import Settings
from ralex_core.model.operation import Operation
from ralex_core.model.window import Scope, Window
from ralex_core.monitoring.books import repricing
from ralex_core.monitoring.books.repricing import preview, reprice
from ralex_core.pricing.book import PriceBook
from ralex_core.runtime.dataset import DataSet
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.queries import operation, totals
from ralex_core.storage.state import StateStore
from tests.support.operations import T0
from tests.support.prices import book_in, call

D = Decimal
ALL = Window(0, T0 * 2)
CORRECTED = '[[price]]\nmodel = "gpt-4o"\ninput = 5\noutput = 15\n'


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataSet]:
    settings = Settings(home=tmp_path, timezone="UTC")
    made = DataSet(
        settings.telemetry_path, settings, clock=ManualClock(T0), book=PriceBook(settings), metrics=SelfMetrics()
    )
    yield made
    made.close()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    made = StateStore(tmp_path / "state.sqlite", ManualClock(T0))
    yield made
    made.close()


@pytest.fixture
def corrected(tmp_path: Path) -> PriceBook:
    return book_in(tmp_path, CORRECTED)


def gpt(number: int, **fields: object) -> Operation:
    return call("gpt-4o", 1000, 100, provider="openai", operation_id=f"o{number:04}", started_at=T0 + number, **fields)


def stored(data: DataSet, number: int) -> Operation:
    found = operation(data.store, f"o{number:04}")
    assert found is not None
    return found


def test_first_what_would_change_then_the_change(data: DataSet, state: StateStore, corrected: PriceBook) -> None:
    other = call("claude-opus-4-5", 10, 10, provider="anthropic", operation_id="x", started_at=T0)
    data.intake.submit([*(gpt(n) for n in range(3)), gpt(3, billed_usd=D("0.004")), other]).result()
    seen = preview(data.store, corrected, state, ALL)
    assert (seen.examined, seen.changed, seen.before_usd, seen.after_usd) == (5, 4, D("0.0148"), D("0.0238"))
    change = seen.models["openai", "gpt-4o"]
    assert (change.operations, change.before_usd, change.after_usd) == (4, D("0.0145"), D("0.0235"))
    assert stored(data, 0).computed_usd == D("0.0035")
    done = reprice(data.store, data.writer, corrected, state, ALL, by="ann", reason="the contract")
    assert (done.changed, done.before_usd, done.after_usd) == (4, D("0.0148"), D("0.0238"))
    assert (stored(data, 0).cost_usd, stored(data, 0).cost_basis) == (D("0.0065"), "computed")
    billed = stored(data, 3)
    assert (billed.cost_usd, billed.cost_basis, billed.computed_usd) == (D("0.004"), "billed", D("0.0065"))
    assert totals(data.store, Scope(Window(T0, T0 + 1_000))).cost_usd == done.after_usd
    assert preview(data.store, corrected, state, ALL).changed == 0
    assert [entry.action for entry in state.audit_log()] == ["repriced", "reprice"]


def test_only_a_window_and_a_model_are_priced_again(data: DataSet, state: StateStore, corrected: PriceBook) -> None:
    data.intake.submit([gpt(n) for n in range(4)]).result()
    reprice(data.store, data.writer, corrected, state, Window(T0 + 1, T0 + 3), "gpt-4o", by="ann")
    assert [stored(data, n).cost_usd for n in range(4)] == [D("0.0035"), D("0.0065"), D("0.0065"), D("0.0035")]
    assert preview(data.store, corrected, state, ALL, "gpt-5").examined == 0


def test_an_interrupted_repricing_is_finished_by_another(
    data: DataSet, state: StateStore, corrected: PriceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repricing, "BATCH", 10)
    data.intake.submit([gpt(n) for n in range(35)]).result()

    class Failing:
        """A writer whose third batch fails, as when the process is killed."""

        batches = 0

        def revalue(self, *arguments: object):
            self.batches += 1
            if self.batches == 3:
                raise ConnectionError
            return data.writer.revalue(*arguments)  # type: ignore[arg-type]

    with pytest.raises(ConnectionError):
        reprice(data.store, Failing(), corrected, state, ALL, by="ann")  # type: ignore[arg-type]
    assert [entry.action for entry in state.audit_log()] == ["reprice"]
    done = reprice(data.store, data.writer, corrected, state, ALL, by="ann")
    assert (done.examined, done.changed) == (35, 15)
    assert {stored(data, n).cost_usd for n in range(35)} == {D("0.0065")}


def test_what_a_person_accepted_stays_accepted(data: DataSet, state: StateStore, corrected: PriceBook) -> None:
    data.intake.submit([gpt(1, billed_usd=D(9)), gpt(2, billed_usd=D(9))]).result()
    assert stored(data, 1).quarantine == "billed"
    from ralex_core.storage.telemetry import Amendment

    data.writer.amend([Amendment("o0001", accept_claim=True)]).result()
    state.audit("accept-claim", "o0001", "billed 9")
    reprice(data.store, data.writer, corrected, state, ALL, by="ann")
    assert [(stored(data, n).cost_usd, stored(data, n).quarantine) for n in (1, 2)] == [
        (D(9), None),
        (D("0.0065"), "billed"),
    ]


def test_a_new_version_of_the_list_with_the_same_price_changes_nothing(data: DataSet, state: StateStore) -> None:
    data.writer.submit(
        [
            gpt(1)._replace(
                tier="standard",
                computed_usd=D("0.0035"),
                cost_usd=D("0.0035"),
                cost_basis="computed",
                price_version="genai-prices 0.0.1",
                baseline_usd=D("0.0075"),
            )
        ]
    ).result()
    book = PriceBook(Settings(home=state.path.parent))
    assert preview(data.store, book, state, ALL).changed == 0
