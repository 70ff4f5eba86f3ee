"""What `ralex-monitor doctor` looks at: each check says what it found, and what to do where something is not right."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Literal

from ralex_core import __version__
from ralex_core.cli.remote import RunningServer
from ralex_core.clock import Clock
from ralex_core.collection.accelerator import compiled
from ralex_core.config import Settings
from ralex_core.errors import RalexError, StoreLocked
from ralex_core.storage.telemetry import RetentionState
from ralex_core.storage.trash import Trash

_RESTORE = "Restore a backup: ralex-monitor restore FILE --force"
Verdict = Literal["ok", "warn", "fail"]

RELEASED = date(2026, 11, 1)
"""No clock of a machine that runs this version can be before it."""
LOW_DISK_BYTES = 1 << 30
NO_DISK_BYTES = 100 << 20
OLD_PRICES = timedelta(days=120)
"""Providers change prices every few weeks; a list this old is likely wrong for something new."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `advice` says what to do; None when there is nothing to do."""

    name: str
    verdict: Verdict
    found: str
    advice: str | None = None


def run_checks(settings: Settings, server: RunningServer | None, clock: Clock) -> Iterator[Check]:
    """Every check in turn, as each is done. `server` is the one that owns the data directory, if one runs."""
    checks: list[tuple[str, Callable[[], Check | list[Check]]]] = [
        ("version", _version),
        ("data directory", lambda: _home(settings.home)),
        ("disk", lambda: _disk(settings.home)),
        ("server", lambda: _server(settings, server)),
        ("health", lambda: [] if server is None else _health(server)),
        ("not stored", lambda: [] if server is None else [_losses(server)]),
        ("telemetry store", lambda: _telemetry(settings, server, clock)),
        ("state store", lambda: _state(settings)),
        ("trash", lambda: _trash(settings)),
        ("price list", lambda: _prices(settings, clock)),
        ("clock", lambda: _clock(settings, clock)),
        ("assistants' logs", _logs),
        ("privacy", lambda: _privacy(settings)),
    ]
    for name, check in checks:
        try:
            found = check()
        except RalexError as error:
            found = Check(name, "fail", str(error))
        yield from found if isinstance(found, list) else [found]


def _version() -> Check:
    python = ".".join(map(str, sys.version_info[:3]))
    instruments = "instruments compiled" if compiled is not None else "instruments in Python"
    return Check("version", "ok", f"ralex-monitor {__version__} on Python {python}, {instruments}")


def _home(home: Path) -> Check:
    there = _nearest(home)
    try:
        with tempfile.TemporaryFile(dir=there, prefix=".doctor-"):
            pass
    except OSError as error:
        advice = "Make it writable, or set RALEX_MONITOR_HOME to a directory that is."
        return Check("data directory", "fail", f"{there} cannot be written: {error.strerror}", advice)
    return Check("data directory", "ok", str(home) if there == home else f"{home} (made on first use)")


def _disk(home: Path) -> Check:
    free = shutil.disk_usage(_nearest(home)).free
    found = f"{free / 1e9:,.1f} GB free"
    if free < NO_DISK_BYTES:
        return Check("disk", "fail", found, "Free some room: the next commits will be refused.")
    if free < LOW_DISK_BYTES:
        return Check("disk", "warn", found, "Free some room, or set retention_days.")
    return Check("disk", "ok", found)


def _server(settings: Settings, server: RunningServer | None) -> Check:
    if server is not None:
        return Check("server", "ok", f"running at {server.url}")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            found = f"not running, and port {settings.port} on {settings.host} cannot be used: {error.strerror}"
            return Check("server", "warn", found, "Start it with another: ralex-monitor serve --port 8001")
    return Check("server", "ok", f"not running; port {settings.port} on {settings.host} is free")


