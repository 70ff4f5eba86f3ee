"""The compiled half of the instruments does what the Python beside it does: the same tests hold for both.

It is optional for users; here it has to be there, because a C compiler is.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
import weakref
from collections import UserDict, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.collection import active
from ralex_core.collection.accelerator import SWITCH, compiled
from ralex_core.collection.encoding import Row, set_in_rows
from ralex_core.collection.instrument import sqlite3 as instrument_sqlite3
from ralex_core.collection.instrument.asgi import _new_request
from ralex_core.collection.instrument.routes import Endpoints
from ralex_core.collection.prepared import Prepared
from ralex_core.monitoring import instrument, operation
from tests.support.recorded import Recorded, attributes
from tests.support.repository import ROOT

if compiled is None and (os.environ.get(SWITCH) == "1" or shutil.which("cc") is None):
    pytest.skip("nothing is compiled here", allow_module_level=True)

NUMBERS = st.integers(0, 2**63 - 1)


@pytest.fixture
def db(recorded: Recorded) -> Iterator[sqlite3.Connection]:
    instrument.sqlite3()
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.execute("create table t (a integer primary key)")
    connection.executemany("insert into t values (?)", [(n,) for n in range(10)])
    recorded.clear()
    yield connection
    connection.close()


def test_it_is_used() -> None:
    assert compiled is not None
    assert isinstance(active.default_recorder.rows, compiled.Rows)
    assert "_compiled" in str(type.mro(instrument_sqlite3._plain_cursor))


@given(
    operations=st.lists(
        st.tuples(
            st.integers(0, 2),
            *(NUMBERS, NUMBERS, st.none() | NUMBERS),
            st.integers(1, 2**61),
            st.integers(0, 2**53),  # what Python divides without loss
            st.none() | st.integers(0, 2**40),
        ),
        max_size=30,
    ),
    at_most=st.integers(0, 40),
)
def test_rows_are_what_python_makes_of_them(operations: list[Any], at_most: int) -> None:
    """Taken in two parts, and compared as numbers."""
    assert compiled is not None
    kinds = [Prepared(str(n), "db", {}, {"n": n}, "count") for n in range(3)]
    rows = compiled.Rows()
    rows.limit = 1000
    values = [
        (kinds[n], "db", count, None, trace, span, parent, start, start, start + took, None)
        for n, trace, span, parent, start, took, count in operations
    ]
    for each in values:
        assert rows.put(each)
    expected: defaultdict[Prepared, list[Row]] = defaultdict(list)
    assert not set_in_rows(values, expected)
    found: defaultdict[Prepared, list[Any]] = defaultdict(list)
    for part in (rows.take(at_most, 0), rows.take(1000, 0)):
        for prepared, count, text in part:
            read = orjson.loads(text)
            assert len(read) == count
            found[prepared] += read
    assert len(rows) == 0
    assert found.keys() == expected.keys()
    for prepared in expected:
        assert [list(row) for row in expected[prepared]] == found[prepared]


def test_queries_of_many_threads_are_recorded_once_each(recorded: Recorded, tmp_path: Path) -> None:
    instrument.sqlite3()

    def work(number: int) -> None:
        connection = sqlite3.connect(tmp_path / f"{number}.db")
        for n in range(500):
            with operation(f"work {number}"):
                assert connection.execute("select ?", (n,)).fetchall() == [(n,)]
                assert connection.execute("select ?, 2", (n,)).fetchone() == (n, 2)
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queries, works = recorded.all("db"), recorded.all("task")
    assert (len(queries), len(works)) == (8000, 4000)
    assert len({op.operation_id for op in queries}) == 8000
    parents = {op.span_id: op.trace_id for op in works}
    assert all(parents[str(op.parent_span_id)] == op.trace_id for op in queries)
    assert {attributes(op)["db.response.returned_rows"] for op in queries} == {1}


def test_a_program_that_never_stops_asking_grows_no_memory(db: sqlite3.Connection, recorded: Recorded) -> None:
    def ask(times: int) -> int:
        for n in range(times):
            with operation("work"):
                db.execute("select a from t where a > ?", (n % 10,)).fetchall()
                cursor = db.execute("select a from t")
                next(cursor)
                with pytest.raises(sqlite3.OperationalError):
                    db.execute("select nothing")
            if n % 1000 == 0:
                recorded.clear()
        recorded.clear()
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    ask(3000)
    before = ask(1000)
    assert ask(6000) - before < 8 * 1024, "kilobytes"


def test_a_row_factory_that_uses_its_own_cursor_hurts_nothing(db: sqlite3.Connection, recorded: Recorded) -> None:
    cursor = db.cursor()

    def build(used: sqlite3.Cursor, row: Any) -> Any:
        used.close()
        return row

    cursor.row_factory = build
    cursor.execute("select a from t")
    with contextlib.suppress(sqlite3.ProgrammingError):  # what sqlite3 itself says of it
        cursor.fetchall()
    recorded.clear()
    assert db.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize(
    "tests",
    [
        "tests/unit/collection/instrument/test_sqlite3.py",
        "tests/unit/collection/instrument/test_asgi.py",
        "tests/unit/collection/test_sdk.py",
    ],
)
def test_python_alone_passes_the_same_tests(tests: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", tests],
        env={**os.environ, SWITCH: "1"},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-3000:]


def test_it_can_be_left_alone() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "from ralex_core.collection.accelerator import compiled; print(compiled)"],
        env={**os.environ, SWITCH: "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout == "None\n"


def test_what_python_code_does_meanwhile_hurts_nothing(recorded: Recorded, tmp_path: Path) -> None:
    """Reading what a route is called runs the program's code, which may take away what it was found by."""
    endpoints = Endpoints()

    class Route:
        @property
        def path_format(self) -> str:
            scope.pop("route", None)
            scope.pop("fastapi", None)
            return "/hi"

    async def send(message: Any) -> None:
        del message

    for _ in range(50):
        scope: dict[str, Any] = {"type": "http", "method": "".join(["G", "ET"]), "headers": [], "root_path": ""}
        request = _new_request(scope, endpoints, None, send, True, "timed")
        scope["route"] = Route()
        scope["fastapi"] = {"effective_route_context": object()}
        request.send({"type": "http.response.start", "status": 200}).close()
        request.send({"type": "http.response.body", "body": b"x"}).close()
        request.left()
    assert len(recorded.all("api")) == 50


