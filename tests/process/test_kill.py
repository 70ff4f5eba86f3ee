"""`kill -9` at any moment loses no acknowledged operation, and sending again doubles none."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.load import Crowd, endless, native_batch, otlp_batch
from tests.support.server import READY_WITHIN_S, Server
from tests.support.stored import rollup_disagreements, stored_ids

pytestmark = pytest.mark.process

KILLS = 20
SEED = 20


def test_twenty_kills_under_load_lose_no_acknowledged_operation_and_double_none(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    server = Server(tmp_path / "home")
    now_us = time.time_ns() // 1000 - 2 * 3_600_000_000
    crowd = Crowd(
        server.port,
        [
            endless(native_batch, seed=1, size=50, started_at_us=now_us),
            endless(native_batch, seed=2, size=3, started_at_us=now_us),
            endless(otlp_batch, seed=3, size=200, started_at_us=now_us),
            endless(otlp_batch, seed=4, size=20, started_at_us=now_us),
        ],
    )
    try:
        for _ in range(KILLS):
            server.start()
            assert server.status()["operations"] >= len(crowd.acknowledged), "a restarted server forgot something"
            crowd.start()
            assert crowd.first_answer.wait(READY_WITHIN_S), server.log()
            server.wait(rng.uniform(0.0, 0.8))
            server.kill()
            crowd.stop()
        server.start()
        assert server.stop() == 0, server.log()
    finally:
        server.close()
        crowd.stop()

    assert crowd.unexpected == []
    acknowledged = Counter(crowd.acknowledged)
    assert len(acknowledged) > 20 * KILLS, "the load was too small to mean anything"
    stored = stored_ids(server.home)
    lost = acknowledged.keys() - stored.keys()
    doubled = {operation_id for operation_id, times in stored.items() if times > 1}
    invented = stored.keys() - acknowledged.keys() - crowd.unanswered()
    assert (lost, doubled, invented) == (set(), set(), set())
    assert rollup_disagreements(server.home) == []
