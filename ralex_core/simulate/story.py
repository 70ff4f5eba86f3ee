"""What goes wrong in a simulated team, and exactly when: the known answer for anomaly and alert tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ralex_core.model.window import DAY_US, HOUR_US, Window
from ralex_core.simulate.people import PEOPLE
from ralex_core.simulate.seeds import derived_random

IncidentKind = Literal["slow_provider", "failing_provider", "runaway_session"]

CHAPTER_DAYS = 14
"""Each fortnight has its own story."""
CHAPTER_US = CHAPTER_DAYS * DAY_US
FIRST_MONDAY_US = 4 * DAY_US
"""1970-01-05: chapters begin on a Monday, so that an incident falls on a workday."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that went wrong. `subject` is a provider, or the user whose session ran away."""

    kind: IncidentKind
    window: Window
    subject: str
    factor: float
    """A slow provider's latency and a runaway session's calls are multiplied by it; a failing provider's attempts
    fail with this probability."""


def chapter_of(time_us: int) -> int:
    """The number of the fortnight a moment falls in."""
    return (time_us - FIRST_MONDAY_US) // CHAPTER_US


def incidents_of_chapter(seed: int, chapter: int) -> tuple[Incident, ...]:
    """The fortnight's incidents, by time: a slow afternoon, a burst of failures, a session that runs away."""
    rng = derived_random(seed, "story", chapter)
    start_us = FIRST_MONDAY_US + chapter * CHAPTER_US

    def window(hour: float, hours: float) -> Window:
        day = rng.choice((0, 7)) + rng.randrange(5)
        begin = start_us + day * DAY_US + round(hour * HOUR_US)
        return Window(begin, begin + round(hours * HOUR_US))

    slow = Incident(
        "slow_provider",
        window(rng.uniform(13, 15), rng.uniform(2.5, 4.0)),
        "anthropic",
        rng.uniform(3.2, 4.8),
    )
    failing = Incident(
        "failing_provider",
        window(rng.uniform(8, 20), rng.uniform(0.6, 1.2)),
        rng.choice(("openrouter", "openai", "openrouter", "google")),
        rng.uniform(0.3, 0.5),
    )
    person = rng.choice(PEOPLE[:-1])
    hour = rng.uniform(person.first_hour + 1, person.last_hour - 3) - person.utc_offset_h
    runaway = Incident(
        "runaway_session", window(hour % 24, rng.uniform(1.2, 1.8)), person.user_id, rng.uniform(3.0, 4.5)
    )
    return tuple(sorted((slow, failing, runaway), key=lambda incident: incident.window.start_us))


def load_at(time_us: int) -> float:
    """How busy providers are, 0–1: highest when Europe and America both work, lowest in the Pacific night."""
    hour = (time_us % DAY_US) / HOUR_US
    distance = abs((hour - 16 + 12) % 24 - 12)
    weekday = ((time_us - FIRST_MONDAY_US) // DAY_US) % 7
    return max(0.0, 1 - distance / 9) * (0.45 if weekday >= 5 else 1.0)
