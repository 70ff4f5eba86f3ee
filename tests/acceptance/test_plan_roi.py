"""ROI is worked out correctly: real outcomes of 25 models, beside an independent count with `csv` and `Decimal`."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import pytest

from ralex_core.collection.importers.base import ImportOptions
from ralex_core.collection.importers.runner import run_import
from ralex_core.collection.importers.tabular import TabularImporter
from ralex_core.config import Settings
from ralex_core.model.window import Filters, Scope, Window
from ralex_core.monitoring.value import Worth, roi, valuation, worth_by, worth_of
from ralex_core.pricing.book import PriceBook
from ralex_core.runtime.direct import open_stores
from ralex_core.storage.duckdb_store import DuckDBStore
from tests.support.prices import at
from tests.support.shared import shared_path

OPUS = "Claude 4.5 Opus medium (20251101)"
COLUMNS = {"started_at": "released", "task": "task", "outcome": "resolved"}
EVERYTHING = Scope(Window(at("2025-01-01"), at("2026-01-01")))
CENT = Decimal("0.01")
DUST = Decimal("1e-15")
"""The table's binary floats have up to 20 decimals; claims are kept to the 18th."""


@dataclass
class Counted:
    """One model, counted by hand."""

    cost: Decimal = Decimal(0)
    resolved: int = 0
    opus: Decimal = Decimal(0)
    """What Opus spent on the tasks this model resolved."""
    per_task: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)


def counted() -> dict[str, Counted]:
    with gzip.open(shared_path("data/coding_task_outcomes.csv.gz"), "rt", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    at_opus = {row["task"]: Decimal(row["cost_usd"]) for row in rows if row["model"] == OPUS}
    found: defaultdict[str, Counted] = defaultdict(Counted)
    for row in rows:
        one = found[row["model"]]
        cost = Decimal(row["cost_usd"])
        worth = at_opus[row["task"]] if row["resolved"] == "1" else Decimal(0)
        one.cost += cost
        one.resolved += row["resolved"] == "1"
        one.opus += worth
        one.per_task[row["task"]] = (worth, cost)
    return dict(found)


@dataclass
class Imported:
    store: DuckDBStore
    book: PriceBook
    settings: Settings

    def worth_by_model(self, scope: Scope = EVERYTHING) -> dict[str | None, Worth]:
        how = valuation(self.store, self.book, self.settings, baseline=OPUS)
        return worth_by(self.store, scope, self.book, how, "model")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    source = shared_path("data/coding_task_outcomes.csv.gz")
    settings = Settings(home=tmp_path_factory.mktemp("home"), timezone="UTC")
    with open_stores(settings) as stores:
        importer = TabularImporter(ImportOptions(columns=COLUMNS))
        report = run_import(
            importer, [source], intake=stores.data.intake, state=stores.state, quarantine_dir=settings.quarantine_dir
        )
        assert (report.imported, report.duplicates, report.rejected) == (6150, 0, 0)
        stores.data.writer.flush()
        yield Imported(stores.data.store, PriceBook(settings), settings)


def test_roi_analysis_correctness(imported: Imported) -> None:
    expected = counted()
    found = imported.worth_by_model()
    assert len(expected) == 25
    assert set(found) == set(expected)
    for model, one in expected.items():
        worth = found[model]
        assert (worth.calls, worth.priced, worth.successes) == (246, 246, one.resolved), model
        assert abs(worth.cost_usd - one.cost) < DUST, model
        assert worth.baseline_usd == worth.value_usd
        assert worth.baseline_usd is not None
        assert abs(worth.baseline_usd - one.opus) < DUST, model
        assert worth.cost_per_success_usd is not None
        assert worth.cost_per_success_usd.quantize(CENT) == (one.cost / one.resolved).quantize(CENT), model
        assert worth.efficiency_ratio == worth.roi_ratio == pytest.approx(float(one.opus / one.cost), abs=1e-9), model
        # which baseline was used: that of the same tasks, for every call
        assert (worth.matched, worth.same_usage, worth.not_compared) == (246, 0, 0), model


def test_the_cheapest_way_to_a_dollar_of_opus_work_is_known(imported: Imported) -> None:
    found = imported.worth_by_model()
    best = max(found.values(), key=lambda worth: worth.roi_ratio or 0)
    assert best.key == "DeepSeek V3.2 Reasoner"
    opus = found[OPUS]
    assert opus.roi_ratio is not None
    assert opus.roi_ratio < 1, "what it spent on tasks it did not resolve is paid for and worth nothing"


def test_the_interval_is_that_of_tasks_drawn_again(imported: Imported) -> None:
    """Beside a plain bootstrap over the 246 tasks of the csv: the same centre, and bounds of about the same place."""
    model = "GPT-5 mini (2025-08-07) (medium reasoning)"
    how = valuation(imported.store, imported.book, imported.settings, baseline=OPUS)
    scope = Scope(EVERYTHING.window, Filters(model=(model,)))
    total = roi(imported.store, scope, imported.book, how).total
    pairs = np.array([(float(worth), float(cost)) for worth, cost in counted()[model].per_task.values()])
    rng = np.random.default_rng(1)
    picked = pairs[rng.integers(0, 246, size=(4000, 246))].sum(axis=1)
    low, high = np.quantile(picked[:, 0] / picked[:, 1], [0.025, 0.975])
    assert total.clusters == 246
    assert total.interval is not None
    assert total.interval.low == pytest.approx(low, rel=0.05)
    assert total.interval.high == pytest.approx(high, rel=0.05)
    assert total.interval.low < pairs[:, 0].sum() / pairs[:, 1].sum() < total.interval.high


def test_a_filter_leaves_the_baseline_what_it_is(imported: Imported) -> None:
    """The baseline model's own runs lie outside of a view filtered to another model, and are compared with all the
    same; a window without them too."""
    scope = Scope(Window(at("2025-12-01"), at("2025-12-02")), Filters(project=("django/django",)))
    with gzip.open(shared_path("data/coding_task_outcomes.csv.gz"), "rt", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["repository"] == "django/django"]
    at_opus = {row["task"]: Decimal(row["cost_usd"]) for row in rows if row["model"] == OPUS}
    mine = [row for row in rows if row["released"] == "2025-12-01"]
    found = imported.worth_by_model(scope)
    assert set(found) == {row["model"] for row in mine}
    for model, worth in found.items():
        expected = sum(
            (at_opus[row["task"]] for row in mine if (row["model"], row["resolved"]) == (model, "1")), Decimal(0)
        )
        assert worth.baseline_usd is not None
        assert abs(worth.baseline_usd - expected) < DUST


def test_without_tokens_or_tasks_of_the_baseline_nothing_is_made_up(imported: Imported) -> None:
    """The default baseline model has run none of these tasks, and there are no tokens to price at its rates."""
    how = valuation(imported.store, imported.book, imported.settings)
    total = worth_of(imported.store, EVERYTHING, imported.book, how)
    assert abs(total.cost_usd - sum((one.cost for one in counted().values()), Decimal(0))) < DUST
    assert total.efficiency_ratio is None
    assert total.value_usd is None
    assert total.not_compared == sum(one.resolved for one in counted().values())
    assert "token counts are not known" in (total.efficiency_reason or "")
