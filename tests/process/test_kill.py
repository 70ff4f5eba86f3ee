"""`kill -9` at any moment, the disk full or not, loses no acknowledged operation, and sending again doubles none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.kill import kills

pytestmark = pytest.mark.process

KILLS = 10
SEED = 20


def test_ten_kills_under_load_lose_no_acknowledged_operation_and_double_none(tmp_path: Path) -> None:
    outcome = kills(tmp_path, KILLS, SEED, longest_s=0.8)

    assert outcome.unexpected == []
    assert outcome.acknowledged > 20 * KILLS, "the load was too small to mean anything"
    assert (outcome.lost, outcome.doubled, outcome.invented) == (set(), set(), set())
    assert outcome.rollups == []