def _health(server: RunningServer) -> list[Check]:
    """One finding for each reason why the server cannot take data."""
    reasons = server.health()
    if not reasons:
        return [Check("health", "ok", "the server takes data")]
    return [
        Check("health", "fail", f"{reason['sentence']} Since {reason['since_at']}.", reason["advice"])
        for reason in reasons
    ]


def _losses(server: RunningServer) -> Check:
    """What was not taken or not done since the server started."""
    counted = [loss for loss in server.get("/api/v1/monitor")["losses"] if loss["count"]]
    if not counted:
        return Check("not stored", "ok", "nothing was refused, rejected or lost since the server started")
    found = "; ".join(f"{loss['title']}: {loss['count']:,}" for loss in counted)
    return Check("not stored", "warn", found, "Senders were told why; so says the page This monitor, with the log.")


def _telemetry(settings: Settings, server: RunningServer | None, clock: Clock) -> list[Check]:
    from ralex_core.storage.duckdb_store import DuckDBStore
    from ralex_core.storage.schema import SCHEMA_VERSION

    path = settings.telemetry_path
    if server is not None:
        count = server.get("/api/v1/status")["operations"]
        held = Check("telemetry store", "ok", f"{count:,} operations, held by the running server")
        return [held, *_retention_of(server)]
    if not path.exists() and not list(path.parent.glob(f"{path.name}.wal*")):
        return [Check("telemetry store", "ok", "none yet; made on first use")]
    try:
        store = DuckDBStore(path, clock=clock, retention_days=settings.retention_days)
    except StoreLocked as error:
        advice = "End that process, or use another RALEX_MONITOR_HOME."
        return [Check("telemetry store", "fail", str(error), advice)]
    except RalexError as error:
        return [Check("telemetry store", "fail", str(error), _RESTORE)]
    try:
        # Hashing whole rows reads every block, and DuckDB verifies the checksum of each block it reads.
        count = store.query("select count(*), bit_xor(hash(operations)) from operations")[0][0]
        retention = _retention(settings, store.retention_state())
    except RalexError as error:
        return [Check("telemetry store", "fail", str(error), _RESTORE)]
    finally:
        store.close()
    size = path.stat().st_size / 1e6
    found = f"{count:,} operations, {size:,.1f} MB, schema {SCHEMA_VERSION}, readable"
    return [Check("telemetry store", "ok", found), retention]


def _retention(settings: Settings, state: RetentionState) -> Check:
    if state.doubt is not None:
        return Check("retention", "warn", state.doubt)
    if settings.retention_days is None:
        kept = "operations are kept for ever" if not state.floor_us else "nothing is deleted"
    else:
        believed = _day(state.believed_us)
        kept = f"{settings.retention_days} days, by what the clock said 24 hours of running ago ({believed})"
    floor = f"; operations that started before {_day(state.floor_us)} are not taken" if state.floor_us else ""
    return Check("retention", "ok", kept + floor)


def _retention_of(server: RunningServer) -> list[Check]:
    """What the running server says of its clock, and of operations that came too late to be kept."""
    view = server.get("/api/v1/monitor")
    found = {check["key"]: check for check in view["checks"]}
    wrong = [found[key]["sentence"] for key in ("clock", "kept", "log") if found[key]["status"] != "ok"]
    late = next(loss["count"] for loss in view["losses"] if loss["key"] == "operations_expired_total")
    if late:
        wrong.append(f"{late:,} operations were not stored since the start: older than what is kept.")
    if wrong:
        return [Check("retention", "warn", " ".join(wrong))]
    return [Check("retention", "ok", "the clock is steady; nothing that came in was too old to be kept")]


def _trash(settings: Settings) -> list[Check]:
    """Nothing at all when nothing was removed lately."""
    trash = Trash(settings.home)
    removals = trash.removals()
    if not removals:
        return []
    size = sum(one.bytes for one in removals) / 1e6
    found = f"{len(removals)} removals of the last week, {size:,.1f} MB, in {trash.directory}"
    damaged = [one.note for one in removals if one.kind == "damaged-log"]
    if damaged:
        advice = "Copy that directory elsewhere to keep it longer than a week."
        return [Check("trash", "warn", f"{found}. {damaged[-1]}", advice)]
    return [Check("trash", "ok", f"{found}; `ralex-monitor trash list` names them")]


