"""The guard's promise: concurrent callers never pass a hard limit, and nobody is refused while the money is there."""

from __future__ import annotations

import queue
import random
import threading
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.budgeting.budget import Budget, CallScope
from ralex_core.budgeting.guard import BudgetGuard
from ralex_core.clock import ManualClock
from ralex_core.errors import BudgetExceeded
from ralex_core.model.operation import Operation
from ralex_core.model.window import Window

CALLERS = 64
LIMIT = Decimal(1)
EVERYTHING = Budget("all", "Everything", "day", hard_usd=LIMIT)
TEAM = Budget("team", "Team", "month", scope="project", value="p1", hard_usd=Decimal("0.4"))
ENDINGS = ("known", "unknown", "released", "lost", "committed first")


class World:
    """Providers that charge, a store that commits on a thread of its own, and a guard that may be restarted."""

    def __init__(self, seed: int, endings: tuple[str, ...]) -> None:
        self.seed = seed
        self.endings = endings
        self.clock = ManualClock()
        self.lock = threading.Lock()
        self.charged = {"p0": Decimal(0), "p1": Decimal(0)}
        self.stored: list[Operation] = []
        self.commits: queue.SimpleQueue[Operation | str | None] = queue.SimpleQueue()
        self.guard = BudgetGuard((EVERYTHING, TEAM), clock=self.clock, hears_commits=True)
        self.wrong: list[str] = []

    def spent(self, budget: Budget, window: Window) -> list[tuple[int, Decimal]]:
        return [
            (operation.started_at, operation.cost_usd)
            for operation in self.stored
            if operation.cost_usd is not None
            and window.start_us <= operation.started_at < window.end_us
            and budget.covers(CallScope(operation.project))
        ]

    def write(self) -> None:
        """The store's one thread: commits, then tells; and reads again when asked to."""
        while (work := self.commits.get()) is not None:
            if isinstance(work, str):
                self.guard.load((EVERYTHING, TEAM), self.spent)
            else:
                self.stored.append(work)
                self.guard.hear([work])

    def call(self, caller: int) -> None:
        chance = random.Random(self.seed * 1000 + caller)
        project = f"p{caller % 2}"
        for number in range(chance.randint(1, 4)):
            worst = Decimal(chance.randint(1, 120_000)) / 1_000_000
            try:
                reservation = self.guard.reserve(CallScope(project), worst)
            except BudgetExceeded as error:
                if error.spent_usd + error.reserved_usd + worst <= error.limit_usd:
                    self.wrong.append(f"refused with money there: {error}")
                continue
            ending = chance.choice(self.endings)
            if ending == "released":
                self.guard.release(reservation)
                continue
            actual = worst if chance.random() < 0.3 else worst * chance.randint(0, 100) / 100
            with self.lock:
                self.charged[project] += actual
            if ending == "lost":
                continue
            identifier = f"{caller}-{number}"
            known = None if ending == "unknown" else actual
            operation = Operation(
                identifier, "llm", "call", reservation.at_us, project=project, cost_usd=known, door="gateway"
            )
            if ending == "committed first":
                self.commits.put(operation)
                self.guard.settle(reservation, known, identifier)
            else:
                self.guard.settle(reservation, known, identifier)
                self.commits.put(operation)
            if chance.random() < 0.2:
                self.commits.put("read again")

    def run(self) -> None:
        writer = threading.Thread(target=self.write)
        callers = [threading.Thread(target=self.call, args=(caller,)) for caller in range(CALLERS)]
        writer.start()
        for thread in callers:
            thread.start()
        for thread in callers:
            thread.join()
        self.commits.put(None)
        writer.join()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6), endings=st.sets(st.sampled_from(ENDINGS), min_size=1).map(lambda s: tuple(sorted(s)))
)
def test_sixty_four_callers_never_spend_more_than_the_limit(seed: int, endings: tuple[str, ...]) -> None:
    world = World(seed, endings)
    world.run()
    everything, team = world.guard.levels()
    assert not world.wrong
    assert sum(world.charged.values()) <= LIMIT
    assert world.charged["p1"] <= Decimal("0.4")
    assert everything.spent_usd + everything.reserved_usd >= sum(world.charged.values())
    assert team.spent_usd + team.reserved_usd >= world.charged["p1"]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_is_counted_in_the_end_is_what_was_charged_to_the_last_digit(seed: int) -> None:
    world = World(seed, ("known", "released", "committed first"))
    world.run()
    for level, charged in zip(world.guard.levels(), (sum(world.charged.values()), world.charged["p1"]), strict=True):
        assert (level.spent_usd, level.reserved_usd) == (charged, 0)
    # all of the money that is left can be spent, and not a cent more
    left = min(LIMIT - sum(world.charged.values()), Decimal("0.4") - world.charged["p1"])
    last = world.guard.reserve(CallScope("p1"), left)
    try:
        world.guard.reserve(CallScope("p1"), Decimal("1e-18"))
    except BudgetExceeded as error:
        assert error.reserved_usd == left
    else:
        raise AssertionError("more than the limit was reserved")
    world.guard.release(last)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_restart_keeps_to_the_limit(seed: int) -> None:
    """What was charged before is read from the store; a second run of callers spends only what is left."""
    world = World(seed, ("known", "released", "committed first"))
    world.run()
    world.guard = BudgetGuard((), clock=world.clock, hears_commits=True)
    world.guard.load((EVERYTHING, TEAM), world.spent)
    world.seed += 1
    world.commits = queue.SimpleQueue()
    stored = len(world.stored)
    world.stored = [operation._replace(operation_id=f"before-{operation.operation_id}") for operation in world.stored]
    world.run()
    assert not world.wrong
    assert len(world.stored) >= stored
    assert sum(world.charged.values()) <= LIMIT
    assert world.guard.levels()[0].spent_usd == sum(world.charged.values())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_decision_is_that_of_a_plain_sum(data: st.DataObject) -> None:
    """One caller at a time against a model that only adds: admitted exactly when the sum allows it."""
    clock = ManualClock()
    guard = BudgetGuard((EVERYTHING, TEAM), clock=clock, hears_commits=True)
    spent = {"all": Decimal(0), "team": Decimal(0)}
    waiting: list[tuple[object, str, Decimal]] = []
    for number in range(data.draw(st.integers(1, 40))):
        action = data.draw(st.sampled_from(("reserve", "reserve", "settle", "release")))
        if action == "reserve":
            project = data.draw(st.sampled_from(("p0", "p1")))
            worst = Decimal(data.draw(st.integers(0, 300_000))) / 1_000_000
            held = {
                "all": sum((one[2] for one in waiting), Decimal(0)),
                "team": sum((one[2] for one in waiting if one[1] == "p1"), Decimal(0)),
            }
            fits = spent["all"] + held["all"] + worst <= 1
            if project == "p1":
                fits = fits and spent["team"] + held["team"] + worst <= Decimal("0.4")
            try:
                waiting.append((guard.reserve(CallScope(project), worst), project, worst))
            except BudgetExceeded:
                assert not fits
            else:
                assert fits
        elif waiting:
            reservation, project, worst = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
            if action == "release":
                guard.release(reservation)  # type: ignore[arg-type]
                continue
            actual = worst * data.draw(st.integers(0, 100)) / 100
            guard.settle(reservation, actual, f"{number}")  # type: ignore[arg-type]
            guard.hear([Operation(f"{number}", "llm", "call", clock.now_us(), project=project, cost_usd=actual)])
            spent["all"] += actual
            spent["team"] += actual if project == "p1" else 0
