"""A simulated team: the same for ever, whole however it is cut, and shaped like people's work."""

from __future__ import annotations

import itertools
import json
import statistics
from collections import Counter, defaultdict
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.model.operation import KINDS, OUTCOMES, STATUSES, Operation, Pricing
from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US, Window
from ralex_core.simulate import LiveTeam, Team, history, simulate
from ralex_core.simulate.catalogue import MODELS, TIER_NAMES
from ralex_core.simulate.session import MAX_SESSION_US, Conversation
from ralex_core.simulate.workload import end_us

MONDAY_US = 1_794_182_400_000_000  # 2026-11-09 00:00 UTC
FORTNIGHT = Window(MONDAY_US, MONDAY_US + 14 * DAY_US)
TIER_OF = {model.name: TIER_NAMES[model.tier] for model in MODELS}


@pytest.fixture(scope="module")
def fortnight() -> list[Operation]:
    return list(simulate(Team(7), FORTNIGHT))


@pytest.fixture(scope="module")
def calls(fortnight: list[Operation]) -> list[Operation]:
    return [operation for operation in fortnight if operation.kind == "llm"]


# --- determinism ----------------------------------------------------------------


def test_the_same_seed_gives_the_same_operations(fortnight: list[Operation]) -> None:
    window = Window(MONDAY_US + DAY_US, MONDAY_US + 2 * DAY_US)
    again = list(simulate(Team(7), window))
    assert again == [operation for operation in fortnight if window.start_us <= operation.started_at < window.end_us]


def test_another_seed_gives_other_operations() -> None:
    window = Window(MONDAY_US, MONDAY_US + DAY_US)
    first, second = ({operation.operation_id for operation in simulate(Team(seed), window)} for seed in (1, 2))
    assert first
    assert second
    assert not first & second


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, DAY_US - 1), min_size=1, max_size=3, unique=True))
def test_adjoining_windows_give_what_one_window_over_all_gives(cuts: list[int]) -> None:
    team = Team(3)
    edges = [0, *sorted(cuts), DAY_US]
    parts = [
        operation
        for start, end in itertools.pairwise(edges)
        for operation in simulate(team, Window(MONDAY_US + start, MONDAY_US + end))
    ]
    assert parts == list(simulate(team, Window(MONDAY_US, MONDAY_US + DAY_US)))


def test_operations_come_in_time_order_inside_the_window(fortnight: list[Operation]) -> None:
    times = [operation.started_at for operation in fortnight]
    assert times == sorted(times)
    assert times[0] >= FORTNIGHT.start_us
    assert times[-1] < FORTNIGHT.end_us


def test_no_session_outlasts_the_time_it_is_given() -> None:
    team = Team(11)
    plans = team.sessions(Window(MONDAY_US, MONDAY_US + 3 * DAY_US))
    for plan in plans:
        assert all(
            plan.start_us <= operation.started_at and end_us(operation) <= plan.start_us + MAX_SESSION_US
            for operation in Conversation(team, plan).play()
        )


# --- live ----------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(st.integers(0, DAY_US), st.lists(st.integers(1, 40 * MINUTE_US), min_size=1, max_size=8))
def test_history_and_live_together_miss_nothing_and_repeat_nothing(offset: int, steps: list[int]) -> None:
    team = Team(5)
    start_us = now_us = MONDAY_US + offset
    seen = [operation for day in history(team, start_us, days=1) for operation in day]
    live = LiveTeam(team, start_us)
    for step in steps:
        now_us += step
        finished = live.advance(now_us)
        assert [end_us(operation) for operation in finished] == sorted(end_us(operation) for operation in finished)
        seen += finished
    expected = [
        operation for operation in simulate(team, Window(start_us - DAY_US, now_us)) if end_us(operation) <= now_us
    ]
    oldest = [operation for operation in seen if operation.started_at < start_us - DAY_US]
    assert len(oldest) <= 5, "only what ran across the start of the history"
    assert sorted(operation.operation_id for operation in seen if operation not in oldest) == sorted(
        operation.operation_id for operation in expected
    )


def test_live_gives_nothing_when_the_clock_goes_back() -> None:
    live = LiveTeam(Team(5), MONDAY_US + 9 * HOUR_US)
    assert live.advance(MONDAY_US + 11 * HOUR_US)
    assert live.advance(MONDAY_US + 10 * HOUR_US) == []
    assert live.advance(MONDAY_US + 13 * HOUR_US)


def test_history_comes_newest_day_first() -> None:
    days = list(history(Team(5), MONDAY_US + 3 * DAY_US, days=3))
    assert len(days) == 3
    newest, middle, oldest = days
    assert newest[0].started_at > middle[-1].started_at
    assert middle[0].started_at > oldest[-1].started_at
    assert all(end_us(operation) <= MONDAY_US + 3 * DAY_US for operation in newest)