def _day(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).date().isoformat()


def _state(settings: Settings) -> Check:
    from ralex_core.storage.state import StateStore

    if not settings.state_path.exists():
        return Check("state store", "ok", "none yet; made on first use")
    state = StateStore(settings.state_path)
    try:
        followed = len(state.cursors())
    finally:
        state.close()
    return Check("state store", "ok", f"readable; {followed} imported logs")


def _prices(settings: Settings, clock: Clock) -> Check:
    from ralex_core.pricing.book import PriceBook

    PriceBook(settings)  # reads the overrides file, and says what is wrong with it
    own = f", with {settings.overrides_path}" if settings.overrides_path.exists() else ""
    today = datetime.fromtimestamp(clock.now_us() / 1e6, UTC).date()
    changed = newest_price_change(today)
    found = f"genai-prices {metadata.version('genai-prices')}; latest change it knows: {changed or 'not known'}{own}"
    if changed is not None and today - changed > OLD_PRICES:
        return Check("price list", "warn", found, "Upgrade it: pip install --upgrade genai-prices")
    return Check("price list", "ok", found)


def newest_price_change(today: date) -> date | None:
    """The latest day up to `today` on which a price in the list began to hold; None when no price has a date."""
    from genai_prices.data import providers
    from genai_prices.types import StartDateConstraint

    return max(
        (
            price.constraint.start_date
            for provider in providers
            for model in provider.models
            if isinstance(model.prices, list)
            for price in model.prices
            if isinstance(price.constraint, StartDateConstraint) and price.constraint.start_date <= today
        ),
        default=None,
    )


def _clock(settings: Settings, clock: Clock) -> Check:
    now = datetime.fromtimestamp(clock.now_us() / 1e6, UTC)
    found = f"{now:%Y-%m-%d %H:%M:%S} UTC, days end at midnight in {settings.timezone or 'the zone of this machine'}"
    if now.date() < RELEASED:
        return Check("clock", "fail", found, "Set the clock: costs would land on the wrong days, at old prices.")
    return Check("clock", "ok", found)


def _privacy(settings: Settings) -> list[Check]:
    content = "prompt and answer text is stored, redacted" if settings.store_content else "prompts are not stored"
    leaves = "Nothing leaves this machine"
    if settings.openrouter.is_on:
        leaves = (
            f"Bills are asked for at {settings.openrouter.url}, with the ids of calls; nothing else leaves this machine"
        )
    checks = [Check("privacy", "ok", f"{leaves}: no telemetry, no update check; {content}")]
    if settings.host not in ("127.0.0.1", "::1", "localhost"):
        advice = None if settings.token else "Set a token of 16 characters or more, or bind 127.0.0.1."
        found = f"{settings.host}: other machines can reach it, {'with' if settings.token else 'without'} a token"
        checks.append(Check("reachable from", "warn" if settings.token else "fail", found, advice))
    return checks


def _nearest(path: Path) -> Path:
    """The path, or the first of its parents that exists."""
    return next((part for part in (path, *path.parents) if part.exists()), Path("/"))


def _logs() -> Check:
    from ralex_core.collection.importers.base import Machine
    from ralex_core.collection.importers.registry import all_importers

    machine = Machine.current()
    found = [importer for importer in all_importers() if any(root.exists() for root in importer.roots(machine))]
    if not found:
        return Check("assistants' logs", "ok", "none on this machine")
    names = ", ".join(importer.title for importer in found)
    advice = f"Import them: ralex-monitor import {found[0].name}, or on the welcome page."
    return Check("assistants' logs", "ok", names, advice)
