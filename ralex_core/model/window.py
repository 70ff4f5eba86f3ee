"""Half-open time intervals and the filters that go with them: what a question is asked about."""

from __future__ import annotations

from dataclasses import dataclass, field

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class Window:
    """`[start_us, end_us)` in UTC microseconds since the epoch."""

    start_us: int
    end_us: int

    def __post_init__(self) -> None:
        if self.end_us <= self.start_us:
            raise ValueError("a window must end after it starts")

    @property
    def length_us(self) -> int:
        return self.end_us - self.start_us

    def previous(self) -> Window:
        """The window of the same length just before."""
        return Window(self.start_us - self.length_us, self.start_us)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which operations a question is about. Empty means all; values of one field are alternatives."""

    project: tuple[str, ...] = field(default=())
    model: tuple[str, ...] = field(default=())
    tier: tuple[str, ...] = field(default=())
    user_id: tuple[str, ...] = field(default=())
    session_id: tuple[str, ...] = field(default=())
    gateway_key: tuple[str, ...] = field(default=())
    """Labels of gateway credentials, an attribute of operations: no rollup keeps it apart."""

    def items(self) -> list[tuple[str, tuple[str, ...]]]:
        """The fields that are set, as (column, values)."""
        pairs = [
            ("project", self.project),
            ("model", self.model),
            ("tier", self.tier),
            ("user_id", self.user_id),
            ("session_id", self.session_id),
            ("gateway_key", self.gateway_key),
        ]
        return [(column, values) for column, values in pairs if values]


@dataclass(frozen=True, slots=True)
class Scope:
    """A window and its filters: the argument of every question."""

    window: Window
    filters: Filters = Filters()