# --- what an operation looks like ----------------------------------------------------------------


def test_every_operation_is_well_formed(fortnight: list[Operation]) -> None:
    assert len({operation.operation_id for operation in fortnight}) == len(fortnight)
    unpriced = Pricing()
    for operation in fortnight:
        assert operation.kind in KINDS
        assert operation.status in STATUSES
        assert operation.outcome in OUTCOMES
        assert operation.door == "demo"
        assert operation.duration_ms is not None
        assert operation.duration_ms > 0
        assert operation.operation_id == f"{operation.trace_id}"[:16] + f"{operation.span_id}"
        assert operation[Operation._fields.index("tier") : Operation._fields.index("baseline_usd") + 1] == unpriced
        if operation.attributes is not None:
            json.loads(operation.attributes)


def test_every_parent_exists_and_encloses_its_children(fortnight: list[Operation]) -> None:
    whole = [operation for operation in fortnight if operation.started_at > FORTNIGHT.start_us + MAX_SESSION_US]
    spans = {(operation.trace_id, operation.span_id): operation for operation in fortnight}
    children = [operation for operation in whole if operation.parent_span_id is not None]
    assert len(children) > len(whole) / 2
    for child in children:
        parent = spans[child.trace_id, child.parent_span_id]
        assert parent.started_at <= child.started_at
        assert end_us(child) <= end_us(parent) + 1
        assert (parent.session_id, parent.user_id, parent.project) == (child.session_id, child.user_id, child.project)


def test_usage_parts_never_exceed_the_whole(calls: list[Operation]) -> None:
    answered = [call for call in calls if call.status == "ok"]
    for call in answered:
        assert call.input_tokens is not None
        assert call.output_tokens is not None
        assert 0 <= (call.cache_read_tokens or 0) + (call.cache_write_tokens or 0) <= call.input_tokens < 200_000
        assert 0 <= (call.reasoning_tokens or 0) <= call.output_tokens
        assert call.ttft_ms is not None
        assert call.duration_ms is not None
        assert call.ttft_ms <= call.duration_ms


def test_usage_is_unknown_where_no_answer_was_completed(calls: list[Operation]) -> None:
    cut = [call for call in calls if call.status != "ok"]
    assert {call.status for call in cut} == {"error", "cancelled"}
    assert all(call.input_tokens is None and call.output_tokens is None for call in cut)
    assert all(call.billed_usd in (None, Decimal(0)) and call.reported_usd is None for call in cut)


def test_the_cache_grows_with_the_conversation(calls: list[Operation]) -> None:
    answered = [call for call in calls if call.status == "ok" and call.name == "chat"]
    cached = sum(call.cache_read_tokens or 0 for call in answered)
    assert 0.6 < cached / sum(call.input_tokens or 0 for call in answered) < 0.95
    sizes: defaultdict[str | None, list[int]] = defaultdict(list)
    for call in answered:
        sizes[call.session_id].append(call.input_tokens or 0)
    grows = [later > earlier for session in sizes.values() for earlier, later in itertools.pairwise(session)]
    assert statistics.mean(grows) > 0.95


# --- the shape of the work ----------------------------------------------------------------


