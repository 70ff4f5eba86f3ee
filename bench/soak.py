"""A team's day compressed into minutes, through many doors and with pages open: memory, the log, and every figure.

The simulator's operations are sent natively, over OTLP (protobuf and JSON), as a LiteLLM proxy's and, in part, twice;
calls go through the gateway to a provider on loopback. Prices are set, so that every model's cost is known beforehand.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import psutil
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bench.figure import Figure, report
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, Window
from ralex_core.simulate import Team, simulate
from tests.support.gateway import upstreams_at
from tests.support.load import Batch, litellm_call, native_row, otlp_span, otlp_spans_batch
from tests.support.model_server import Whole, chat, model_server
from tests.support.server import Server

TEAMS = 12
"""Simulated teams whose days are sent as one, as a busy company's."""
BATCH = 40
REPEATED = 0.05
"""Batches that are sent a second time, as a client does whose answer got lost."""
VIEWS = 8
WARM_UP = 0.3
"""The part of the run after which memory must not grow: by then every page was seen and every code path taken."""
LIMIT_DRIFT = 0.10
PAGES = ("/", "/operations", "/performance", "/costs", "/budgets", "/traces", "/resources", "/database", "/monitor")
UNRANGED = ("/budgets", "/monitor")
RANGES = ("live", "24h", "7d")
RATES = (Decimal("0.3"), Decimal(2), Decimal("7.5"))
GATEWAY_MODEL = "gpt-soak"
PER_MILLION = Decimal(1_000_000)


@dataclass(slots=True)
class Truth:
    """What one model must have in the end."""

    operations: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    def add(self, operation: Operation, rate: Decimal) -> None:
        self.operations += 1
        self.failed += operation.status == "error"
        self.input_tokens += operation.input_tokens or 0
        self.output_tokens += operation.output_tokens or 0
        if operation.input_tokens is not None and operation.output_tokens is not None:
            self.cost_usd += (operation.input_tokens + 4 * operation.output_tokens) * rate / PER_MILLION


@dataclass(slots=True)
class Outcome:
    """What a run showed. Memory in MB."""

    operations: int
    warm_mb: float
    end_mb: float
    peak_mb: float
    pages: int
    messages: int
    trouble: list[str]

    @property
    def drift(self) -> float:
        return self.end_mb / self.warm_mb - 1


def day(seed: int, end_us: int, teams: int) -> list[Operation]:
    """The model calls and other work of `teams` teams in the day before, in time order, with plain usage."""
    window = Window(end_us - DAY_US, end_us)
    found = [
        operation._replace(
            cache_read_tokens=None,
            cache_write_tokens=None,
            cache_write_1h_tokens=None,
            reasoning_tokens=None,
            reported_usd=None,
            billed_usd=None,
            requested_model=operation.model,
            http_status=None,
            attributes=None,
        )
        for team in range(teams)
        for operation in simulate(Team(seed + team), window)
    ]
    return sorted(found, key=lambda operation: (operation.started_at, operation.operation_id))