def test_messages_need_not_be_plain_dictionaries(recorded: Recorded) -> None:
    async def send(message: Any) -> None:
        del message

    scope: dict[str, Any] = {"type": "http", "method": "GET", "headers": [], "root_path": ""}
    request = _new_request(scope, Endpoints(), None, send, True, "timed")
    request.send(UserDict({"type": "http.response.start", "status": 404})).close()
    request.send(UserDict({"type": "http.response.body", "body": b"four"})).close()
    request.left()
    only = recorded.one("api")
    assert only.http_status == 404
    assert attributes(only)["http.response.body.size"] == 4


def test_an_engine_that_is_let_go_is_collected() -> None:
    found: list[weakref.ref[Any]] = []
    for _ in range(3):
        engine = sqlalchemy.create_engine("sqlite://")
        instrument.sqlite3()
        instrument.sqlalchemy(engine)
        with engine.connect() as connection:
            connection.exec_driver_sql("select 1")
        found.append(weakref.ref(engine))
        del engine, connection
    instrument.off()
    gc.collect()
    assert [reference() for reference in found] == [None, None, None]


def test_without_a_compiler_that_works_the_package_is_built_of_python(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "ralex_core" / "collection" / "csrc", tmp_path / "ralex_core" / "collection" / "csrc")
    code = "import pathlib, sys; from hatch_build import _compile; print(_compile(pathlib.Path(sys.argv[1])))"
    shown = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "CC": "false", "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.splitlines()[-1] == "None", shown.stderr
