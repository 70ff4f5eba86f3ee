"""Demo data: a simulated team in files of its own, filled newest first, then kept going live."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator

from ralex_core.clock import Clock
from ralex_core.config import Settings
from ralex_core.errors import RalexError, StoreError
from ralex_core.model.operation import Operation
from ralex_core.runtime.dataset import DataSet
from ralex_core.simulate import LiveTeam, Team, history

logger = logging.getLogger(__name__)

LIVE_STEP_S = 1.0
TELEMETRY_FILE = "telemetry.duckdb"


class Demo:
    """One simulated team. `start` returns when its last day can be seen; the days before follow in the background."""

    def __init__(self, settings: Settings, clock: Clock, open_data: Callable[[], DataSet]) -> None:
        self._settings = settings
        self._clock = clock
        self._open_data = open_data
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.data: DataSet | None = None

    def start(self) -> DataSet:
        """Make the data set and fill its last day.

        Raises:
            StoreError: its files cannot be made.
        """
        discard(self._settings)
        data = self._open_data()
        team, now_us = Team(), self._clock.now_us()
        days = history(team, now_us)
        data.intake.submit(next(days)).result()
        data.writer.flush()
        self.data = data
        self._thread = threading.Thread(
            target=self._fill, args=(data, days, LiveTeam(team, now_us, never_idle=True)), name="demo", daemon=True
        )
        self._thread.start()
        return data

    def _fill(self, data: DataSet, days: Iterator[list[Operation]], live: LiveTeam) -> None:
        try:
            for day in days:
                if self._stop.is_set():
                    return
                data.intake.submit(day).result()
            while not self._stop.wait(LIVE_STEP_S):
                finished = live.advance(self._clock.now_us())
                if finished:
                    data.intake.submit(finished).result()
        except RalexError as error:
            logger.error("The demo stopped: %s", error)

    def close(self) -> None:
        """Stop simulating and let the files go; they stay until the next start or `discard`."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self.data is not None:
            self.data.close()


def discard(settings: Settings) -> None:
    """Delete the demo's files, and nothing else.

    Raises:
        StoreError: they cannot be deleted.
    """
    try:
        shutil.rmtree(settings.demo_dir)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"Cannot remove the demo data in {settings.demo_dir}: {error.strerror}.") from error
