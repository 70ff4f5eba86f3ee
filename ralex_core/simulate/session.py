"""One simulated session, from its first task to its last, as the operations it leaves behind."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from ralex_core.model.operation import Operation
from ralex_core.model.window import MINUTE_US
from ralex_core.simulate.catalogue import (
    CHEAP,
    COMPLETION_MODELS,
    MODELS_OF_TIER,
    PREMIUM,
    STANDARD,
    TIER_NAMES,
    WEIGHTS_OF_TIER,
    SimulatedModel,
)
from ralex_core.simulate.people import FEATURES, PROJECTS, REVIEW, Feature
from ralex_core.simulate.recording import Recording, Trace
from ralex_core.simulate.seeds import derived_random, poisson
from ralex_core.simulate.team import SessionPlan, Team

LAST_TASK_AFTER_US = 150 * MINUTE_US
"""No task of a session begins later than this."""
TASK_CALLS_US = 40 * MINUTE_US
"""A task makes no further call to a model after this."""
MAX_SESSION_US = 240 * MINUTE_US
"""Every operation of a session ends within this of its start: both limits and the longest single step."""

_FEATURE_WEIGHTS = tuple(feature.weight for feature in FEATURES)
_UNIX_DAY_ORDINAL = 719_163


class Goal(NamedTuple):
    """What the person wants; tried again on a better model when the first result is bad."""

    feature: Feature
    difficulty: float
    tier: int
    pinned: bool
    """The person chose the model, not the router."""
    follows: str | None = None
    """Trace of the attempt before."""


class Conversation:
    """Plays one session. `play` may be called once."""

    def __init__(self, team: Team, plan: SessionPlan) -> None:
        self.plan = plan
        self.rng = rng = derived_random(team.seed, "session", plan.person.user_id, plan.day, plan.index)
        person = plan.person
        self.project = PROJECTS[_weighted(rng.random(), person.projects)]
        self.client = _weighted(rng.random(), person.clients)
        date = datetime.date.fromordinal(_UNIX_DAY_ORDINAL + plan.start_us // 86_400_000_000)
        self.recording = Recording(
            team=team,
            rng=rng,
            project=self.project,
            client=self.client,
            user_id=person.user_id,
            session_id=f"{person.user_id}-{date.isoformat()}-{plan.index + 1}",
            context_tokens=self.project.base_context + rng.randrange(800, 4000),
        )

    def play(self) -> list[Operation]:
        """All operations of the session, by start."""
        rng, plan = self.rng, self.plan
        runaway = plan.index < 0
        now_us = plan.start_us
        left = 8 if runaway else 1 + poisson(rng, plan.person.tasks_per_session - 1)
        goal: Goal | None = None
        while (left or goal) and now_us - plan.start_us < LAST_TASK_AFTER_US:
            if goal is None:
                left -= 1
                goal = self._new_goal(runaway)
            now_us, goal = self._task(now_us, goal)
            hurried = runaway or self.client == "ci"
            now_us = now_us + 4_000_000 if hurried else self._think(now_us)
        return sorted(self.recording.operations, key=_by_start)

    def _new_goal(self, runaway: bool) -> Goal:
        rng, person = self.rng, self.plan.person
        feature = REVIEW if self.client == "ci" else rng.choices(FEATURES, _FEATURE_WEIGHTS)[0]
        difficulty = min(max(rng.normalvariate(feature.difficulty + self.project.hardness, 0.17), 0.02), 0.98)
        if runaway or rng.random() < person.pins_premium:
            return Goal(feature, difficulty, PREMIUM, True)
        estimate = difficulty + rng.normalvariate(0, 0.13)
        tier = CHEAP if estimate < 0.48 else STANDARD if estimate < 0.82 else PREMIUM
        return Goal(feature, difficulty, tier, False)

    def _task(self, start_us: int, goal: Goal) -> tuple[int, Goal | None]:
        """Play one task; returns when it ended and the goal to try again, if the person does."""
        rng, person, recording = self.rng, self.plan.person, self.recording
        model = rng.choices(MODELS_OF_TIER[goal.tier], WEIGHTS_OF_TIER[goal.tier])[0]
        good = rng.random() < model.acceptance(goal.difficulty)
        outcome = self._outcome(good)
        calls = max(1, poisson(rng, goal.feature.calls * self.plan.calls_factor * (1.0 if good else 1.3)))
        workflow = "review" if self.client == "ci" else "interactive"
        trace = recording.begin(goal.feature.name, workflow)

        now_us = recording.request(trace, start_us)
        now_us = self._route(trace, now_us, goal, model)
        requested = model.name if goal.pinned else "auto"
        answered = True
        for number in range(calls):
            now_us, answered = recording.call(trace, now_us, model, requested, outcome)
            if not answered or now_us - start_us > TASK_CALLS_US:
                break
            if number < calls - 1:
                now_us = self._work(trace, now_us, goal.feature, good)
        if not answered:
            outcome = "failed"
        elif good and goal.feature.edits and rng.random() < 0.4:
            now_us = recording.commit(trace, now_us)
        now_us = recording.save(trace, now_us)
        recording.end(trace, goal.feature.title, start_us, now_us, outcome, goal.difficulty, goal.follows, answered)
        return now_us, self._second_try(goal, outcome, trace, person.patience)

    def _think(self, now_us: int) -> int:
        """The person reads, types on (with inline completions) and comes back with the next task."""
        rng, person = self.rng, self.plan.person
        pause_us = round(min(rng.lognormvariate(5.1, 0.8), 1500.0) * 1e6)
        for _ in range(poisson(rng, person.completes_per_min * pause_us / MINUTE_US)):
            self.recording.complete(now_us + rng.randrange(pause_us), rng.choice(COMPLETION_MODELS))
        return now_us + pause_us

    def _outcome(self, good: bool) -> str:
        rng = self.rng
        if rng.random() > self.plan.person.rates_outcomes:
            return "unknown"
        if good:
            return "accepted"
        roll = rng.random()
        return "reworked" if roll < 0.55 else "rejected" if roll < 0.88 else "failed"

    def _second_try(self, goal: Goal, outcome: str, trace: Trace, patience: float) -> Goal | None:
        if outcome in ("accepted", "unknown") or self.rng.random() > patience:
            return None
        if goal.tier == PREMIUM and goal.follows is not None:
            return None
        return goal._replace(tier=min(goal.tier + 1, PREMIUM), follows=trace.trace_id)

    def _route(self, trace: Trace, now_us: int, goal: Goal, model: SimulatedModel) -> int:
        if goal.pinned:
            return now_us
        reason = "tried again on a better model" if goal.follows else f"expected difficulty of {goal.feature.title}"
        return self.recording.route(trace, now_us, TIER_NAMES[goal.tier], model.name, reason)

    def _work(self, trace: Trace, now_us: int, feature: Feature, good: bool) -> int:
        """What the assistant does with its tools between two calls."""
        rng, recording = self.rng, self.recording
        roll = rng.random()
        if not feature.edits or roll < 0.42:
            return recording.read(trace, now_us)
        now_us = recording.edit(trace, now_us)
        if self.client != "ci":
            now_us += round(min(rng.lognormvariate(1.9, 0.9), 300.0) * 1e6)  # the person looks at the change
        if roll > 0.62:
            now_us = recording.run_tests(trace, now_us, self.project.test_seconds, 0.22 if good else 0.55)
        return now_us


def _by_start(operation: Operation) -> tuple[int, str]:
    return operation.started_at, operation.operation_id


def _weighted(roll: float, choices: tuple[tuple[str, float], ...]) -> str:
    for value, weight in choices:
        roll -= weight
        if roll < 0:
            return value
    return choices[-1][0]
