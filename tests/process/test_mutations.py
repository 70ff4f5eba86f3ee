"""Damaged requests and log files of every source are answered, refused or reported, and never stop the monitor."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.mutate import Case, attack

pytestmark = pytest.mark.process

EACH = 60
SEED = 13


def test_no_damaged_input_gets_a_5xx_raises_or_hangs(tmp_path: Path) -> None:
    cases: list[Case] = []
    attack(tmp_path, SEED, EACH, cases.append)
    assert [case for case in cases if case.bad] == []
    sources = {case.source for case in cases}
    assert len(cases) == EACH * len(sources)
    assert len(sources) >= 17
    taken = {"200", "201", "taken"}
    assert any(case.outcome in taken for case in cases), "everything was refused: nothing was reached"
