from __future__ import annotations

from decimal import Decimal

import pytest

from ralex_core.budgeting.budget import Budget, CallScope, checked, daily_budget
from ralex_core.errors import InvalidBudget

GOOD = {"id": "1", "name": "Team", "period": "day", "hard_usd": Decimal(5)}


def budget(**changes: object) -> Budget:
    return Budget(**{**GOOD, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": " "}, "name: give it a name"),
        ({"name": "a\nb"}, "name: give it a name"),
        ({"name": "x" * 81}, "name: give it a name"),
        ({"scope": "team"}, "scope: 'team' is not one of all, project, user, model, tier, key"),
        ({"value": "shop"}, "value: a budget for everything names no value"),
        ({"scope": "project"}, "value: say which project it is for"),
        ({"scope": "user", "value": "a\x00"}, "value: say which user it is for"),
        ({"period": "year"}, "period: 'year' is not one of hour, day, week, month, rolling"),
        ({"period": "rolling"}, "rolling_hours: a rolling period is 1 to 8784 hours long"),
        ({"period": "rolling", "rolling_hours": 0}, "rolling_hours: a rolling period is"),
        ({"rolling_hours": 5}, "rolling_hours: only a rolling period"),
        ({"hard_usd": None}, "limit: give a soft limit"),
        ({"hard_usd": Decimal(0)}, "hard_usd: a limit is more than 0"),
        ({"soft_usd": Decimal(-1)}, "soft_usd: a limit is more than 0"),
        ({"hard_usd": Decimal("NaN")}, "hard_usd: a limit is more than 0"),
        ({"hard_usd": Decimal("Infinity")}, "hard_usd: a limit is more than 0"),
        ({"soft_usd": Decimal(6)}, r"soft_usd: the soft limit \(6\) is above the hard one \(5\)"),
        ({"timezone": "Mars/Olympus"}, "timezone: 'Mars/Olympus' is not an IANA time zone"),
        ({"timezone": "../../etc/passwd"}, "timezone: "),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_with_what_to_change(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidBudget, match=message):
        checked(budget(**changes))


def test_a_budget_that_makes_sense_is_left_as_it_is() -> None:
    made = budget(scope="model", value="gpt-5*", soft_usd=Decimal(5), period="rolling", rolling_hours=24)
    assert checked(made) is made


def test_what_spending_is_measured_against_is_the_hard_limit_where_there_is_one() -> None:
    assert budget(soft_usd=Decimal(3)).limit_usd == 5
    assert budget(soft_usd=Decimal(3), hard_usd=None).limit_usd == 3


def test_a_star_stands_for_any_text_and_nothing_else_is_special() -> None:
    named = budget(scope="model", value="gpt-4.1*")
    assert named.covers(CallScope(model="gpt-4.1-mini"))
    assert not named.covers(CallScope(model="gpt-4x1-mini"))
    assert not named.covers(CallScope(model=None))
    assert not budget(scope="project", value="[a-z]").covers(CallScope(project="b"))


def test_a_model_counts_with_its_releases_and_through_any_router() -> None:
    named = budget(scope="model", value="gpt-4o")
    for model in ("gpt-4o", "gpt-4o-2024-08-06", "openai/gpt-4o", "openrouter/openai/gpt-4o-2024-08-06"):
        assert named.covers(CallScope(model=model)), model
    for model in ("gpt-4o-mini", "gpt-4o-2024", "xgpt-4o", None):
        assert not named.covers(CallScope(model=model)), model
    claude = budget(scope="model", value="anthropic/claude-opus-4-5")
    assert claude.covers(CallScope(model="anthropic/claude-opus-4-5-20251101"))
    assert not claude.covers(CallScope(model="bedrock/claude-opus-4-5"))
    assert not budget(scope="project", value="a").covers(CallScope(project="x/a"))


def test_the_daily_budget_warns_only() -> None:
    made = daily_budget(Decimal(5))
    assert made is not None
    assert (made.built_in, made.soft_usd, made.hard_usd, made.period) == (True, 5, None, "day")
    assert checked(made) is made
    assert daily_budget(None) is None


@pytest.mark.parametrize("scope", ["project", "model"])
def test_a_pattern_of_many_stars_is_quick_to_say_no(scope: str) -> None:
    """Callers choose the text, and the guard is asked before every call."""
    many = budget(scope=scope, value="*a" * 60 + "*b")
    assert not many.matches("a" * 250)
    assert many.matches("a" * 250 + "b")


@pytest.mark.parametrize(
    ("value", "text", "matches"),
    [
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "abcc", True),
        ("a*b*c", "acb", False),
        ("*b*", "abc", True),
        ("**", "", True),
        ("a*a", "a", False),
        ("*", "any\ntext", True),
    ],
)
def test_a_star_stands_for_any_text(value: str, text: str, matches: bool) -> None:
    assert budget(scope="project", value=value).matches(text) is matches
