"""The zone people read times in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from ralex_core import zone
from ralex_core.config import Settings


@pytest.fixture(autouse=True)
def own_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test says the machine's zone is, it is undone for the next."""
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_setting_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    found, name = zone.zone_of(Settings(home=Path("/nowhere"), timezone="Europe/Berlin"))
    assert name == "Europe/Berlin"
    assert datetime(2026, 7, 1, tzinfo=found).utcoffset().total_seconds() == 7200


def test_then_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":Asia/Tokyo")
    assert zone.zone_of(Settings(home=Path("/nowhere")))[1] == "Asia/Tokyo"


def test_then_the_machines_link(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TZ", raising=False)
    (tmp_path / "zoneinfo" / "America").mkdir(parents=True)
    (tmp_path / "zoneinfo" / "America" / "New_York").write_bytes(b"")
    link = tmp_path / "localtime"
    link.symlink_to(tmp_path / "zoneinfo" / "America" / "New_York")
    assert zone.zone_of(Settings(home=Path("/nowhere")), localtime=link)[1] == "America/New_York"


def test_without_a_name_the_offset_has_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TZ", "XYZ-5:30")
    time.tzset()
    found, name = zone.zone_of(Settings(home=Path("/nowhere")), localtime=tmp_path / "none")
    assert name == "UTC+05:30"
    assert datetime(2026, 1, 1, tzinfo=found).utcoffset().total_seconds() == 19_800
