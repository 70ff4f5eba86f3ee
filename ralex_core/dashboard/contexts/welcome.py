"""The first minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class JobView:
    """An import that waits, runs or has ended."""

    id: str
    source: str
    title: str
    state: Literal["queued", "running", "done", "failed"]
    progress_ratio: float | None
    read: int
    imported: int
    duplicates: int
    rejected: int
    message: str | None
    started_at: str
    finished_at: str | None


@dataclass(frozen=True, slots=True)
class FoundView:
    """Logs on this machine that can be imported with one click."""

    source: str
    title: str
    paths: list[str]
    more_paths: int
    files: int
    bytes: int
    oldest_at: str | None
    newest_at: str | None
    what: str
    job: JobView | None


@dataclass(frozen=True, slots=True)
class Step:
    text: str
    code: str | None = None
    language: Literal["sh", "toml", "json", "python", "yaml"] | None = None


@dataclass(frozen=True, slots=True)
class Guide:
    """How to connect one assistant."""

    key: str
    title: str
    summary: str
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class Welcome:
    home: str
    empty: bool
    base_url: str
    found: list[FoundView]
    looked_in: list[str]
    guides: list[Guide]
    jobs: list[JobView]
    content_note: str