class Soak:
    """One run: `seconds` of sending, watching and looking."""

    def __init__(self, home: Path, seconds: float, seed: int, teams: int) -> None:
        self._rng = random.Random(seed)
        self._seconds = seconds
        self.operations = day(seed, time.time_ns() // 1000, teams)
        models = sorted({operation.model for operation in self.operations if operation.model})
        self._rates = {model: RATES[index % len(RATES)] for index, model in enumerate([*models, GATEWAY_MODEL])}
        home.mkdir(parents=True, exist_ok=True)
        (home / "prices.toml").write_text(
            "".join(
                f'[[price]]\nmodel = "{model}"\ninput = {rate}\noutput = {rate * 4}\n'
                for model, rate in self._rates.items()
            )
        )
        self._home = home
        self._done = threading.Event()
        self._trouble: list[str] = []
        self._pages = self._messages = 0
        self.truth: defaultdict[str, Truth] = defaultdict(Truth)

    def run(self) -> Outcome:
        with model_server(Whole(chat(model=GATEWAY_MODEL))) as provider:
            server = Server(self._home, extra_environment=upstreams_at(provider.url))
            try:
                server.start()
                return self._run(server)
            finally:
                self._done.set()
                server.close()

    def _run(self, server: Server) -> Outcome:
        others = [threading.Thread(target=target, args=(server,)) for target in (self._look_at_pages, self._watch_live)]
        self._call_gateway(server)
        self._wait_for_data(server)
        for thread in others:
            thread.start()
        memory = self._send_all(server)
        self._done.set()
        for thread in others:
            thread.join()
        settled = server.request("GET", "/readyz")
        if settled.status != 200:
            self._trouble.append(f"/readyz: {settled.status}")
        if server.stop() != 0:
            self._trouble.append("the server did not end cleanly")
        self._trouble += [f"log: {line}" for line in server.log().splitlines() if _is_trouble(line)]
        self._trouble += self._differences()
        warm = memory[round(len(memory) * WARM_UP) :]
        tenth = max(1, len(warm) // 10)
        return Outcome(
            operations=sum(truth.operations for truth in self.truth.values()),
            warm_mb=_mean(warm[:tenth]),
            end_mb=_mean(warm[-tenth:]),
            peak_mb=max(memory),
            pages=self._pages,
            messages=self._messages,
            trouble=self._trouble,
        )

    def _wait_for_data(self, server: Server) -> None:
        """Until then, pages lead to the page that says how to send some."""
        deadline = time.monotonic() + 20
        while not server.status()["operations"] and time.monotonic() < deadline:
            self._done.wait(0.05)

    def _send_all(self, server: Server) -> list[float]:
        """Send at an even pace; the server's memory in MB after each batch."""
        process = psutil.Process(server.pid)
        began, memory = time.monotonic(), list[float]()
        batches = [self.operations[first : first + BATCH] for first in range(0, len(self.operations), BATCH)]
        doors = itertools.cycle((native_batch_of, otlp_protobuf, otlp_json, litellm_batch))
        for number, (operations, door) in enumerate(zip(batches, doors, strict=False)):
            self._done.wait(max(0.0, began + number * self._seconds / len(batches) - time.monotonic()))
            if door is litellm_batch:  # knows nothing but calls of models, and of failed ones not which answered
                calls = [one for one in operations if one.model and one.status == "ok" and one.input_tokens]
                self._send(server, litellm_batch(calls))
                self._send(server, native_batch_of([one for one in operations if one not in calls]))
            else:
                self._send(server, door(operations))
            for operation in operations:
                self.truth[operation.model or ""].add(operation, self._rates.get(operation.model or "", Decimal(0)))
            self._call_gateway(server)
            memory.append(process.memory_info().rss / 2**20)
        return memory

    def _send(self, server: Server, batch: Batch | None) -> None:
        if batch is None:
            return
        for _ in range(2 if self._rng.random() < REPEATED else 1):
            answer = server.request("POST", batch.path, batch.body, batch.headers)
            if answer.status != 200 or b'"index"' in answer.body:
                self._trouble.append(f"{batch.path}: {answer.status} {answer.body[:200]!r}")

    def _call_gateway(self, server: Server) -> None:
        body = {"model": GATEWAY_MODEL, "messages": [{"role": "user", "content": "hello"}]}
        headers = {"Authorization": "Bearer sk-soak-0123456789abcdef", "Content-Type": "application/json"}
        answer = server.request("POST", "/gateway/openai/v1/chat/completions", json.dumps(body).encode(), headers)
        if answer.status != 200:
            self._trouble.append(f"gateway: {answer.status} {answer.body[:200]!r}")
            return
        usage, truth, rate = answer.json()["usage"], self.truth[GATEWAY_MODEL], self._rates[GATEWAY_MODEL]
        truth.operations += 1
        truth.input_tokens += usage["prompt_tokens"]
        truth.output_tokens += usage["completion_tokens"]
        truth.cost_usd += (usage["prompt_tokens"] + 4 * usage["completion_tokens"]) * rate / PER_MILLION

    def _look_at_pages(self, server: Server) -> None:
        for page, wide in itertools.cycle(itertools.product(PAGES, RANGES)):
            if self._done.wait(self._seconds / 300):
                return
            with self._noted("a page"):
                answer = server.request("GET", page if page in UNRANGED else f"{page}?range={wide}")
                self._pages += 1
                if answer.status != 200:
                    self._trouble.append(f"{page}: {answer.status}")

    def _watch_live(self, server: Server) -> None:
        with self._noted("live views"):
            asyncio.run(self._views(f"ws://127.0.0.1:{server.port}/ws/monitoring"))

    async def _views(self, url: str) -> None:
        connections = [await connect(url, max_size=None) for _ in range(VIEWS)]

        async def read(connection: connect) -> None:  # type: ignore[valid-type]
            with contextlib.suppress(ConnectionClosed):
                async for _ in connection:  # type: ignore[attr-defined]
                    self._messages += 1

        readers = [asyncio.create_task(read(connection)) for connection in connections]  # type: ignore[arg-type]
        await asyncio.to_thread(self._done.wait)
        for connection in connections:
            await connection.close()
        await asyncio.gather(*readers)

    @contextlib.contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the bench goes on, and ends with what went wrong
            self._trouble.append(f"{what}: {error!r}")

    def _differences(self) -> list[str]:
        """Models whose stored figures, or whose rolled-up ones, are not the truth."""
        found: list[str] = []
        measures = "sum(input_tokens), sum(output_tokens), sum(cost_usd)"
        failed = "count(*) filter (status = 'error')"
        with duckdb.connect(str(self._home / "telemetry.duckdb"), read_only=True) as connection:
            for table, count in (
                ("operations", f"count(*), {failed}"),
                ("rollup_model_hour", "sum(operations), sum(errors)"),
            ):
                rows = connection.execute(f"select coalesce(model, ''), {count}, {measures} from {table} group by 1")
                stored = {
                    row[0]: tuple(Decimal(value or 0).normalize() for value in row[1:]) for row in rows.fetchall()
                }
                for model in sorted(stored.keys() | self.truth.keys()):
                    true = self.truth[model]
                    wanted = (true.operations, true.failed, true.input_tokens, true.output_tokens, true.cost_usd)
                    if stored.get(model) != tuple(Decimal(value).normalize() for value in wanted):
                        found.append(f"{table}, {model or 'no model'}: {stored.get(model)}, in truth {wanted}")
        return found


def native_batch_of(operations: Sequence[Operation]) -> Batch | None:
    return _batch("/api/v1/operations", [native_row(operation) for operation in operations], operations)


def litellm_batch(operations: Sequence[Operation]) -> Batch | None:
    return _batch("/api/v1/litellm", [litellm_call(operation) for operation in operations], operations)


def otlp_protobuf(operations: Sequence[Operation]) -> Batch | None:
    return otlp_spans_batch([otlp_span(operation) for operation in operations], as_json=False)


def otlp_json(operations: Sequence[Operation]) -> Batch | None:
    return otlp_spans_batch([otlp_span(operation) for operation in operations], as_json=True)


def _batch(path: str, rows: list[dict[str, object]], operations: Sequence[Operation]) -> Batch | None:
    if not rows:
        return None
    ids = tuple(operation.operation_id for operation in operations)
    return Batch(path, {"Content-Type": "application/json"}, json.dumps(rows, default=str).encode(), ids)


def _is_trouble(line: str) -> bool:
    return line.startswith(("ERROR", "CRITICAL", "WARNING", "Traceback")) or "failed" in line


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--teams", type=int, default=TEAMS)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory:
        outcome = Soak(Path(directory) / "home", given.minutes * 60, given.seed, given.teams).run()
    figures = [
        Figure("a team's day, operations", outcome.operations, ""),
        Figure("a team's day, pages asked for, live messages", outcome.pages + outcome.messages, ""),
        Figure("a team's day, RSS after warm-up", outcome.warm_mb, "MB"),
        Figure("a team's day, RSS at the end", outcome.end_mb, "MB"),
        Figure("a team's day, peak RSS", outcome.peak_mb, "MB"),
        Figure("a team's day, RSS drift", outcome.drift * 100, "%", LIMIT_DRIFT * 100, "the limit"),
        Figure("a team's day, errors and wrong figures", len(outcome.trouble), ""),
    ]
    report(figures, given.json)
    if outcome.trouble:
        raise SystemExit("\n".join(outcome.trouble[:20]))
    if outcome.drift > LIMIT_DRIFT:
        raise SystemExit(f"Memory grew by {outcome.drift:.1%}.")
    return figures


if __name__ == "__main__":
    run()
