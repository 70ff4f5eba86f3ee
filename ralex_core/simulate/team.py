"""A simulated team: when its sessions begin and what goes wrong meanwhile, from a seed alone."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from ralex_core.model.window import DAY_US, HOUR_US, Window
from ralex_core.simulate.people import PEOPLE, Person
from ralex_core.simulate.seeds import derived_random, poisson
from ralex_core.simulate.story import Incident, chapter_of, incidents_of_chapter, load_at

MAX_SESSIONS_PER_DAY = 24
SEASON_DAYS = 91
"""Work swells and ebbs by 8 % over a quarter."""


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """One session that will happen: who, when, and the seed of everything in it."""

    start_us: int
    person: Person
    day: int
    """The person's local day, in days since the epoch."""
    index: int
    """Which of the day's sessions; the runaway one is -1."""
    calls_factor: float = 1.0


class Team:
    """What can be known about a simulated team before it works. The same seed is the same team for ever."""

    daily_budget_usd = Decimal(60)
    """A budget this team stays under on most days."""

    def __init__(self, seed: int = 7, people: tuple[Person, ...] = PEOPLE) -> None:
        self.seed = seed
        self.people = people
        self._chapter = lru_cache(maxsize=64)(self._load_chapter)

    def sessions(self, window: Window) -> list[SessionPlan]:
        """The sessions that begin in the window, in time order."""
        plans: list[SessionPlan] = []
        for person in self.people:
            offset_us = round(person.utc_offset_h * HOUR_US)
            first_day = (window.start_us + offset_us) // DAY_US
            last_day = (window.end_us - 1 + offset_us) // DAY_US
            for day in range(first_day, last_day + 1):
                plans += self._day(person, day, offset_us)
        for chapter in range(chapter_of(window.start_us), chapter_of(window.end_us - 1) + 1):
            plans += self._runaways(chapter)
        inside = [plan for plan in plans if window.start_us <= plan.start_us < window.end_us]
        return sorted(inside, key=lambda plan: (plan.start_us, plan.person.user_id, plan.index))

    def incidents(self, window: Window) -> list[Incident]:
        """The planted incidents that overlap the window, in time order: the truth detection is judged by."""
        chapters = range(chapter_of(window.start_us), chapter_of(window.end_us - 1) + 1)
        found = [incident for chapter in chapters for incident in self._chapter(chapter)]
        return [i for i in found if i.window.start_us < window.end_us and i.window.end_us > window.start_us]

    def slowness(self, provider: str, time_us: int) -> float:
        """What a provider's latency is multiplied by now: its load, and an incident if there is one."""
        factor = 0.88 + 0.3 * load_at(time_us)
        for incident in self._chapter(chapter_of(time_us)):
            if incident.kind == "slow_provider" and incident.subject == provider:
                factor *= _strength(incident, time_us)
        return factor

    def failure_chance(self, provider: str, time_us: int) -> float:
        """Probability that one attempt fails by rate limit or server error at a moment."""
        chance = 0.006 + 0.016 * load_at(time_us)
        for incident in self._chapter(chapter_of(time_us)):
            inside = incident.window.start_us <= time_us < incident.window.end_us
            if inside and incident.kind == "failing_provider" and incident.subject == provider:
                return incident.factor
        return chance

    def _day(self, person: Person, day: int, offset_us: int) -> list[SessionPlan]:
        rng = derived_random(self.seed, "day", person.user_id, day)
        season = 1 + 0.08 * math.sin(2 * math.pi * day / SEASON_DAYS)
        expected = person.sessions_per_day * person.week[(day + 3) % 7] * season
        if person.user_id != "ci-bot" and rng.random() < 0.03:
            expected = 0.0  # a day off
        count = min(poisson(rng, expected), MAX_SESSIONS_PER_DAY)
        midnight_us = day * DAY_US - offset_us
        return [
            SessionPlan(midnight_us + round(_local_hour(rng, person) * HOUR_US), person, day, index)
            for index in range(count)
        ]

    def _runaways(self, chapter: int) -> list[SessionPlan]:
        people = {person.user_id: person for person in self.people}
        return [
            SessionPlan(incident.window.start_us, people[incident.subject], chapter, -1, incident.factor)
            for incident in self._chapter(chapter)
            if incident.kind == "runaway_session" and incident.subject in people
        ]

    def _load_chapter(self, chapter: int) -> tuple[Incident, ...]:
        return incidents_of_chapter(self.seed, chapter)


def _local_hour(rng: random.Random, person: Person) -> float:
    """When in the day a session begins: a peak in the morning, one after lunch, a few at any hour of work."""
    first, last = person.first_hour, person.last_hour
    kind = rng.random()
    if last - first > 23 or kind < 0.3:
        hour = rng.uniform(first, last)
    elif kind < 0.68:
        hour = rng.normalvariate(first + 1.2, 0.8)
    else:
        hour = rng.normalvariate(first + 0.58 * (last - first), 1.3)
    return min(max(hour, max(first - 1, 0.0)), min(last, 23.99))


def _strength(incident: Incident, time_us: int) -> float:
    """An incident's factor at a moment: it builds up over its first fifth and is gone at its end."""
    window = incident.window
    if not window.start_us <= time_us < window.end_us:
        return 1.0
    progress = (time_us - window.start_us) / window.length_us
    return 1 + (incident.factor - 1) * min(progress * 5, 1.0)
