"""Starting and ending: how the server behaves towards whoever runs it."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.support.load import Crowd, endless, native_batch, otlp_batch
from tests.support.server import READY_WITHIN_S, STOP_WITHIN_S, Server, running
from tests.support.stored import stored_ids

pytestmark = pytest.mark.process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly_under_load(tmp_path: Path, number: signal.Signals) -> None:
    started_at = time.time_ns() // 1000
    with running(tmp_path / "home") as server:
        crowd = Crowd(
            server.port,
            [endless(native_batch, 1, 20, started_at), endless(otlp_batch, 2, 50, started_at)],
        )
        crowd.start()
        assert crowd.first_answer.wait(READY_WITHIN_S), server.log()
        server.send_signal(number)
        code = server.wait(STOP_WITHIN_S)
        crowd.stop()
        assert code == 0, server.log()
        assert "Traceback" not in server.log(), server.log()
    assert set(crowd.acknowledged) <= stored_ids(server.home).keys()
    assert not (server.home / "telemetry.duckdb.wal").exists(), "a clean end leaves one file"


def test_a_restarted_server_knows_what_the_one_before_it_stored(tmp_path: Path) -> None:
    batch = native_batch(random.Random(1), 25, time.time_ns() // 1000)
    server = Server(tmp_path / "home")
    try:
        server.start()
        assert server.request("POST", batch.path, batch.body, batch.headers).json()["data"]["accepted"] == 25
        before = server.status()
        assert server.stop() == 0, server.log()
        server.start()
        assert server.status() == before
        again = server.request("POST", batch.path, batch.body, batch.headers).json()["data"]
        assert again["duplicates"] == 25
        assert server.status() == before
    finally:
        server.close()
