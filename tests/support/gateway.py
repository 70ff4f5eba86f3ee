"""A monitor's gateway before a provider on loopback, for tests: real server, real stores, real connections."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ralex_core.model.operation import Operation
from tests.support.dashboard import SmallHost, served, small_host
from tests.support.model_server import ModelServer, Whole, chat, model_server
from tests.support.server import Answer, ask

KEY = "sk-test-0123456789abcdefghij"
"""A provider's key, of nobody."""
PRICES = """
[[price]]
model = "test-model"
input = 2
output = 10
cache_read = 0.5
cache_write = 2.5
cache_write_1h = 4
"""
"""USD per million tokens, so that costs can be worked out by hand."""


WITHIN_S = 20.0


@dataclass
class Front:
    """The gateway `at` host:port, the provider behind it, and the host that records."""

    at: str
    provider: ModelServer
    host: SmallHost
    commits: Commits

    def url(self, upstream: str = "openai") -> str:
        return f"http://{self.at}/gateway/{upstream}"

    def post(
        self, path: str, body: Mapping[str, Any] | bytes, headers: Mapping[str, str] | None = None, method: str = "POST"
    ) -> Answer:
        """One request below `/gateway/`; a provider's key goes with it unless the headers say otherwise."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", **(headers or {})}
        connection = http.client.HTTPConnection(self.at, timeout=30)
        try:
            return ask(connection, method, f"/gateway/{path}", content, given)
        finally:
            connection.close()

    def recorded(self, answer: Answer) -> Operation:
        """The operation of an answer, once it is committed."""
        return self.commits.of(answer.headers["x-ralex-operation-id"])


class Commits:
    """What was committed, by operation id."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.operations: dict[str, Operation] = {}
        self.times: Counter[str] = Counter()

    def __call__(self, operations: Sequence[Operation]) -> None:
        with self._changed:
            for operation in operations:
                self.operations[operation.operation_id] = operation
                self.times[operation.operation_id] += 1
            self._changed.notify_all()

    def of(self, operation_id: str) -> Operation:
        self.wait_for(lambda: operation_id in self.operations, f"operation {operation_id}")
        return self.operations[operation_id]

    def the(self, number: int) -> list[Operation]:
        """All operations, once there are that many."""
        self.wait_for(lambda: len(self.operations) >= number, f"{number} operations ({len(self.operations)})")
        return list(self.operations.values())

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, WITHIN_S), f"{what} did not come about within {WITHIN_S} s"


def upstreams_at(url: str, provider: str | None = "openai") -> dict[str, str]:
    """Environment of a server whose upstreams are all one provider on loopback."""
    return {"RALEX_MONITOR_UPSTREAMS": json.dumps(_upstreams(url, provider))}


def _upstreams(url: str, provider: str | None) -> dict[str, dict[str, str | None]]:
    billed_by = {"openai": provider, "openrouter": "openrouter", "anthropic": "anthropic"}
    return {name: {"url": f"{url}/v1", "provider": bills} for name, bills in billed_by.items()}


@contextlib.contextmanager
def front(home: Path, *, provider: str | None = "openai", prices: str = PRICES, **settings: Any) -> Iterator[Front]:
    """A served gateway whose upstreams are all one provider on loopback; `provider` says who bills of `openai`."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "prices.toml").write_text(prices)
    with (
        model_server(Whole(chat())) as server,
        small_host(home, upstreams=_upstreams(server.url, provider), **settings) as host,
    ):
        commits = Commits()
        host.real.writer.on_commit(commits)
        with served(host) as at:
            yield Front(at, server, host, commits)
