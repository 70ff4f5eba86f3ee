"""The first minutes: what was found on this machine, what is being imported, and how to connect the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ralex_core.dashboard.contexts.welcome import FoundView, JobView, Welcome
from ralex_core.dashboard.guides import guides
from ralex_core.dashboard.host import FoundLogs, Host, ImportJob
from ralex_core.dashboard.questions import Remembered
from ralex_core.render import to_iso
from ralex_core.storage.queries import is_empty

PATHS_SHOWN = 5
DISCOVERY_REMEMBER_S = 10.0
"""Looking through directories takes a moment, and pages poll while an import runs."""

NOT_STORED = "Prompts and answers are not stored: only names, numbers and times."
STORED = "Prompts and answers are stored with secrets removed, because store_content is on."


class Imports:
    """What can be imported and what is being imported, as pages and API show it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._found = Remembered(host.clock, DISCOVERY_REMEMBER_S, entries=1)

    def discovered(self) -> Sequence[FoundLogs]:
        """Logs on this machine, as of a few seconds ago."""
        return self._found.get("found", self._host.discover)

    def found(self) -> list[FoundView]:
        latest: dict[str, ImportJob] = {}
        for job in self._host.import_jobs():
            latest.setdefault(job.source, job)
        return [_found_view(found, latest.get(found.source)) for found in self.discovered()]

    def jobs(self) -> list[JobView]:
        return [job_view(job) for job in self._host.import_jobs()]


def welcome(host: Host, imports: Imports, base_url: str) -> Welcome:
    """The welcome page. `empty` is about the real store: demo data is nobody's."""
    settings = host.settings
    return Welcome(
        home=shortened(settings.home),
        empty=host.demo_active or is_empty(host.active_store()),
        base_url=base_url,
        found=imports.found(),
        looked_in=list(host.looked_in()),
        guides=guides(base_url, needs_token=settings.token is not None),
        jobs=imports.jobs(),
        content_note=STORED if settings.store_content else NOT_STORED,
    )


def _found_view(found: FoundLogs, job: ImportJob | None) -> FoundView:
    return FoundView(
        source=found.source,
        title=found.title,
        paths=[shortened(path) for path in found.paths[:PATHS_SHOWN]],
        more_paths=max(0, len(found.paths) - PATHS_SHOWN),
        files=found.files,
        bytes=found.total_bytes,
        oldest_at=to_iso(found.oldest_us),
        newest_at=to_iso(found.newest_us),
        what=found.reads,
        job=None if job is None else job_view(job),
    )


def job_view(job: ImportJob) -> JobView:
    return JobView(
        id=job.id,
        source=job.source,
        title=job.title,
        state=job.state,
        progress_ratio=job.progress_ratio,
        read=job.read,
        imported=job.imported,
        duplicates=job.duplicates,
        rejected=job.rejected,
        message=job.message,
        started_at=to_iso(job.started_us) or "",
        finished_at=to_iso(job.finished_us),
    )


def shortened(path: Path) -> str:
    """A path as people write it, with ~ for the home directory."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
