"""A seeded store of any size: months of a team's work, written straight into DuckDB in the store's own schema.

The work has the shape that makes rollups honest: sessions of one user, project and client, a few models that
take most of the calls, a daily rhythm, retries and failures. The same arguments give the same operations.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ralex_core.model.window import DAY_US
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.schema import COLUMN_TYPES, DERIVED_COLUMNS, GRAINS_US, MONEY

SPAN_DAYS = 90
_CHUNK = 500_000
_CONCURRENT_SESSIONS = 6
_OPERATIONS_PER_SESSION = 120

# provider, model, tier, USD per million input and output tokens; the earlier, the more often used.
_MODELS = (
    ("anthropic", "claude-sonnet-4-5", "standard", 3.0, 15.0),
    ("google", "gemini-2.5-flash", "cheap", 0.3, 2.5),
    ("openai", "gpt-5-mini", "cheap", 0.25, 2.0),
    ("anthropic", "claude-haiku-4-5", "standard", 1.0, 5.0),
    ("deepseek", "deepseek-chat", "cheap", 0.28, 0.42),
    ("openai", "gpt-5", "standard", 1.25, 10.0),
    ("anthropic", "claude-opus-4-5", "premium", 5.0, 25.0),
    ("mistral", "devstral-medium", "cheap", 0.4, 2.0),
    ("qwen", "qwen3-coder", "cheap", 0.22, 0.95),
    ("google", "gemini-2.5-pro", "standard", 1.25, 10.0),
)
_TOOLS = ("read_file", "edit_file", "run_tests", "grep", "shell", "list_files", "web_fetch", "apply_patch")
_PROJECTS = ("checkout", "mobile-app", "billing", "docs", "infra", "search", "etl", "playground")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A filled store and the time its last operation is near."""

    home: Path
    operations: int
    end_us: int


def operation_id(number: int, seed: int = 7) -> str:
    """The id of the operation with this number in time order."""
    return hashlib.md5(f"{seed}-{number}".encode(), usedforsecurity=False).hexdigest()


def trace_id(number: int, seed: int = 7) -> str:
    """The id of the trace that operation belongs to."""
    session = number // (_OPERATIONS_PER_SESSION * _CONCURRENT_SESSIONS) * _CONCURRENT_SESSIONS
    session += number % _CONCURRENT_SESSIONS
    return hashlib.md5(f"{seed}-trace-{session}-{number // 90}".encode(), usedforsecurity=False).hexdigest()


def build(home: Path, operations: int, *, end_us: int, seed: int = 7) -> Dataset:
    """Fill a new store under `home` with operations of the 90 days before `end_us`, rollups included."""
    path = home / "telemetry.duckdb"
    home.mkdir(parents=True, exist_ok=True)
    DuckDBStore(path).close()
    with duckdb.connect(str(path)) as connection:
        _create_catalogue(connection)
        for first in range(0, operations, _CHUNK):
            connection.execute(
                _insert_statement(),
                {"first": first, "last": min(first + _CHUNK, operations), "n": operations, "end": end_us, "seed": seed},
            )
        minute_floor = int(connection.execute("select value from meta where key = 'minute_floor'").fetchall()[0][0])
        for grain, since in (("minute", minute_floor), ("hour", 0)):
            connection.execute(
                f"insert into dirty select distinct '{grain}', started_at // {GRAINS_US[grain]} * {GRAINS_US[grain]} "
                "from operations where started_at >= $since",
                {"since": since},
            )
        connection.execute("drop table bench_model; drop table bench_tool; drop table bench_project")
    store = DuckDBStore(path)
    store.refresh_rollups()
    store.close()
    return Dataset(home, operations, end_us)


def _create_catalogue(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "create table bench_model "
        "(number BIGINT, provider VARCHAR, model VARCHAR, tier VARCHAR, usd_in DOUBLE, usd_out DOUBLE)"
    )
    connection.executemany(
        "insert into bench_model values (?, ?, ?, ?, ?, ?)", [(i, *row) for i, row in enumerate(_MODELS)]
    )
    for table, names in (("bench_tool", _TOOLS), ("bench_project", _PROJECTS)):
        connection.execute(f"create table {table} (number BIGINT, name VARCHAR)")
        connection.executemany(f"insert into {table} values (?, ?)", list(enumerate(names)))


def _u(key: str, salt: int) -> str:
    """A uniform number in (0, 1) that depends on an expression, the seed and a salt."""
    return f"((hash({key} * 64 + {salt} + $seed * 1000003) % 1000003 + 1) / 1000005.0)"


def _lognormal(key: str, salt: int, mu: float, sigma: float) -> str:
    normal = f"sqrt(-2 * ln({_u(key, salt)})) * cos(2 * pi() * {_u(key, salt + 1)})"
    return f"exp({mu} + {sigma} * {normal})"


