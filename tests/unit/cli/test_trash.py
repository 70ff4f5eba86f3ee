"""`ralex-monitor trash`: what retention removed is listed, and stored again when the settings keep it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ralex_core.clock import ManualClock
from ralex_core.config import Settings
from ralex_core.errors import ConfigError
from ralex_core.model.window import DAY_US, HOUR_US
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.trash import Trash
from ralex_core.storage.trash_restore import take_back
from tests.support.command_line import CommandLine
from tests.support.operations import T0, make_operation
from tests.support.resources import make_sample

NOW = T0 + 40 * DAY_US


def removed(home: Path, clock: ManualClock) -> list[str]:
    """A store that held an operation a day for 30 days and removed all but the last ten in two goes; their names."""
    home.mkdir()
    store = DuckDBStore(home / "telemetry.duckdb", clock=clock, retention_days=10)
    store.write([make_operation(f"op-{day}", started_at=T0 + day * DAY_US + HOUR_US) for day in range(30)])
    store.write_resources([make_sample(T0 - DAY_US)])
    for days in (16, 5):
        clock.advance(days * DAY_US / 1e6)
        store.apply_retention(clock.now_us())
    assert store.query("select count(*) from operations") == [(10,)]
    store.close()
    return [one.name for one in Trash(home).removals()]


def totals(store: DuckDBStore) -> list[tuple[object, ...]]:
    return store.query("select bucket, operations, cost_usd from rollup_client_hour order by bucket")


def test_what_was_removed_is_listed(command: CommandLine) -> None:
    assert "is empty" in command("trash", "list").stdout
    assert command("trash", "list", "--json").json() == {"trash": []}
    names = removed(command.home, ManualClock(T0 + 10 * DAY_US))
    listed = command("trash", "list", "--json").json()["trash"]
    assert [one["name"] for one in listed] == names
    assert "operations" in listed[0]["note"]
    assert names[1] in command("trash", "list").stdout


def test_a_removal_and_those_after_it_are_stored_again_and_totals_stay(command: CommandLine) -> None:
    names = removed(command.home, ManualClock(T0 + 10 * DAY_US))
    store = DuckDBStore(command.home / "telemetry.duckdb", clock=ManualClock(NOW))
    before = totals(store)
    store.close()
    taken = command("trash", "restore", names[0], "--json").json()
    assert taken == {"restored": names, "operations": 20}
    store = DuckDBStore(command.home / "telemetry.duckdb", clock=ManualClock(NOW))
    try:
        assert store.query("select count(*), count(distinct operation_id) from operations") == [(30, 30)]
        assert totals(store) == before
        assert store.query("select sampled_at from resource_samples") == [(T0 - DAY_US,)]
        assert store.write([make_operation("also", started_at=T0 + 3 * DAY_US)]).inserted == 1
    finally:
        store.close()
    assert command("trash", "list", "--json").json() == {"trash": []}


def test_the_later_removal_alone_can_be_stored_again(command: CommandLine) -> None:
    names = removed(command.home, ManualClock(T0 + 10 * DAY_US))
    assert command("trash", "restore", names[1], "--json").json()["operations"] < 20
    assert [one["name"] for one in command("trash", "list", "--json").json()["trash"]] == names[:1]


def test_what_is_stored_already_is_not_stored_twice(command: CommandLine) -> None:
    """A kill between the commit and the end leaves a removal that has been stored again."""
    names = removed(command.home, ManualClock(T0 + 10 * DAY_US))
    store = DuckDBStore(command.home / "telemetry.duckdb", clock=ManualClock(NOW))
    assert store.take_back(Trash(command.home).removals()) == 20
    store.close()
    assert command("trash", "restore", names[0], "--json").json()["operations"] == 0


def test_what_the_settings_do_not_keep_is_refused(tmp_path: Path) -> None:
    clock = ManualClock(T0 + 10 * DAY_US)
    names = removed(tmp_path / "home", clock)
    settings = Settings(home=tmp_path / "home", retention_days=10)
    with pytest.raises(ConfigError, match="Raise retention_days"):
        take_back(settings, names[0], clock)
    assert len(Trash(tmp_path / "home").removals()) == 2


def test_a_name_that_is_none_and_a_damaged_file_are_refused(command: CommandLine) -> None:
    assert "There is no nothing" in command("trash", "restore", "nothing").sentence
    kept = Trash(command.home).put("damaged-log", "A log.", lambda directory: None, now_us=T0)
    assert "damaged files" in command("trash", "restore", kept.name).sentence
    assert "There is no ../home" in command("trash", "restore", "../home").sentence
