"""Query times are told by the question that asked."""

from __future__ import annotations

from pathlib import Path

from ralex_core.model.window import DAY_US, Scope, Window
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.asking import asked_by
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.queries import breakdown, totals
from tests.support.operations import T0, make_operation


def test_a_query_is_told_under_the_question_it_belongs_to(tmp_path: Path) -> None:
    metrics = SelfMetrics()
    store = DuckDBStore(tmp_path / "t.duckdb", metrics=metrics)
    store.write([make_operation()])
    scope = Scope(Window(T0, T0 + DAY_US))
    totals(store, scope)
    breakdown(store, scope, "model")
    store.query("select 1")
    store.close()
    seen = {dict(labels)["question"]: found.ever.count for labels, found in metrics.observed("query_seconds").items()}
    assert seen == {"totals": 2, "breakdown": 2, "other": 1}


def test_outside_of_questions_there_is_no_name() -> None:
    assert asked_by(0) == "other"
