"""A simulated team's day, sent in seconds with pages open, leaves exactly the simulator's figures and a clean log."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.soak import Soak

pytestmark = pytest.mark.process


def test_a_team_s_day_through_many_doors_comes_out_as_the_simulator_made_it(tmp_path: Path) -> None:
    soak = Soak(tmp_path / "home", seconds=12, seed=11, teams=1)
    outcome = soak.run()

    assert outcome.trouble == []
    assert outcome.operations > len(soak.operations) > 500, "the load was too small to mean anything"
    assert outcome.pages > 20
    assert outcome.messages > 20
