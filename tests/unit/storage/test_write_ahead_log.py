"""A damaged write-ahead log loses what cannot be read, and nothing else; it is never deleted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ralex_core.clock import ManualClock
from ralex_core.errors import StoreCorrupt, StoreError, StoreFull, StoreLocked
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.trash import Trash
from ralex_core.storage.write_ahead_log import COMMIT, examine
from tests.support.operations import T0

BATCHES, EACH = 12, 50

_WRITE = f"""
import os, sys
from pathlib import Path
from ralex_core.storage.duckdb_store import DuckDBStore
from tests.support.operations import make_operation
store = DuckDBStore(Path(sys.argv[1]))
store.write([make_operation("first")])
store.close()
store = DuckDBStore(Path(sys.argv[1]))
for batch in range({BATCHES}):
    store.write([make_operation(f"{{batch}}-{{n}}", attributes='{{"n": "' + "x" * 60 + '"}}') for n in range({EACH})])
print("written", flush=True)
if len(sys.argv) > 2:
    sys.stdin.read()
os._exit(9)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database and its log, as a killed process leaves them: 1 operation in the file, 12 batches in the log."""
    folder = tmp_path_factory.mktemp("killed")
    subprocess.run([sys.executable, "-c", _WRITE, str(folder / "t.duckdb")], check=False)
    assert (folder / "t.duckdb.wal").stat().st_size > 50_000
    return folder


@pytest.fixture
def home(killed: Path, tmp_path: Path) -> Path:
    for file in killed.iterdir():
        shutil.copyfile(file, tmp_path / file.name)
    return tmp_path


def flip(file: Path, at: int, length: int = 4) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        bytes_there = opened.read(length)
        opened.seek(at)
        opened.write(bytes(255 - byte for byte in bytes_there))


def commits(log: Path) -> list[int]:
    """Where each transaction of a log ends."""
    data, ends, at = log.read_bytes(), list[int](), 0
    while (at := data.find(COMMIT, at)) >= 0:
        at += len(COMMIT)
        ends.append(at)
    return ends


def stored(home: Path) -> int:
    store = DuckDBStore(home / "t.duckdb", clock=ManualClock(T0))
    try:
        return store.query("select count(*) from operations")[0][0]
    finally:
        store.close()


def test_a_whole_log_is_read_and_nothing_goes_to_the_trash(home: Path) -> None:
    state = examine(home / "t.duckdb.wal")
    assert state is not None
    assert (state.damaged_at, state.commits_after, state.readable_bytes) == (None, 0, state.size)
    assert state.commits == len(commits(home / "t.duckdb.wal"))
    assert stored(home) == 1 + BATCHES * EACH
    assert Trash(home).removals() == []


@pytest.mark.parametrize("batch", [0, 1, 5, BATCHES - 2])
def test_every_commit_before_the_damage_is_kept_and_the_original_is_set_aside(home: Path, batch: int) -> None:
    log = home / "t.duckdb.wal"
    ends = commits(log)
    first = len(ends) - BATCHES
    flip(log, ends[first + batch] - len(COMMIT) - 200)
    original, database = log.read_bytes(), (home / "t.duckdb").read_bytes()
    store = DuckDBStore(home / "t.duckdb", clock=ManualClock(T0))
    assert store.query("select count(*) from operations") == [(1 + batch * EACH,)]
    assert str(Trash(home).removals()[0].path) in (store.log_trouble or "")
    store.close()
    (removal,) = Trash(home).removals()
    assert removal.kind == "damaged-log"
    lost = BATCHES - batch
    assert f"{lost:,} transactions after the damage could not be read" in removal.note
    assert (removal.path / "t.duckdb.wal").read_bytes() == original
    assert (removal.path / "t.duckdb").read_bytes() == database
    assert stored(home) == 1 + batch * EACH
    assert len(Trash(home).removals()) == 1, "the next start has nothing to mend"


def test_a_damaged_length_is_not_taken_for_the_end(home: Path) -> None:
    """DuckDB alone takes it for a torn write and forgets every commit behind it without a word."""
    log = home / "t.duckdb.wal"
    ends = commits(log)
    flip(log, ends[-3] + 4, 3)
    assert stored(home) == 1 + (BATCHES - 2) * EACH
    (removal,) = Trash(home).removals()
    assert removal.details["commits_lost"] == 2


def test_a_log_with_damaged_first_bytes_is_read_with_the_header_it_must_have_had(home: Path) -> None:
    flip(home / "t.duckdb.wal", 2, 6)
    assert stored(home) == 1 + BATCHES * EACH
    (removal,) = Trash(home).removals()
    assert "nothing was lost" in removal.note


def test_a_torn_end_is_kept_and_everything_before_it_is_read(home: Path) -> None:
    log = home / "t.duckdb.wal"
    ends = commits(log)
    os.truncate(log, ends[-1] - 30)
    torn = log.read_bytes()[ends[-2] :]
    assert stored(home) == 1 + (BATCHES - 1) * EACH
    (removal,) = Trash(home).removals()
    assert removal.kind == "torn-log"
    assert (removal.path / "t.duckdb.wal.end").read_bytes() == torn


@pytest.mark.parametrize("tail", [b"\0" * 4096, os.urandom(300), b"\x05"])
def test_what_lies_behind_the_last_commit_disturbs_nothing(home: Path, tail: bytes) -> None:
    with (home / "t.duckdb.wal").open("ab") as log:
        log.write(tail)
    assert stored(home) == 1 + BATCHES * EACH


@pytest.mark.parametrize("length", [1, 4, 8, 20, 35])
@pytest.mark.parametrize("zeros", [False, True])
def test_a_log_that_was_only_begun_stops_nothing(home: Path, length: int, zeros: bool) -> None:
    log = home / "t.duckdb.wal"
    os.truncate(log, length)
    if zeros:
        log.write_bytes(bytes(length))
    assert stored(home) == 1
    assert stored(home) == 1


def test_a_log_without_its_database_is_not_deleted(home: Path) -> None:
    (home / "t.duckdb").rename(home / "moved.duckdb")
    log = home / "t.duckdb.wal"
    original = log.read_bytes()
    with pytest.raises(StoreCorrupt, match="is missing, but its write-ahead log"):
        stored(home)
    assert log.read_bytes() == original
    (home / "moved.duckdb").rename(home / "t.duckdb")
    assert stored(home) == 1 + BATCHES * EACH


def test_a_log_of_another_database_is_not_deleted(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    DuckDBStore(other / "t.duckdb", clock=ManualClock(T0)).close()
    shutil.copyfile(other / "t.duckdb", home / "t.duckdb")
    log = home / "t.duckdb.wal"
    original = log.read_bytes()
    with pytest.raises(StoreCorrupt, match="belongs to another database file") as caught:
        stored(home)
    assert str(log) in str(caught.value)
    assert "move the file away" not in str(caught.value)
    assert log.read_bytes() == original


def test_a_log_of_which_nothing_can_be_read_is_left_as_it_is(home: Path) -> None:
    log = home / "t.duckdb.wal"
    log.write_bytes(bytes(byte ^ 0x5A for byte in log.read_bytes()))
    original, database = log.read_bytes(), (home / "t.duckdb").read_bytes()
    with pytest.raises(StoreCorrupt, match="do not delete the log"):
        stored(home)
    assert (log.read_bytes(), (home / "t.duckdb").read_bytes()) == (original, database)


def test_the_damaged_log_of_a_running_process_is_not_touched(tmp_path: Path) -> None:
    database = tmp_path / "t.duckdb"
    command: list[str] = [sys.executable, "-c", _WRITE, str(database), "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        log = tmp_path / "t.duckdb.wal"
        flip(log, log.stat().st_size // 2)
        original = log.read_bytes()
        with pytest.raises(StoreLocked):
            DuckDBStore(database)
        assert log.read_bytes() == original
        process.communicate(b"")


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_damage_anywhere_keeps_whole_batches_or_leaves_both_files(home: Path, place: int) -> None:
    log = home / "t.duckdb.wal"
    flip(log, log.stat().st_size * place // 100, 1)
    original = log.read_bytes()
    try:
        found = stored(home)
    except StoreCorrupt:
        assert log.read_bytes() == original
    else:
        assert (found - 1) % EACH == 0
        assert found == 1 + BATCHES * EACH or Trash(home).removals()


def test_a_torn_end_that_cannot_be_kept_does_not_keep_the_store_closed(home: Path) -> None:
    """A full disk is what tears a write."""
    log = home / "t.duckdb.wal"
    os.truncate(log, commits(log)[-1] - 30)
    (home / "trash").write_text("no room for a directory")
    assert stored(home) == 1 + (BATCHES - 1) * EACH


def test_damage_that_cannot_be_set_aside_changes_nothing(home: Path) -> None:
    log = home / "t.duckdb.wal"
    flip(log, commits(log)[-4] - 100)
    (home / "trash").write_text("no room for a directory")
    original, database = log.read_bytes(), (home / "t.duckdb").read_bytes()
    with pytest.raises(StoreFull, match="could not be written"):
        stored(home)
    assert (log.read_bytes(), (home / "t.duckdb").read_bytes()) == (original, database)


def test_a_log_that_is_no_file_is_named(home: Path) -> None:
    log = home / "t.duckdb.wal"
    log.unlink()
    log.mkdir()
    with pytest.raises(StoreError, match=str(log)):
        stored(home)
