"""Requests that call a database, as an instrument records them: known counts, times, rows, callers and one N+1."""

from __future__ import annotations

import random

LIST = "SELECT id, title, owner_id FROM tickets WHERE project_id = ? AND state IN (?) ORDER BY created_at DESC LIMIT ?"
OWNER = "SELECT name, email FROM users WHERE id = ?"
INSERT = "INSERT INTO events (kind, payload, created_at) VALUES (?, ?, ?)"
REPORT = (
    "WITH totals AS (SELECT project_id, sum(cost) AS cost FROM usage WHERE day BETWEEN ? AND ? GROUP BY project_id) "
    "SELECT p.name, t.cost FROM totals t JOIN projects p ON p.id = t.project_id ORDER BY t.cost DESC…3f9a1c20"
)
OWNERS_PER_LIST = 14
"""Every tenth list looks its owners up one by one."""


def call(
    identifier: str,
    statement: str,
    started_at: int,
    duration_ms: float,
    *,
    parent: tuple[str, str] | None = None,
    rows: int | None = None,
    error: bool = False,
    sample: str | None = None,
) -> dict[str, object]:
    """One database operation in the agreed convention."""
    attributes: dict[str, object] = {
        "db.system.name": "sqlite",
        "db.namespace": "app.db",
        "db.operation.name": statement.split()[0],
        "db.query.hash": f"{len(statement):016x}",
    }
    if rows is not None:
        attributes["db.response.returned_rows"] = rows
    if sample is not None:
        attributes["db.query.sample"] = sample
    found: dict[str, object] = {
        "operation_id": identifier,
        "kind": "db",
        "name": statement,
        "started_at": started_at,
        "duration_ms": duration_ms,
        "span_id": f"s-{identifier}",
        "attributes": attributes,
    }
    if error:
        found |= {"status": "error", "error_type": "OperationalError"}
    if parent is not None:
        found |= {"trace_id": parent[0], "parent_span_id": parent[1]}
    return found


def requests(count: int, now_us: int, span_us: int) -> list[dict[str, object]]:
    """`count` requests in the `span_us` before `now_us`: a list of tickets, an event and, in every tenth, an N+1."""
    rng = random.Random(3)
    found: list[dict[str, object]] = []
    for number in range(count):
        start = now_us - span_us + number * span_us // count
        trace, span = f"trace-{number}", f"root-{number}"
        found.append(
            {
                "operation_id": f"request-{number}",
                "kind": "api",
                "name": "GET /tickets",
                "started_at": start,
                "duration_ms": 60.0,
                "trace_id": trace,
                "span_id": span,
                "http_status": 200,
            }
        )
        slow = number % 50 == 7
        took = 180.0 + number % 40 if slow else round(rng.lognormvariate(1.4, 0.4), 3)
        sample = LIST.replace("?", "42", 1) if slow else None
        found.append(call(f"list-{number}", LIST, start + 1000, took, parent=(trace, span), rows=20, sample=sample))
        took = round(rng.lognormvariate(-0.5, 0.3), 3)
        found.append(call(f"event-{number}", INSERT, start + 9000, took, parent=(trace, span), error=number % 25 == 3))
        for owner in range(OWNERS_PER_LIST if number % 10 == 0 else 0):
            took = round(rng.lognormvariate(-1.2, 0.2), 3)
            begun = start + 10_000 + owner * 1000
            found.append(call(f"owner-{number}-{owner}", OWNER, begun, took, parent=(trace, span), rows=1))
        if number % 100 == 0:
            found.append(call(f"report-{number}", REPORT, start + 30_000, 900.0 + number, rows=120))
    return found
