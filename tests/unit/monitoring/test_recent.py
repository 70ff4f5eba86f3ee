"""The rolling window of an embedded monitor: what counts, what expires, what is bounded."""

from __future__ import annotations

import threading

import pytest

from ralex_core.clock import ManualClock
from ralex_core.monitoring.recent import MAX_GROUPS, OTHER, SLICES, RecentOperations
from tests.support.operations import make_operation

WINDOW_S = 900


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def recent(clock: ManualClock) -> RecentOperations:
    return RecentOperations(clock, WINDOW_S, lambda operation: (operation.kind, operation.name))


def test_groups_count_operations_errors_tokens_and_times(clock: ManualClock, recent: RecentOperations) -> None:
    now = clock.now_us()
    recent.record(
        [
            make_operation("1", name="edit", started_at=now, duration_ms=100.0, ttft_ms=10.0, output_tokens=50),
            make_operation("2", name="edit", started_at=now, duration_ms=300.0, ttft_ms=30.0, status="error"),
            make_operation("3", name="edit", started_at=now, duration_ms=None, input_tokens=None, output_tokens=None),
            make_operation("4", name="chat", started_at=now, duration_ms=5.0),
        ]
    )
    edit, chat = recent.figures()
    assert (edit.key, chat.key) == (("llm", "edit"), ("llm", "chat"))
    assert (edit.operations, edit.errors, edit.error_ratio) == (3, 1, 1 / 3)
    assert (edit.mean_ms, edit.mean_ttft_ms) == (200, 20)
    assert edit.p50_ms == pytest.approx(100, rel=0.01)
    assert edit.max_ms == pytest.approx(300, rel=0.01)
    assert (edit.input_tokens, edit.output_tokens) == (2000, 150)
    assert edit.output_tokens_per_s == 150 / 0.4


def test_what_was_never_timed_has_no_times(clock: ManualClock, recent: RecentOperations) -> None:
    recent.record([make_operation(started_at=clock.now_us(), duration_ms=None)])
    (group,) = recent.figures()
    assert (group.p50_ms, group.max_ms, group.mean_ms, group.mean_ttft_ms) == (None,) * 4
    assert group.output_tokens_per_s is None


def test_operations_leave_the_window_as_time_passes(clock: ManualClock, recent: RecentOperations) -> None:
    recent.record([make_operation("a", started_at=clock.now_us())])
    clock.advance(WINDOW_S / 2)
    recent.record([make_operation("b", started_at=clock.now_us())])
    assert recent.figures()[0].operations == 2
    clock.advance(WINDOW_S / 2 + WINDOW_S / SLICES)
    assert recent.figures()[0].operations == 1
    clock.advance(WINDOW_S)
    assert recent.figures() == []


def test_what_comes_too_late_is_counted_as_such(clock: ManualClock, recent: RecentOperations) -> None:
    hour = 3_600_000_000
    recent.record([make_operation("late", started_at=clock.now_us() - hour)])
    recent.record([make_operation("early", started_at=clock.now_us() + hour)])
    assert recent.figures() == []
    assert recent.outside == 2


def test_a_clock_a_few_seconds_ahead_is_forgiven(clock: ManualClock, recent: RecentOperations) -> None:
    recent.record([make_operation(started_at=clock.now_us() + 5_000_000)])
    assert recent.figures()[0].operations == 1


def test_more_names_than_there_is_room_for_are_counted_together(clock: ManualClock, recent: RecentOperations) -> None:
    count = MAX_GROUPS + 500
    recent.record(make_operation(str(n), name=f"n{n}", started_at=clock.now_us()) for n in range(count))
    figures = recent.figures()
    assert len(figures) == MAX_GROUPS + 1
    assert figures[0].key == ("llm", OTHER)
    assert sum(group.operations for group in figures) == count
    assert recent.crowded_out == 500


def test_kinds_without_end_are_bounded_too(clock: ManualClock) -> None:
    recent = RecentOperations(clock, WINDOW_S, lambda operation: (operation.provider, operation.model))
    count = 10 * MAX_GROUPS
    recent.record(
        make_operation(str(n), provider=f"p{n}", model=f"m{n}", started_at=clock.now_us()) for n in range(count)
    )
    figures = recent.figures()
    assert len(figures) <= 2 * MAX_GROUPS + 1
    assert sum(group.operations for group in figures) == count


def test_names_that_left_the_window_make_room(clock: ManualClock, recent: RecentOperations) -> None:
    recent.record(make_operation(str(n), name=f"old{n}", started_at=clock.now_us()) for n in range(MAX_GROUPS))
    clock.advance(2 * WINDOW_S)
    recent.record([make_operation(name="new", started_at=clock.now_us())])
    assert [group.key for group in recent.figures()] == [("llm", "new")]
    assert recent.crowded_out == 0


def test_groups_merge_to_coarser_ones(clock: ManualClock, recent: RecentOperations) -> None:
    now = clock.now_us()
    recent.record(make_operation(str(n), name=f"n{n % 3}", started_at=now, duration_ms=float(n)) for n in range(1, 101))
    (all_of_them,) = recent.figures(lambda _: ())
    assert all_of_them.operations == 100
    assert all_of_them.p95_ms == pytest.approx(95, rel=0.01)


def test_threads_lose_nothing(clock: ManualClock, recent: RecentOperations) -> None:
    now = clock.now_us()
    batch = [make_operation(str(n), started_at=now) for n in range(50)]
    threads = [threading.Thread(target=lambda: [recent.record(batch) for _ in range(40)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        recent.figures()
    assert recent.figures()[0].operations == 50 * 40 * 4