def test_weekends_are_quiet_and_workdays_are_not(fortnight: list[Operation]) -> None:
    days = Counter((operation.started_at - MONDAY_US) // DAY_US for operation in fortnight)
    weekend = statistics.mean(days[day] for day in (5, 6, 12, 13))
    workdays = statistics.mean(days[day] for day in range(14) if day % 7 < 5)
    assert weekend < 0.45 * workdays
    assert all(days[day] > 100 for day in range(14)), "somebody is always there"


def test_people_sleep(fortnight: list[Operation]) -> None:
    amira = [operation for operation in fortnight if operation.user_id == "amira"]
    hours = Counter((operation.started_at + HOUR_US) // HOUR_US % 24 for operation in amira)
    assert sum(hours[hour] for hour in range(0, 7)) == 0
    assert sum(hours[hour] for hour in range(8, 18)) > 0.85 * len(amira)


def test_a_month_is_as_large_as_a_demo_should_be() -> None:
    total = sum(1 for _ in simulate(Team(), Window(MONDAY_US - 16 * DAY_US, MONDAY_US + 14 * DAY_US)))
    assert 60_000 < total < 130_000


def test_cheap_models_do_most_of_the_work_and_disappoint_more_often(calls: list[Operation]) -> None:
    chats = [call for call in calls if call.name == "chat" and call.status == "ok"]
    tiers = Counter(TIER_OF[call.model or ""] for call in chats)
    assert tiers["cheap"] > tiers["premium"]
    assert tiers["standard"] > tiers["premium"]
    known = [call for call in chats if call.outcome != "unknown"]
    bad = {
        tier: statistics.mean(call.outcome != "accepted" for call in known if TIER_OF[call.model or ""] == tier)
        for tier in TIER_NAMES
    }
    assert bad["cheap"] > bad["premium"] + 0.1
    assert bad["premium"] > 0.02


def test_hard_tasks_fail_more_often_than_easy_ones(fortnight: list[Operation]) -> None:
    tasks = [
        (json.loads(operation.attributes or "{}")["difficulty"], operation.outcome)
        for operation in fortnight
        if operation.kind == "task" and operation.parent_span_id is None and operation.outcome != "unknown"
    ]
    easy = [outcome == "accepted" for difficulty, outcome in tasks if difficulty < 0.3]
    hard = [outcome == "accepted" for difficulty, outcome in tasks if difficulty > 0.6]
    assert statistics.mean(easy) > statistics.mean(hard) + 0.1


def test_a_bad_result_is_tried_again_on_a_better_model(fortnight: list[Operation]) -> None:
    roots = {operation.trace_id: operation for operation in fortnight if operation.parent_span_id is None}
    again = [
        (roots[follows], operation)
        for operation in roots.values()
        if (follows := json.loads(operation.attributes or "{}").get("follows")) in roots
    ]
    assert len(again) > 50
    for first, second in again:
        assert first.outcome in ("rejected", "reworked", "failed")
        assert first.session_id == second.session_id
        assert end_us(first) <= second.started_at


def test_failed_attempts_are_followed_by_numbered_ones(calls: list[Operation]) -> None:
    errors = [call for call in calls if call.status == "error"]
    assert 0.003 < len(errors) / len(calls) < 0.06
    assert {call.error_type for call in errors} == {"rate_limit", "overloaded", "timeout"}
    retries = [call for call in calls if call.attempt > 1]
    failed = {(call.trace_id, call.attempt) for call in errors}
    inside = [call for call in retries if call.started_at > FORTNIGHT.start_us + MAX_SESSION_US]
    assert inside
    assert all((call.trace_id, call.attempt - 1) in failed for call in inside)


def test_providers_that_bill_say_so_on_every_answer(calls: list[Operation]) -> None:
    answered = [call for call in calls if call.status == "ok"]
    assert all((call.billed_usd is not None) == (call.provider == "openrouter") for call in answered)
    reported = [call for call in answered if call.reported_usd is not None]
    assert {call.client for call in reported} == {"terminal", "ci"}
    assert len(reported) > 1000


# --- the story ----------------------------------------------------------------


def test_every_fortnight_has_its_incidents() -> None:
    for seed in range(30):
        incidents = Team(seed).incidents(FORTNIGHT)
        assert sorted(incident.kind for incident in incidents) == [
            "failing_provider",
            "runaway_session",
            "slow_provider",
        ]
        assert all(
            FORTNIGHT.start_us <= incident.window.start_us and incident.window.end_us <= FORTNIGHT.end_us
            for incident in incidents
        )


def test_the_slow_afternoon_shows_in_the_provider_s_latency(calls: list[Operation]) -> None:
    slow = next(incident for incident in Team(7).incidents(FORTNIGHT) if incident.kind == "slow_provider")

    def waits(window: Window | None) -> list[float]:
        return [
            call.ttft_ms
            for call in calls
            if call.provider == slow.subject
            and call.ttft_ms is not None
            and (window is None or window.start_us <= call.started_at < window.end_us)
        ]

    assert len(waits(slow.window)) > 30
    assert statistics.median(waits(slow.window)) > 2 * statistics.median(waits(None))


def test_the_runaway_session_shows_in_its_user_s_calls(calls: list[Operation]) -> None:
    runaway = next(incident for incident in Team(7).incidents(FORTNIGHT) if incident.kind == "runaway_session")
    sessions = Counter(call.session_id for call in calls if call.user_id == runaway.subject and call.name == "chat")
    wild = next(session for session in sessions if session and session.endswith("-0"))
    assert sessions[wild] > 3 * statistics.median(sessions.values())


def test_a_team_that_is_never_idle_works_through_the_night_and_repeats_no_id() -> None:
    start_us = MONDAY_US + 3 * HOUR_US
    live = LiveTeam(Team(5), start_us, never_idle=True)
    finished: list[Operation] = []
    gaps: list[int] = []
    last_us = start_us
    for step in range(1, 1801):
        now_us = start_us + step * 1_000_000
        fresh = live.advance(now_us)
        if fresh:
            gaps.append(now_us - last_us)
            last_us = now_us
        finished += fresh
    assert len({operation.operation_id for operation in finished}) == len(finished)
    assert sorted(gaps)[len(gaps) * 9 // 10] <= 30_000_000
    assert len(finished) > 200
