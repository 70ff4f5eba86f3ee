"""The application `bench.instruments` puts under load: `python -m bench.instrumented_app VARIANT DATABASE`.

An endpoint as the FastAPI tutorial would have it: a plain function, validated parameters, a response model, one query
for the user and one for the latest tasks, on a connection per thread.
"""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

USERS, TASKS_EACH = 100, 200


class Task(BaseModel):
    id: int
    title: str
    state: str
    estimate: float
    created_at: str


class UserTasks(BaseModel):
    id: int
    name: str
    tasks: list[Task]


def fill(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("pragma journal_mode = wal")
        db.execute("create table users (id integer primary key, name text, email text)")
        db.execute(
            "create table tasks (id integer primary key, user_id integer, title text, state text, "
            "estimate real, created_at text)"
        )
        db.execute("create index tasks_by_user on tasks (user_id, created_at)")
        db.executemany(
            "insert into users values (?, ?, ?)", [(n, f"User {n}", f"user{n}@example.org") for n in range(USERS)]
        )
        db.executemany(
            "insert into tasks (user_id, title, state, estimate, created_at) values (?, ?, ?, ?, ?)",
            [
                (n % USERS, f"Task number {n}", ("open", "done")[n % 2], n % 7 / 2, f"2026-11-{n % 28 + 1:02}T12:00:00")
                for n in range(USERS * TASKS_EACH)
            ],
        )


def build(path: Path) -> FastAPI:
    app = FastAPI()
    local = threading.local()

    def connection() -> sqlite3.Connection:
        if getattr(local, "turn", None) != app.state.turn:
            local.connection, local.turn = sqlite3.connect(path), app.state.turn
        return local.connection

    @app.get("/users/{user_id}/tasks")
    def user_tasks(user_id: int, limit: int = 20) -> UserTasks:
        db = connection()
        user = db.execute("select id, name from users where id = ?", (user_id,)).fetchone()
        if user is None:
            raise HTTPException(404)
        rows = db.execute(
            "select id, title, state, estimate, created_at from tasks where user_id = ? "
            "order by created_at desc limit ?",
            (user_id, limit),
        ).fetchall()
        tasks = [Task(id=row[0], title=row[1], state=row[2], estimate=row[3], created_at=row[4]) for row in rows]
        return UserTasks(id=user[0], name=user[1], tasks=tasks)

    app.state.turn = 0
    """Grows when instruments are switched: connections are made anew then."""

    @app.get("/used")
    def used() -> dict[str, int]:
        return {"cpu_ns": time.process_time_ns()}

    return app


def instruments(app: FastAPI) -> Any:
    from ralex_core.monitoring import flush, instrument, stats

    @app.get("/switch/{on}")
    def switch(on: bool) -> None:
        if on:
            instrument.all()
        else:
            instrument.off()
        app.state.turn += 1

    def delivered() -> dict[str, Any]:
        flush(60)
        return stats()._asdict()

    return delivered


def opentelemetry(app: FastAPI) -> Any:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exported = 0

    class Counting(OTLPSpanExporter):
        def export(self, spans: Any) -> Any:
            nonlocal exported
            exported += len(spans)
            return super().export(spans)

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Counting()))
    trace.set_tracer_provider(provider)
    SQLite3Instrumentor().instrument()
    FastAPIInstrumentor.instrument_app(app)

    def delivered() -> dict[str, Any]:
        provider.force_flush(60_000)
        return {"delivered": exported}

    return delivered


def main() -> None:
    variant, path = sys.argv[1], Path(sys.argv[2])
    fill(path)
    app = build(path)
    switched_on = {"instruments": instruments, "opentelemetry": opentelemetry}.get(variant)
    delivered = switched_on(app) if switched_on else dict
    app.get("/delivered")(lambda: delivered())
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False)
    server = uvicorn.Server(config)

    async def serve() -> None:
        # Its protocol named: asyncio turns delays off (TCP_NODELAY) only for what it knows to be TCP.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        print(sock.getsockname()[1], flush=True)
        await server.serve([sock])

    asyncio.run(serve())


if __name__ == "__main__":
    main()
