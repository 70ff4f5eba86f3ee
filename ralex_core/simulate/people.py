"""The simulated team: who works when, on what, with which habits.

Offsets are fixed hours from UTC, without summer time, so that a seed means the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

WORKDAYS = (1.0, 1.08, 1.1, 1.05, 0.88, 0.1, 0.07)
"""Sessions on Monday … Sunday, relative to an ordinary workday."""
WEEKENDER = (0.55, 0.5, 0.55, 0.6, 0.7, 1.5, 1.4)
EVERY_DAY = (1.05, 1.05, 1.05, 1.05, 1.0, 0.85, 0.85)


@dataclass(frozen=True, slots=True)
class Person:
    """One user's habits. Hours are local."""

    user_id: str
    utc_offset_h: float
    sessions_per_day: float
    tasks_per_session: float
    week: tuple[float, ...]
    first_hour: float
    last_hour: float
    clients: tuple[tuple[str, float], ...]
    projects: tuple[tuple[str, float], ...]
    pins_premium: float
    """Share of tasks for which the router is overruled with a premium model."""
    completes_per_min: float
    """Inline completions while typing between tasks."""
    patience: float
    """How likely a bad result is tried again on a better model."""
    rates_outcomes: float
    """How likely it becomes known what became of a result."""


PEOPLE = (
    Person(
        user_id="amira", utc_offset_h=1, week=WORKDAYS, first_hour=8.0, last_hour=18.0,
        sessions_per_day=4.2, tasks_per_session=6.5, completes_per_min=0.8,
        clients=(("terminal", 0.85), ("web", 0.15)),
        projects=(("storefront", 0.6), ("billing-api", 0.4)),
        pins_premium=0.06, patience=0.8, rates_outcomes=0.9,
    ),
    Person(
        user_id="jonas", utc_offset_h=1, week=WORKDAYS, first_hour=9.0, last_hour=19.0,
        sessions_per_day=3.4, tasks_per_session=7.5, completes_per_min=0.6,
        clients=(("terminal", 0.95), ("mobile", 0.05)),
        projects=(("billing-api", 0.7), ("infra", 0.3)),
        pins_premium=0.12, patience=0.7, rates_outcomes=0.85,
    ),
    Person(
        user_id="priya", utc_offset_h=5.5, week=WORKDAYS, first_hour=9.5, last_hour=19.0,
        sessions_per_day=4.6, tasks_per_session=6.0, completes_per_min=1.0,
        clients=(("terminal", 0.7), ("web", 0.3)),
        projects=(("mobile-app", 0.8), ("storefront", 0.2)),
        pins_premium=0.03, patience=0.75, rates_outcomes=0.9,
    ),
    Person(
        user_id="marcus", utc_offset_h=-5, week=WORKDAYS, first_hour=8.5, last_hour=17.5,
        sessions_per_day=3.8, tasks_per_session=8.0, completes_per_min=0.4,
        clients=(("terminal", 0.9), ("web", 0.1)),
        projects=(("data-pipeline", 0.9), ("infra", 0.1)),
        pins_premium=0.25, patience=0.6, rates_outcomes=0.7,
    ),
    Person(
        user_id="elena", utc_offset_h=-5, week=WORKDAYS, first_hour=9.0, last_hour=18.0,
        sessions_per_day=3.0, tasks_per_session=5.0, completes_per_min=0.5,
        clients=(("web", 0.7), ("mobile", 0.3)),
        projects=(("docs-site", 0.5), ("storefront", 0.5)),
        pins_premium=0.02, patience=0.5, rates_outcomes=0.8,
    ),
    Person(
        user_id="tom", utc_offset_h=-8, week=WORKDAYS, first_hour=9.0, last_hour=18.5,
        sessions_per_day=4.0, tasks_per_session=7.0, completes_per_min=0.7,
        clients=(("terminal", 0.9), ("mobile", 0.1)),
        projects=(("mobile-app", 0.3), ("billing-api", 0.4), ("infra", 0.3)),
        pins_premium=0.1, patience=0.85, rates_outcomes=0.85,
    ),
    Person(
        user_id="yuki", utc_offset_h=9, week=WORKDAYS, first_hour=9.0, last_hour=19.5,
        sessions_per_day=3.6, tasks_per_session=6.5, completes_per_min=0.75,
        clients=(("terminal", 0.8), ("web", 0.2)),
        projects=(("data-pipeline", 0.5), ("storefront", 0.5)),
        pins_premium=0.05, patience=0.7, rates_outcomes=0.9,
    ),
    Person(
        user_id="sam", utc_offset_h=10, week=WEEKENDER, first_hour=10.0, last_hour=22.5,
        sessions_per_day=2.6, tasks_per_session=6.0, completes_per_min=0.65,
        clients=(("web", 0.4), ("mobile", 0.3), ("terminal", 0.3)),
        projects=(("docs-site", 0.6), ("mobile-app", 0.4)),
        pins_premium=0.01, patience=0.4, rates_outcomes=0.6,
    ),
    Person(
        user_id="ci-bot", utc_offset_h=0, week=EVERY_DAY, first_hour=0.0, last_hour=24.0,
        sessions_per_day=26.0, tasks_per_session=1.5, completes_per_min=0.0,
        clients=(("ci", 1.0),),
        projects=(("billing-api", 0.3), ("storefront", 0.25), ("data-pipeline", 0.25), ("mobile-app", 0.2)),
        pins_premium=0.0, patience=0.5, rates_outcomes=1.0,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Project:
    """What a project's work is like."""

    name: str
    base_context: int
    """Tokens of instructions and repository map that open every session."""
    hardness: float
    """Added to a task's difficulty."""
    test_seconds: float
    """Median run of its tests."""


PROJECTS = {
    project.name: project
    for project in (
        Project("storefront", 9_000, 0.0, 18.0),
        Project("billing-api", 11_500, 0.06, 26.0),
        Project("mobile-app", 8_000, 0.02, 35.0),
        Project("data-pipeline", 13_500, 0.1, 48.0),
        Project("infra", 6_500, 0.08, 12.0),
        Project("docs-site", 5_000, -0.12, 6.0),
    )
}


@dataclass(frozen=True, slots=True)
class Feature:
    """A kind of task the assistant is asked for."""

    name: str
    title: str
    weight: float
    difficulty: float
    """Mean difficulty, 0–1, before the project's own."""
    calls: float
    """Mean calls to a model when all goes well."""
    edits: bool


FEATURES = (
    Feature("fix", "fix a bug", 0.27, 0.47, 5.2, True),
    Feature("build", "build a feature", 0.2, 0.55, 7.5, True),
    Feature("test", "write tests", 0.15, 0.34, 4.4, True),
    Feature("explain", "explain code", 0.16, 0.22, 1.9, False),
    Feature("refactor", "refactor", 0.12, 0.5, 6.2, True),
    Feature("chat", "answer a question", 0.1, 0.18, 1.3, False),
)
REVIEW = Feature("review", "review a change", 1.0, 0.36, 3.2, False)
"""What the bot does, and only the bot."""