def _insert_statement() -> str:
    llm_ms, other_ms = _lognormal("i", 10, 7.6, 0.7), _lognormal("i", 12, 5.0, 1.0)
    u = _u("i", 17)
    columns = {
        "operation_id": "md5(concat($seed, '-', i))",
        "kind": "kind",
        "name": "case kind when 'llm' then 'chat ' || m.model when 'tool' then 'run ' || t.name else 'task' end",
        "started_at": "started_at",
        "duration_ms": f"case kind when 'llm' then {llm_ms} else {other_ms} end",
        "status": f"case when {_u('i', 14)} < 0.02 then 'error' else 'ok' end",
        "attempt": "1",
        "trace_id": "md5(concat($seed, '-trace-', session, '-', i // 90))",
        "span_id": "left(md5(concat($seed, '-', i)), 16)",
        "service": "'ralex'",
        "project": "p.name",
        "client": f"case when {_u('session', 3)} < 0.7 then 'terminal' else 'web' end",
        "user_id": "concat('user-', user_number)",
        "session_id": "concat('session-', session)",
        "provider": "m.provider",
        "requested_model": "m.model",
        "model": "m.model",
        "tier": "m.tier",
        "input_tokens": "tokens_in",
        "cache_read_tokens": "tokens_in * 2 // 3",
        "output_tokens": "tokens_out",
        "computed_usd": f"computed::{MONEY}",
        "reported_usd": f"case when {_u('i', 15)} < 0.6 then (computed * {_u('i', 16)} * 2)::{MONEY} end",
        "cost_usd": f"computed::{MONEY}",
        "cost_basis": "case when kind = 'llm' then 'computed' end",
        "baseline_usd": f"case when kind = 'llm' then ((tokens_in * 5 + tokens_out * 25) / 1e6)::{MONEY} end",
        "outcome": f"case when {u} < 0.06 then 'rejected' when {u} < 0.6 then 'accepted' else 'unknown' end",
        "door": "'otlp'",
        "revision": "0",
    }
    names = ", ".join([*columns, *DERIVED_COLUMNS])
    values = ", ".join(f"({value})::{COLUMN_TYPES[name]} as {name}" for name, value in columns.items())
    days = SPAN_DAYS
    return f"""
        insert into operations ({names})
        with numbered as (
            select
                i,
                i // {_OPERATIONS_PER_SESSION * _CONCURRENT_SESSIONS} * {_CONCURRENT_SESSIONS}
                    + i % {_CONCURRENT_SESSIONS} as session,
                i / $n::DOUBLE * {days} as day,
                {_u("i", 1)} as of_kind
            from range($first, $last) as numbers(i)
        ),
        timed as (
            select
                i,
                session,
                ($end - {days * DAY_US} + (day - 0.14 * sin(2 * pi() * day)) * {DAY_US})::BIGINT as started_at,
                case when of_kind < 0.6 then 'llm' when of_kind < 0.96 then 'tool' else 'task' end as kind,
                floor(power({_u("session", 2)}, 2) * 40)::BIGINT as user_number,
                case when of_kind < 0.6 then (50 + {_lognormal("i", 4, 8.6, 1.1)})::BIGINT end as tokens_in,
                case when of_kind < 0.6 then (5 + {_lognormal("i", 6, 5.6, 0.9)})::BIGINT end as tokens_out,
                floor(power({_u("i", 8)}, 2.5) * {len(_MODELS)})::BIGINT as model_number,
                floor({_u("i", 9)} * {len(_TOOLS)})::BIGINT as tool_number
            from numbered
        ),
        priced as (
            select timed.*, (tokens_in * m.usd_in * 0.4 + tokens_out * m.usd_out) / 1e6 as computed
            from timed
            left join bench_model as m on m.number = model_number and kind = 'llm'
        ),
        named as (
            select {values}, priced.i as position
            from priced
            left join bench_model as m on m.number = model_number and kind = 'llm'
            left join bench_tool as t on t.number = tool_number
            left join bench_project as p on p.number = user_number % {len(_PROJECTS)}
        )
        select {", ".join(columns)}, {", ".join(expression for _, expression in DERIVED_COLUMNS.values())}
        from named
        order by position
    """


def main() -> None:
    """Build a store to look at by hand: `python -m bench.dataset DIRECTORY --operations 1000000`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    began = time.perf_counter()
    build(given.home, given.operations, end_us=time.time_ns() // 1000, seed=given.seed)
    print(f"{given.operations:,} operations in {time.perf_counter() - began:.1f} s under {given.home}")


if __name__ == "__main__":
    main()
