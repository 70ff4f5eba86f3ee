"""The engine keeps to its memory: it spills, refuses with a clear sentence, and folds its log while nobody waits."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from pydantic import ValidationError

from ralex_core.config import Settings
from ralex_core.errors import StoreOutOfMemory
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.engine_memory import LEAST_MB, QUIET_LOG_BYTES, default_memory_mb
from ralex_core.storage.writer import BatchWriter
from tests.support.operations import make_operation

GIB = 1 << 30
HUNGRY = "select list(md5(i::VARCHAR)) from range(3000000) as numbers(i)"
"""One value of some 150 MB: it cannot be spilled."""
SORTED = (
    "select count(*) from (select md5(i::VARCHAR) as s from range(2000000) as t(i) order by s offset 1) where s > ''"
)


@contextlib.contextmanager
def small_store(home: Path) -> Iterator[DuckDBStore]:
    store = DuckDBStore(home / "telemetry.duckdb", memory_mb=LEAST_MB)
    try:
        yield store
    finally:
        store.close()


@pytest.mark.parametrize(("available", "expected"), [(GIB // 2, 128), (2 * GIB, 256), (8 * GIB, 512), (64 * GIB, 512)])
def test_the_default_is_an_eighth_of_the_memory_within_bounds(available: int, expected: int) -> None:
    assert default_memory_mb(available) == expected


@pytest.mark.parametrize("given", [0, -1, 63, (1 << 20) + 1, "much"])
def test_a_memory_limit_that_cannot_work_is_refused(given: object) -> None:
    with pytest.raises(ValidationError, match="engine_memory_mb"):
        Settings(engine_memory_mb=given)  # type: ignore[arg-type]


def test_what_does_not_fit_is_spilled_and_the_disk_is_given_back(tmp_path: Path) -> None:
    with small_store(tmp_path) as store:
        assert store.query(SORTED) == [(1_999_999,)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["telemetry.duckdb"]


def test_a_question_beyond_the_memory_is_refused_and_the_store_goes_on(tmp_path: Path) -> None:
    with small_store(tmp_path) as store:
        for number in range(3):
            with pytest.raises(StoreOutOfMemory, match="engine_memory_mb"):
                store.query(HUNGRY)
            store.write([make_operation(operation_id=f"after-{number}")])
        assert store.query("select count(*) from operations") == [(3,)]


def test_a_log_that_grew_is_folded_into_the_file_and_a_short_one_is_left(tmp_path: Path) -> None:
    log = tmp_path / "telemetry.duckdb.wal"
    store = DuckDBStore(tmp_path / "telemetry.duckdb", memory_mb=512)
    try:
        store.write([make_operation()])
        assert not store.fold_log()
        written = _fill_log(store, log)
        assert store.fold_log()
        assert not log.exists() or log.stat().st_size < QUIET_LOG_BYTES
        assert store.query("select count(*) from operations") == [(written + 1,)]
    finally:
        store.close()


def test_the_writer_folds_the_log_when_nobody_waits(tmp_path: Path) -> None:
    log = tmp_path / "telemetry.duckdb.wal"
    store = DuckDBStore(tmp_path / "telemetry.duckdb", memory_mb=512)
    writer = BatchWriter(store, queue_operations=100_000, metrics=SelfMetrics())
    try:
        _fill_log(store, log)
        writer.start()
        commit: Future[object] = writer.submit([make_operation(operation_id="last")])  # type: ignore[assignment]
        commit.result(30)
        writer.flush()  # after the first round, in which everything was due
    finally:
        writer.close()
        size = log.stat().st_size if log.exists() else 0
        store.close()
    assert size < QUIET_LOG_BYTES


def _fill_log(store: DuckDBStore, log: Path) -> int:
    """Write until the log is long enough to be folded; returns how many operations."""
    rng = random.Random(5)
    written = 0
    while not log.exists() or log.stat().st_size < QUIET_LOG_BYTES:
        batch = [make_operation(operation_id=f"{rng.getrandbits(128):032x}") for _ in range(4000)]
        store.write(batch)
        written += len(batch)
    return written
