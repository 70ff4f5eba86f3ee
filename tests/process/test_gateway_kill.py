"""`kill -9` under the gateway's load loses no answered call, and records none twice."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
from pathlib import Path

import pytest

from tests.support.gateway import KEY, PRICES, upstreams_at
from tests.support.model_server import Streamed, Whole, chat, chunk, model_server, usage_chunk
from tests.support.server import HOST, READY_WITHIN_S, STOP_WITHIN_S, Server
from tests.support.stored import rollup_disagreements, stored_ids

pytestmark = pytest.mark.process

KILLS = 6
CALLERS = 4
SEED = 15


class Callers:
    """Threads that make one call after the other, and keep the ids of those answered to the last byte."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.answered: list[str] = []
        self.statuses: set[int] = set()
        self.first_answer = threading.Event()

    def start(self) -> None:
        self._stop.clear()
        self.first_answer.clear()
        self._threads = [threading.Thread(target=self._call_on) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call_on(self) -> None:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=STOP_WITHIN_S)
        body = json.dumps({"model": "test-model", "messages": [{"role": "user", "content": "x"}], "max_tokens": 5})
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        with contextlib.suppress(OSError, http.client.HTTPException):
            while not self._stop.is_set():
                connection.request("POST", "/gateway/openai/v1/chat/completions", body, headers)
                response = connection.getresponse()
                response.read()
                self.answered.append(response.headers["x-ralex-operation-id"])
                self.statuses.add(response.status)
                self.first_answer.set()
        connection.close()


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_kills_under_load_lose_no_answered_call_and_record_none_twice(tmp_path: Path, *, streamed: bool) -> None:
    rng = random.Random(SEED)
    home = tmp_path / "home"
    home.mkdir()
    (home / "prices.toml").write_text(PRICES)
    reply = Streamed([chunk({"content": "x"}), chunk({}, "stop"), usage_chunk()]) if streamed else Whole(chat())
    with model_server(reply) as provider:
        server = Server(home, extra_environment=upstreams_at(provider.url))
        callers = Callers(server.port)
        try:
            for _ in range(KILLS):
                server.start()
                callers.start()
                assert callers.first_answer.wait(READY_WITHIN_S), server.log()
                server.wait(rng.uniform(0.0, 0.6))
                server.kill()
                callers.stop()
            server.start()
            assert server.stop() == 0, server.log()
        finally:
            server.close()
            callers.stop()
    stored = stored_ids(home)
    assert callers.statuses == {200}
    assert len(callers.answered) > 5 * KILLS, "the load was too small to mean anything"
    assert set(callers.answered) - stored.keys() == set()
    assert {operation_id for operation_id, times in stored.items() if times > 1} == set()
    assert rollup_disagreements(home) == []
    assert list((home / "spool").rglob("*-*/*.ndjson")) == []
