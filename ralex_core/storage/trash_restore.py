"""What retention removed, stored again from `trash/` while no server runs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from ralex_core.clock import Clock, SystemClock
from ralex_core.config import Settings
from ralex_core.errors import ConfigError
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.retention import KIND
from ralex_core.storage.trash import Removal, Trash


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What was stored again."""

    names: list[str]
    operations: int


def take_back(settings: Settings, name: str, clock: Clock | None = None) -> TakenBack:
    """Store the removal of this name again, and what retention removed after it; they leave the trash.

    Raises:
        ConfigError: there is no such removal, it is a damaged file, or the settings do not keep what it holds.
        StoreLocked: a server owns the store.
        StoreError: the store cannot be written; the trash stays as it is.
    """
    trash = Trash(settings.home)
    found = {one.name: one for one in trash.removals()}
    if name not in found:
        raise ConfigError(f"There is no {name} in {trash.directory}. `ralex-monitor trash list` names what there is.")
    if found[name].kind != KIND:
        raise ConfigError(
            f"{found[name].path} holds copies of damaged files, which cannot be stored again. "
            "Copy the directory elsewhere to keep it longer than a week."
        )
    first_us = _horizon_us(found[name])
    wanted = [one for one in found.values() if one.kind == KIND and _horizon_us(one) >= first_us]
    store = DuckDBStore(
        settings.telemetry_path,
        clock=clock or SystemClock(),
        minute_rollup_days=settings.minute_rollup_days,
        retention_days=settings.retention_days,
    )
    try:
        operations = store.take_back(wanted)
    finally:
        store.close()
    for one in wanted:
        shutil.rmtree(one.path, ignore_errors=True)
    return TakenBack([one.name for one in wanted], operations)


def _horizon_us(removal: Removal) -> int:
    """Operations that started before this were removed; 0: none were."""
    return int(removal.details.get("horizon_us") or 0)
