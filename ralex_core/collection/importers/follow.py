"""Following logs while serving: what is added to a known log, and new logs beside it, is read within seconds."""

from __future__ import annotations

import logging
import stat
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ralex_core.clock import Clock, SystemClock
from ralex_core.collection.importers.base import Importer, Machine
from ralex_core.collection.importers.runner import Door, ImportReport, ImportRun
from ralex_core.errors import RalexError
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.state import StateStore

logger = logging.getLogger(__name__)

INTERVAL_S = 2.0
QUIET_S = 5.0
"""A log that has not grown for this long is at rest: an unfinished response in it is given as it stands."""
RESCAN_S = 30.0
"""How often directories are searched for new logs, and logs at rest for growth."""
HOT_US = 48 * 3600 * 1_000_000
"""Logs that changed this recently are looked at every time: thousands of old ones cost nothing that way."""

_Signature = tuple[int, int]


@dataclass(slots=True)
class _Watch:
    """One followed log."""

    path: Path
    seen: _Signature | None
    """Size and time of change as of the last reading; None: not read yet."""
    changed_at: float = 0.0
    """When it was last seen to change, on the monotonic clock."""
    unsettled: bool = False
    """Whether it was read while it grew, so that unfinished work at its end still waits."""


class Follower:
    """Reads on in the logs whose cursors say so. `start` gives it a thread; tests call `follow_once`."""

    def __init__(
        self,
        importers: Sequence[Importer],
        *,
        intake: Door,
        state: StateStore,
        quarantine_dir: Path,
        machine: Machine | None = None,
        clock: Clock | None = None,
        metrics: SelfMetrics | None = None,
        interval_s: float = INTERVAL_S,
        quiet_s: float = QUIET_S,
        rescan_s: float = RESCAN_S,
    ) -> None:
        self._importers = importers
        self._intake = intake
        self._state = state
        self._quarantine_dir = quarantine_dir
        self._machine = machine or Machine.current()
        self._clock = clock or SystemClock()
        self._metrics = metrics or SelfMetrics()
        self._interval_s = interval_s
        self._quiet_s = quiet_s
        self._rescan_s = rescan_s
        self._watches: dict[str, dict[Path, _Watch]] = {importer.name: {} for importer in importers}
        self._scanned_at: float | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_problem = ""

    # --- the thread --------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="log-follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the batch at hand. Safe to call twice, and without `start`."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                self.follow_once()
            except Exception as error:
                # Boundary: whatever is wrong with one log or the store now must not end following for good.
                self._metrics.add("follower_errors_total")
                if str(error) != self._last_problem:
                    self._last_problem = str(error)
                    logger.warning("Following logs: %s", error, exc_info=not isinstance(error, RalexError))

    # --- one look ----------------------------------------------------------------------------------------------

    def follow_once(self) -> list[ImportReport]:
        """Look at the logs once and read what is new; returns a report per source that had something.

        Raises:
            StoreError: a commit failed; what was not stored is read again next time.
        """
        now = self._clock.monotonic()
        scan = self._scanned_at is None or now - self._scanned_at >= self._rescan_s
        if scan:
            self._scanned_at = now
        reports: list[ImportReport] = []
        for importer in self._importers:
            if scan:
                self._find(importer)
            report = self._follow(importer, now, scan)
            if report is not None:
                reports.append(report)
                if report.expired:
                    logger.warning(
                        "%d operations of %s were not stored: they are older than what is kept (retention_days)",
                        report.expired,
                        importer.title,
                    )
            if self._stop.is_set():
                break
        return reports

    def _find(self, importer: Importer) -> None:
        """Watch the logs that are followed, and new ones in the same places."""
        watches = self._watches[importer.name]
        cursors = [cursor for cursor in self._state.cursors(importer.name) if cursor.follow]
        for cursor in cursors:
            path = Path(cursor.path)
            if path not in watches:
                seen = (cursor.size, cursor.modified_at) if cursor.complete else None
                watches[path] = _Watch(path, seen)
        for root in importer.roots(self._machine):
            place = root.resolve()
            inside = [cursor for cursor in cursors if place in Path(cursor.path).parents]
            if not inside or not place.is_dir():
                continue
            # Older logs that nobody imported stay unread: following is not importing.
            since = min(cursor.updated_at for cursor in inside)
            for found in importer.files_in(place):
                path = found.resolve()
                if path not in watches and _changed_at(path) >= since:
                    watches[path] = _Watch(path, None)

    def _follow(self, importer: Importer, now: float, everything: bool) -> ImportReport | None:
        run: ImportRun | None = None
        read: list[_Watch] = []
        watches = self._watches[importer.name]
        hot_since = self._clock.now_us() - HOT_US
        for watch in list(watches.values()):
            if not (everything or watch.unsettled or watch.seen is None or watch.seen[1] >= hot_since):
                continue
            try:
                status = watch.path.stat()
            except OSError:
                del watches[watch.path]  # deleted or moved away; found again if it comes back
                continue
            if not stat.S_ISREG(status.st_mode):
                del watches[watch.path]  # a pipe in its place would be waited for without end
                continue
            seen = (status.st_size, status.st_mtime_ns // 1000)
            grown = seen != watch.seen
            at_rest = watch.unsettled and now - watch.changed_at >= self._quiet_s
            if not grown and not at_rest:
                continue
            watch.seen, watch.unsettled = seen, grown
            if grown:
                watch.changed_at = now
            run = run or self._new_run(importer)
            read.append(watch)
            run.file(watch.path, resume="always", final=not grown, follow=True)
            if self._stop.is_set():
                break
        if run is None:
            return None
        try:
            run.settle()
        except BaseException:
            for watch in read:
                watch.seen = None
            raise
        return run.report

    def _new_run(self, importer: Importer) -> ImportRun:
        return ImportRun(
            importer,
            intake=self._intake,
            state=self._state,
            quarantine_dir=self._quarantine_dir,
            machine=self._machine,
            stop=self._stop,
        )


def _changed_at(path: Path) -> int:
    """When the file changed last, UTC microseconds; 0 when it is gone."""
    try:
        return path.stat().st_mtime_ns // 1000
    except OSError:
        return 0
