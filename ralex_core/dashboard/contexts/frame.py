"""What every page has around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["neutral", "good", "warn", "bad", "unknown"]


@dataclass(frozen=True, slots=True)
class NavItem:
    key: str
    title: str
    href: str
    active: bool


@dataclass(frozen=True, slots=True)
class DemoView:
    """Whether demo data is shown; pages wear a banner while it is."""

    active: bool
    available: bool = True


@dataclass(frozen=True, slots=True)
class RangeView:
    """The time range a page shows. `explicit` is False when the page chose it, because the address named none."""

    key: str
    label: str
    live: bool
    explicit: bool
    start_us: int
    end_us: int
    start_at: str
    end_at: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several links of which one is active."""

    key: str
    label: str
    href: str
    active: bool


@dataclass(frozen=True, slots=True)
class Chip:
    """An active filter and the address without it."""

    param: str
    label: str
    value: str
    remove_href: str


@dataclass(frozen=True, slots=True)
class FilterField:
    param: str
    label: str


@dataclass(frozen=True, slots=True)
class ScopeBar:
    """Range and filters of a page: everything its top bar needs to show and to change them by links and GET forms."""

    range: RangeView
    ranges: list[Choice]
    chips: list[Chip]
    fields: list[FilterField]
    clear_href: str
    hidden: list[tuple[str, str]]
    hidden_range: list[tuple[str, str]]
    query: str
    path: str


@dataclass(frozen=True, slots=True)
class Shell:
    """The frame around every page."""

    page: str
    title: str
    version: str
    timezone: str
    request_id: str
    server_now_us: int
    nav: list[NavItem]
    demo: DemoView
    signed_in: bool
    scope: ScopeBar | None


@dataclass(frozen=True, slots=True)
class Problem:
    """The error page."""

    status: int
    title: str
    message: str
    request_id: str
    retry_href: str | None


@dataclass(frozen=True, slots=True)
class Login:
    next: str
    failed: bool
