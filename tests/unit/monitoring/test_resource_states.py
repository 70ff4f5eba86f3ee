"""States of resources: raised and taken back after a while, and never flapping in between."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ralex_core.config import Settings, Threshold, Thresholds
from ralex_core.monitoring.resource_states import (
    GAP_US,
    Level,
    ResourceState,
    ResourceStates,
    advance,
    values_of,
    worst,
)
from ralex_core.storage.telemetry import StateChange
from tests.support.resources import GIB, make_gpu, make_sample

SECOND_US = 1_000_000
START = 1_000_000_000_000
CPU = Threshold(warn=0.8, critical=0.9, margin=0.1, for_s=10, clear_s=20)


def run(values: list[float | None], threshold: Threshold = CPU, step_s: float = 2) -> list[ResourceState]:
    """The states after each of some readings, `step_s` apart."""
    state = ResourceState("cpu")
    states: list[ResourceState] = []
    for place, value in enumerate(values):
        state = advance(state, value, START + round(place * step_s * SECOND_US), threshold)
        states.append(state)
    return states


def levels(values: list[float | None]) -> list[Level]:
    return [state.level for state in run(values)]


def test_a_level_is_raised_when_it_was_reached_for_long_enough() -> None:
    states = run([0.5, *[0.85] * 6])
    assert [state.level for state in states] == ["ok"] * 6 + ["warn"]
    assert states[-1].since_us == START + 12 * SECOND_US
    assert states[-1].reason == "CPU is at 85.0 %: 80.0 % or more for 10 s is a warning."
    assert states[0].since_us == START


def test_a_moment_below_begins_the_time_anew() -> None:
    assert levels([0.85, 0.85, 0.85, 0.85, 0.79, *[0.85] * 5]) == ["ok"] * 10


def test_it_is_over_when_it_was_below_the_margin_for_long_enough() -> None:
    states = run([*[0.85] * 6, *[0.69] * 10, 0.5])
    assert [state.level for state in states] == ["ok"] * 5 + ["warn"] * 11 + ["ok"]
    assert states[-2].reason == (
        "CPU is at 69.0 %, after 80.0 % or more; it is over when it was under 70.0 % for 20 s."
    )
    assert states[-1].reason == "CPU is at 50.0 %: under 70.0 % for 20 s."


def test_critical_becomes_a_warning_first_when_it_falls_only_so_far() -> None:
    assert levels([*[0.95] * 6, *[0.75] * 11]) == ["ok"] * 5 + ["critical"] * 11 + ["warn"]
    assert levels([*[0.85] * 4, *[0.95] * 6]) == ["ok"] * 5 + ["warn"] * 4 + ["critical"]


def test_a_missed_reading_changes_nothing_and_a_missing_one_is_unknown() -> None:
    states = run([*[0.85] * 6, None, 0.85])
    assert [state.level for state in states[-3:]] == ["warn"] * 3
    assert states[-2].value is None
    lost = run([*[0.85] * 6, *[None] * 31])
    assert [state.level for state in lost[-2:]] == ["warn", "unknown"]
    assert lost[-1].reason == "CPU cannot be read."
    back = advance(lost[-1], 0.85, START + 100 * SECOND_US, CPU)
    assert back.level == "warn", "what was raised is raised until it was seen cleared"


def test_time_nobody_measured_does_not_count() -> None:
    asleep = advance(run([0.85])[0], 0.85, START + GAP_US + SECOND_US, CPU)
    assert asleep.level == "ok"
    assert advance(asleep, 0.85, asleep.read_us + 10 * SECOND_US, CPU).level == "warn"  # type: ignore[operator]
    back_in_time = advance(run([0.85])[0], 0.85, START - 100 * SECOND_US, CPU)
    assert back_in_time.level == "ok"
    assert advance(back_in_time, 0.85, START - 90 * SECOND_US, CPU).level == "warn"


thresholds = st.builds(
    lambda warn, more, margin, for_s, clear_s: Threshold(
        warn=warn, critical=warn + more, margin=margin * warn, for_s=for_s, clear_s=clear_s
    ),
    st.floats(0.1, 1),
    st.floats(0, 1),
    st.floats(0.01, 0.9),
    st.floats(0, 60),
    st.floats(0, 60),
)
series = st.lists(st.floats(0, 2.5), min_size=1, max_size=80)


@given(thresholds, series, st.sampled_from([1.0, 2.0, 7.0]))
def test_a_level_is_changed_only_by_its_own_side_and_only_after_its_time(
    threshold: Threshold, values: list[float], step_s: float
) -> None:
    """Against the definition: raised only after `for_s` at or above, taken back only after `clear_s` below."""
    states = run(list(values), threshold, step_s)
    for place, (before, after) in enumerate(pairwise(states), start=1):
        for at, old, new in (
            (threshold.warn, before.warn, after.warn),
            (threshold.critical, before.critical, after.critical),
        ):
            if old.raised == new.raised:
                continue
            needed = threshold.for_s if new.raised else threshold.clear_s
            stretch = [index for index in range(place + 1) if (place - index) * step_s <= needed + 1e-9]
            beyond = [values[index] >= at if new.raised else values[index] < at - threshold.margin for index in stretch]
            assert all(beyond)
            assert place * step_s >= needed - 1e-6


@given(
    thresholds, st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=80), st.sampled_from(["ok", "warn"])
)
def test_readings_within_the_band_never_change_a_level(threshold: Threshold, places: list[float], begin: str) -> None:
    low, high = threshold.warn - threshold.margin, threshold.warn
    state = ResourceState("cpu")
    now = START
    for _ in range(70):
        now += SECOND_US
        state = advance(state, high if begin == "warn" else 0.0, now, threshold)
    expected = "warn" if threshold.critical > threshold.warn else "critical"
    assert state.level == (expected if begin == "warn" else "ok")
    level = state.level
    for place in places:
        now += SECOND_US
        value = low + (high - low) * place
        if low <= value < high:
            state = advance(state, value, now, threshold)
            assert state.level == level


@given(thresholds, series)
def test_critical_is_never_raised_without_the_warning(threshold: Threshold, values: list[float]) -> None:
    for state in run(list(values), threshold):
        assert state.warn.raised or not state.critical.raised
        assert state.value == values[0] or state.read_us is not None


def test_the_worst_level_is_what_needs_attention_most() -> None:
    assert worst([]) == "ok"
    assert worst(["ok", "unknown"]) == "unknown"
    assert worst(["critical", "ok", "warn"]) == "critical"


def test_every_resource_is_measured_in_the_terms_of_its_threshold() -> None:
    sample = make_sample(
        1,
        cores=4.0,
        load_1m=6.0,
        swap_used_bytes=GIB,
        swap_total_bytes=4 * GIB,
        open_files=500,
        open_files_limit=1000,
        process_open_files=12,
        process_open_files_limit=16,
        throttled_ratio=0.1,
    )
    assert values_of(sample, [make_gpu(1), make_gpu(1, memory_used_bytes=18 * GIB)]) == {
        "cpu": 0.25,
        "load": 1.5,
        "throttling": 0.1,
        "memory": 0.375,
        "swap": 0.25,
        "disk": 0.2,
        "open_files": 0.75,
        "gpu_memory": 0.75,
    }
    bare = values_of(make_sample(1, swap_total_bytes=0))
    assert {name for name, value in bare.items() if value is not None} == {"cpu", "memory", "disk"}


def test_what_a_machine_does_not_have_has_no_state_and_what_it_lost_is_unknown() -> None:
    states = ResourceStates(Thresholds())
    assert [(state.resource, state.level) for state in states.current()] == [
        ("cpu", "unknown"),
        ("memory", "unknown"),
        ("disk", "unknown"),
    ]
    assert states.take(make_sample(START, swap_used_bytes=0, swap_total_bytes=GIB)) == [], "measuring is no event"
    assert [state.resource for state in states.current()] == ["cpu", "memory", "swap", "disk"]
    changes = states.advance(START + GAP_US + 1, {"cpu": 0.1, "memory": 0.1, "disk": 0.1})
    assert [(change.resource, change.level, change.previous) for change in changes] == [("swap", "unknown", "ok")]


def test_a_change_says_when_what_and_why() -> None:
    states = ResourceStates(Thresholds())
    changes: list[StateChange] = []
    for second in range(0, 40, 2):
        changes += states.take(make_sample(START + second * SECOND_US, memory_used_bytes=15 * GIB))
    assert changes == [
        StateChange(
            START + 30 * SECOND_US,
            "memory",
            "warn",
            "ok",
            0.9375,
            "Memory is at 93.8 %: 85.0 % or more for 30 s is a warning.",
        )
    ]


def test_what_was_raised_before_a_restart_is_raised_until_it_is_seen_cleared() -> None:
    stored = [
        StateChange(START, "disk", "critical", "warn", 0.96, "full"),
        StateChange(START, "cpu", "ok", "warn", 0.1, ""),
        StateChange(START, "forgotten", "warn", "ok", 0.1, ""),
    ]
    states = ResourceStates(Thresholds(), stored)
    later = START + 3600 * SECOND_US
    assert states.take(make_sample(later, disk_used_bytes=470 * GIB)) == []
    disk = next(state for state in states.current() if state.resource == "disk")
    assert (disk.level, disk.since_us) == ("critical", START)
    changes: list[StateChange] = []
    for second in range(2, 80, 2):
        changes += states.take(make_sample(later + second * SECOND_US, disk_used_bytes=100 * GIB))
    assert [(change.resource, change.level, change.previous) for change in changes] == [("disk", "ok", "critical")]


def test_a_threshold_given_in_part_keeps_the_rest() -> None:
    settings = Settings(thresholds={"cpu": {"warn": 0.5}})  # type: ignore[arg-type]
    assert settings.thresholds.cpu == Threshold(warn=0.5, critical=0.95, margin=0.05, for_s=60, clear_s=60)
    assert settings.thresholds.disk == Thresholds().disk


@pytest.mark.parametrize(
    "wrong",
    [{"cpu": {"warn": 0.99}}, {"cpu": {"margin": 0}}, {"cpu": {"wrn": 1}}, {"gpu": {}}, {"cpu": {"for_s": -1}}],
)
def test_a_threshold_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="thresholds"):
        Settings(thresholds=wrong)  # type: ignore[arg-type]
