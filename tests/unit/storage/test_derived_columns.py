"""Columns that follow from others say the same as their expression, whatever was done to an operation."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.model.window import HOUR_US, Scope, Window
from ralex_core.stats.quantiles import ZERO_BIN, bin_of
from ralex_core.storage import queries
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.schema import DERIVED_COLUMNS
from ralex_core.storage.telemetry import Amendment
from tests.support.operations import T0, make_operation, random_operations

COSTS = {
    "none": None,
    "nothing": Decimal(0),
    "least": Decimal("1e-18"),
    "cent": Decimal("0.01"),
    "most": Decimal("1e11"),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    opened = DuckDBStore(tmp_path / "t.duckdb")
    yield opened
    opened.close()


def assert_all_follow(store: DuckDBStore) -> None:
    for column, (kind, expression) in DERIVED_COLUMNS.items():
        wrong = f"{column} is distinct from ({expression})::{kind}"
        if column == "trace_hash":
            wrong += " and trace_id is not null"  # nobody looks for no trace
        found = store.query(f"select operation_id, {column} from operations where {wrong}")
        assert found == [], column


def test_they_follow_from_what_was_written_replaced_amended_and_revalued(store: DuckDBStore) -> None:
    store.write(random_operations(5, 500))
    store.write([make_operation("bare", duration_ms=None, computed_usd=None, cost_usd=None, trace_id=None)])
    claimed = {"reported_usd": Decimal(900), "quarantine": "reported", "cost_usd": None, "computed_usd": None}
    store.write([make_operation("wild", **claimed), make_operation("later"), make_operation("billed")])
    assert_all_follow(store)
    store.write([make_operation("later", revision=1, cost_usd=Decimal(7), duration_ms=9.5, trace_id="t")])
    store.amend([Amendment("wild", accept_claim=True)])
    assert store.query("select cost_usd, cost_bin from operations where operation_id = 'wild'") == [
        (Decimal(900), bin_of(900.0))
    ]
    store.revalue(["billed"], lambda op: op._replace(billed_usd=Decimal(3), cost_usd=Decimal(3)))
    assert_all_follow(store)


def test_a_cost_is_in_its_bin_and_an_unknown_one_in_that_of_nothing(store: DuckDBStore) -> None:
    store.write([make_operation(name, cost_usd=cost) for name, cost in COSTS.items()])
    found = dict(store.query("select operation_id, cost_bin from operations"))
    assert found == {name: ZERO_BIN if cost is None else bin_of(float(cost)) for name, cost in COSTS.items()}


@pytest.mark.parametrize("descending", [True, False])
def test_costs_at_the_edge_of_a_bin_are_in_order(store: DuckDBStore, descending: bool) -> None:
    """Hundreds of costs in one bin, free ones and unknown ones: the page is that of sorting all of them."""
    costs = [Decimal(1) + Decimal(n) / 100_000 for n in range(300)] + [Decimal(0)] * 200 + [None] * 50
    store.write(
        [make_operation(f"o{n:03}", started_at=T0 + n * HOUR_US, cost_usd=cost) for n, cost in enumerate(costs)]
    )
    window = Window(T0, T0 + len(costs) * HOUR_US)
    known = sorted((cost for cost in costs if cost is not None), reverse=descending)
    for offset in (0, 40, 180, 480):
        page = queries.operations_page(
            store, Scope(window), sort="cost_usd", descending=descending, limit=50, offset=offset
        )
        assert [row.cost_usd for row in page.rows] == (known + [None] * 50)[offset : offset + 50]
