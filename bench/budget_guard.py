"""What holding a call to its budgets costs: a reservation and its settlement with 1, 10 and 100 budgets.

Every budget matches every call, which is the dearest case, but in the last figure, where one of 100 does.
"""

from __future__ import annotations

import argparse
from decimal import Decimal
from pathlib import Path

from bench.figure import Figure, report, timed_ms
from ralex_core.budget import Budget, BudgetGuard, CallScope

CALLS = 5_000
AIM_US = 50.0
"""What a call may wait for its budgets."""
WORST = Decimal("0.0123")
ACTUAL = Decimal("0.0045")


def guard_of(matching: int, others: int = 0) -> BudgetGuard:
    limit = Decimal(10) ** 9
    budgets = [Budget(f"m{n}", f"m{n}", "day", hard_usd=limit, soft_usd=limit) for n in range(matching)]
    budgets += [
        Budget(f"o{n}", f"o{n}", "day", scope="project", value=f"other-{n}", hard_usd=limit) for n in range(others)
    ]
    return BudgetGuard(budgets)


def us_per_call(guard: BudgetGuard, repeats: int) -> float:
    """The best of a few rounds: what else the machine does only ever adds."""
    scope = CallScope(project="shop", user_id="ann", model="gpt-5", tier="standard")

    def hold() -> None:
        for number in range(CALLS):
            guard.settle(guard.reserve(scope, WORST), ACTUAL, str(number))

    return timed_ms(hold, repeats)[0] * 1e3 / CALLS


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.budget_guard", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    figures: list[Figure] = []
    for matching, others in ((1, 0), (10, 0), (100, 0), (1, 99)):
        budgets = "1 budget" if matching + others == 1 else f"{matching + others} budgets"
        what = f"hold and settle a call, {budgets}" + (f", {matching} of them its own" if others else "")
        cost = us_per_call(guard_of(matching, others), given.repeats)
        figures.append(Figure(what, cost, "µs", AIM_US, "the aim"))
    report(figures, given.json)
    return figures


if __name__ == "__main__":
    run()
