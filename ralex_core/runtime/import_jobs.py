"""Imports in the background, one at a time, and what is known about each."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ralex_core.clock import Clock
from ralex_core.collection.importers.base import Importer
from ralex_core.collection.importers.runner import Door, ImportReport, Progress, run_import
from ralex_core.errors import RalexError
from ralex_core.storage.state import StateStore

logger = logging.getLogger(__name__)

JOBS_KEPT = 50


@dataclass(slots=True)
class Job:
    """One import; the counts are its report's and only grow."""

    id: str
    source: str
    title: str
    importer: Importer
    paths: Sequence[Path]
    started_us: int
    state: Literal["queued", "running", "done", "failed"] = "queued"
    progress_ratio: float | None = None
    message: str | None = None
    finished_us: int | None = None
    report: ImportReport = field(default_factory=lambda: ImportReport(""))
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def read(self) -> int:
        return self.report.read

    @property
    def imported(self) -> int:
        return self.report.imported

    @property
    def duplicates(self) -> int:
        return self.report.duplicates

    @property
    def rejected(self) -> int:
        return self.report.rejected

    def report_json(self) -> dict[str, Any]:
        """The whole report, as `ralex-monitor import --json` prints it."""
        return self.report.as_json()


class ImportJobs:
    """A queue of imports and the thread that works it off."""

    def __init__(self, intake: Door, state: StateStore, quarantine_dir: Path, clock: Clock) -> None:
        self._intake = intake
        self._state = state
        self._quarantine_dir = quarantine_dir
        self._clock = clock
        self._numbers = itertools.count(1)
        self._jobs: list[Job] = []
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="imports", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, importer: Importer, paths: Sequence[Path]) -> Job:
        """Queue an import; an unfinished one of the same source and paths is returned instead."""
        with self._lock:
            for job in self._jobs:
                if job.source == importer.name and list(job.paths) == list(paths) and not job.ended.is_set():
                    return job
            number = str(next(self._numbers))
            job = Job(number, importer.name, importer.title, importer, list(paths), self._clock.now_us())
            self._jobs.insert(0, job)
            del self._jobs[JOBS_KEPT:]
        self._waiting.put(job)
        return job

    def jobs(self) -> list[Job]:
        """Newest first."""
        with self._lock:
            return list(self._jobs)

    def close(self) -> None:
        """Stop after the batch at hand; a later run goes on from there."""
        self._stop.set()
        self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while (job := self._waiting.get()) is not None and not self._stop.is_set():
            self._work(job)

    def _work(self, job: Job) -> None:
        job.state = "running"

        def show(progress: Progress) -> None:
            job.report = progress.report
            job.progress_ratio = progress.bytes_done / progress.bytes_total if progress.bytes_total else None

        try:
            job.report = run_import(
                job.importer,
                job.paths,
                intake=self._intake,
                state=self._state,
                quarantine_dir=self._quarantine_dir,
                progress=show,
                stop=self._stop,
            )
            job.message = " ".join([*job.report.failures, *_not_kept(job.report)]) or None
            job.progress_ratio = 1.0
            job.state = "done"
        except RalexError as error:
            job.state, job.message = "failed", str(error)
        except Exception:
            logger.exception("The import of %s failed", job.title)
            job.state, job.message = "failed", f"The import of {job.title} failed unexpectedly; the log says how."
        job.finished_us = self._clock.now_us()
        job.ended.set()


def _not_kept(report: ImportReport) -> list[str]:
    if not report.expired:
        return []
    return [f"{report.expired:,} operations were not stored: they are older than what is kept (retention_days)."]
