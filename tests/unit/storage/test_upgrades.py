"""A telemetry file made by an older version opens, is brought up to date, and loses nothing."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from ralex_core.errors import StoreError
from ralex_core.model.window import DAY_US, Filters, Scope, Window
from ralex_core.storage import queries, upgrades
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.resource_tables import TABLES
from ralex_core.storage.schema import COST_BIN, SCHEMA_VERSION
from tests.support.repository import ROOT
from tests.support.resources import make_sample

VERSION_1 = (ROOT / "tests/support/schema_1.sql").read_text()
COLUMNS = """
    select table_name, column_name, data_type from duckdb_columns()
    where schema_name = 'main' order by table_name, column_index
"""
MEASURED = (1_000_000, 0.25, 1.5, 6, 16, 0, 100, 500, 1.0, 2.0, 3.0, 4.0, 0.01, 80, 12, 5)


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    """A file of version 1 with two operations and a sample."""
    path = tmp_path / "telemetry.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(VERSION_1)
        connection.execute(
            "insert into operations (operation_id, kind, name, started_at, status, cost_usd, revision, outcome) values "
            "('a', 'llm', 'chat', 1000000, 'ok', 0.000000000000000001, 0, 'unknown'), "
            "('b', 'api', 'GET /', 2000000, 'error', null, 3, 'failed')"
        )
        connection.execute(f"insert into resource_samples values ({', '.join('?' * len(MEASURED))})", MEASURED)
    return path


def schema_of(path: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(COLUMNS).fetchall()


def test_a_file_of_version_1_keeps_every_row(old_file: Path) -> None:
    with duckdb.connect(str(old_file)) as connection:
        operations = connection.execute("select * from operations order by operation_id").fetchall()
    store = DuckDBStore(old_file)
    try:
        kept = "* exclude (id_hash, trace_hash, cost_bin)"
        assert store.query(f"select {kept} from operations order by operation_id") == operations
        assert store.query(f"select count(*) from operations where cost_bin = {COST_BIN}") == [(2,)]
        sample = store.query("select * from resource_samples")[0]
        assert sample[: len(MEASURED)] == MEASURED
        assert set(sample[len(MEASURED) :]) == {None}
        assert store.query("select value from meta where key = 'schema_version'") == [(str(SCHEMA_VERSION),)]
        store.write_resources([make_sample(2_000_000, cores=4.0)])
        assert store.query("select cores from resource_samples order by sampled_at") == [(None,), (4.0,)]
        assert queries.extent(store) == (1_000_000, 2_000_000)
    finally:
        store.close()


def test_rollups_and_ids_of_an_upgraded_file_answer_at_once(old_file: Path) -> None:
    store = DuckDBStore(old_file)
    try:
        scope = Scope(Window(0, DAY_US))
        named = queries.breakdown(store, Scope(scope.window, Filters(user_id=("",))), "name")
        assert [(row.key, row.operations) for row in named] == [("chat", 1), ("GET /", 1)]
        for table in ("rollup_call_day", "rollup_user_name_hour", "rollup_client_day"):
            assert store.query(f"select sum(operations) from {table}") == [(2,)]
        assert queries.status_totals(store).operations == 2
        assert [queries.operation(store, id) is not None for id in ("a", "b", "c")] == [True, True, False]
    finally:
        store.close()


def test_ids_are_hashed_anew_when_duckdb_hashes_otherwise(old_file: Path) -> None:
    DuckDBStore(old_file).close()
    with duckdb.connect(str(old_file)) as connection:
        connection.execute("update operations set trace_id = 't-1', id_hash = 1, trace_hash = 1")
        connection.execute("update meta set value = 'of another version' where key = 'hash_check'")
    store = DuckDBStore(old_file)
    try:
        assert queries.operation(store, "a") is not None
        assert len(queries.trace(store, "t-1")) == 2
    finally:
        store.close()


def test_an_upgraded_file_has_the_tables_of_a_new_one(old_file: Path, tmp_path: Path) -> None:
    DuckDBStore(old_file).close()
    DuckDBStore(tmp_path / "new.duckdb").close()
    assert schema_of(old_file) == schema_of(tmp_path / "new.duckdb")


def test_an_upgrade_happens_once(old_file: Path) -> None:
    DuckDBStore(old_file).close()
    upgraded = schema_of(old_file)
    DuckDBStore(old_file).close()
    assert schema_of(old_file) == upgraded


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(old_file: Path) -> None:
    with duckdb.connect(str(old_file)) as connection:
        connection.execute("create table resource_states (mine INTEGER)")  # in the way of the last statement
    before = schema_of(old_file)
    with pytest.raises(StoreError):
        DuckDBStore(old_file)
    assert schema_of(old_file) == before
    with duckdb.connect(str(old_file), read_only=True) as connection:
        assert connection.execute("select value from meta where key = 'schema_version'").fetchall() == [("1",)]


def test_there_is_a_step_to_every_version() -> None:
    assert list(upgrades.STEPS) == list(range(2, SCHEMA_VERSION + 1))


def test_the_columns_of_every_record_are_its_fields() -> None:
    for record, (_, columns) in TABLES.items():
        assert tuple(columns) == record._fields
